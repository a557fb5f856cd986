//! Rotation while a key is in use: nothing is issued to a secret after its end was answered, and
//! none that counts is ever turned away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use reqwest::StatusCode;
use tenmint::domain::secret::ApiKeySecret;
use tokio::task::JoinHandle;

use crate::on_both_engines;
use crate::rotation::{post, rotated};
use crate::support::server::{Key, Server};

on_both_engines!(
    under_load_no_secret_that_counts_is_refused_and_none_that_ended_is_served,
    the_end_of_a_secret_reaches_an_exchange_already_under_way,
    the_end_of_an_overlap_reaches_an_exchange_already_under_way,
);

/// Exchanges one secret without pause.
struct Load {
    ended: Arc<AtomicBool>,
    stopped: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
    refused: Arc<AtomicUsize>,
    running: Vec<JoinHandle<()>>,
}

impl Load {
    fn of(server: &Arc<Server>, key: &Key) -> Self {
        let mut load = Self {
            ended: Arc::default(),
            stopped: Arc::default(),
            served: Arc::default(),
            refused: Arc::default(),
            running: Vec::new(),
        };
        for _ in 0..3 {
            let (server, key) = (Arc::clone(server), key.clone());
            let (ended, stopped) = (Arc::clone(&load.ended), Arc::clone(&load.stopped));
            let (served, refused) = (Arc::clone(&load.served), Arc::clone(&load.refused));
            load.running.push(tokio::spawn(async move {
                while !stopped.load(Ordering::SeqCst) {
                    let began_after = ended.load(Ordering::SeqCst);
                    let status = server.exchange(&key, &[]).await.status;
                    // While its end is being answered, either is right.
                    let still = !ended.load(Ordering::SeqCst);
                    if began_after {
                        assert_eq!(status, StatusCode::UNAUTHORIZED);
                        refused.fetch_add(1, Ordering::SeqCst);
                    } else if still {
                        let ending = status == StatusCode::UNAUTHORIZED;
                        assert!(
                            !ending || ended_soon(&ended).await,
                            "refused while it counts"
                        );
                        served.fetch_add(1, Ordering::SeqCst);
                    }
                }
            }));
        }
        load
    }

    async fn until(counter: &AtomicUsize, more: usize) {
        let goal = counter.load(Ordering::SeqCst) + more;
        while counter.load(Ordering::SeqCst) < goal {
            tokio::task::yield_now().await;
        }
    }

    async fn stop(self) {
        self.stopped.store(true, Ordering::SeqCst);
        for one in self.running {
            one.await.unwrap();
        }
    }
}

/// The answer that ends the secret is under way: its commit came before the refusal.
async fn ended_soon(ended: &AtomicBool) -> bool {
    for _ in 0..200 {
        if ended.load(Ordering::SeqCst) {
            return true;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    false
}

async fn under_load_no_secret_that_counts_is_refused_and_none_that_ended_is_served(server: Server) {
    let server = Arc::new(server);
    let acme = server.organization("acme").await;
    let first = server.key_with(&acme, &["read"]).await;
    let mut current = (Load::of(&server, &first), first);
    for overlap in [600, 0, 600, 0] {
        Load::until(&current.0.served, 10).await;
        let new = rotated(&server, &acme, &current.1, overlap).await;
        if overlap == 0 {
            current.0.ended.store(true, Ordering::SeqCst);
        }
        let next = Load::of(&server, &new);
        Load::until(&next.served, 10).await;
        if overlap > 0 {
            Load::until(&current.0.served, 10).await;
            let done = post(&server, &acme, &new.id, "rotate/finish").await;
            done.expect(StatusCode::OK);
            current.0.ended.store(true, Ordering::SeqCst);
        }
        Load::until(&current.0.refused, 10).await;
        Load::until(&next.served, 10).await;
        let before = std::mem::replace(&mut current, (next, new));
        before.0.stop().await;
    }
    current.0.stop().await;
}

/// The exchange has proven its secret and is about to answer when the secret ends.
async fn the_end_of_a_secret_reaches_an_exchange_already_under_way(server: Server) {
    let acme = server.organization("acme").await;
    let credentials = &server.app.mint.credentials;
    let now = server.clock.now();
    for overlap in [0, 600] {
        let old = server.key_with(&acme, &["read"]).await;
        let secret = ApiKeySecret::parse(&old.secret).unwrap();
        let verified = credentials.authenticate(secret, now).await.unwrap();
        let new = rotated(&server, &acme, &old, overlap).await;
        assert!(!credentials.still_stands(&verified));
        let again = credentials.again(&verified, now).await;
        assert_eq!(again.is_ok(), overlap > 0);
        if let Ok(again) = again {
            assert!(credentials.still_stands(&again));
            post(&server, &acme, &new.id, "rotate/finish")
                .await
                .expect(StatusCode::OK);
            assert!(!credentials.still_stands(&again));
            assert!(credentials.again(&again, now).await.is_err());
        }
    }
}

async fn the_end_of_an_overlap_reaches_an_exchange_already_under_way(server: Server) {
    let acme = server.organization("acme").await;
    let old = server.key_with(&acme, &["read"]).await;
    rotated(&server, &acme, &old, 60).await;
    let credentials = &server.app.mint.credentials;
    let secret = ApiKeySecret::parse(&old.secret).unwrap();
    let verified = credentials.authenticate(secret, server.clock.now()).await;
    let verified = verified.unwrap();
    server.advance(59);
    assert!(verified.require_in_force(server.clock.now()).is_ok());
    server.advance(1);
    assert!(verified.require_in_force(server.clock.now()).is_err());
}
