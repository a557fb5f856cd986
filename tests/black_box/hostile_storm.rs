//! A storm of secrets that are well made and wrong: bounded work, bounded memory, and
//! nobody else harmed.

use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};

use crate::on_both_engines;
use crate::support::crowd::at_once;
use crate::support::forged::with_genuine_tag;
use crate::support::server::{Key, Place, Server};

on_both_engines!(a_storm_of_wrong_secrets_harms_no_genuine_client);

/// Exchanges with all of these at once: the statuses, and how long they took together.
async fn exchange_at_once(server: &Server, keys: &[Key]) -> (Vec<u16>, Duration) {
    let requests = keys.iter().map(|key| {
        let request = server.request(Method::POST, "/oauth/token");
        request
            .basic_auth(&key.id, Some(&key.secret))
            .form(&[("grant_type", "client_credentials")])
    });
    let began = Instant::now();
    let replies = at_once(requests).await;
    let statuses = replies.iter().map(|reply| reply.status.as_u16());
    (statuses.collect(), began.elapsed())
}

async fn a_storm_of_wrong_secrets_harms_no_genuine_client(server: Server) {
    let server = Arc::new(server);
    let acme = server.organization("acme").await;
    let (warm, cold) = (
        server.key_with(&acme, &["read"]).await,
        server.key_with(&acme, &["read"]).await,
    );
    server.exchange(&warm, &[]).await.expect(StatusCode::OK);

    let wrong: Vec<_> = (0..500)
        .map(|_| with_genuine_tag(&server, &warm.id))
        .collect();
    let storm = tokio::spawn({
        let server = Arc::clone(&server);
        async move { exchange_at_once(&server, &wrong).await }
    });
    let mut served = 0;
    while !storm.is_finished() || served == 0 {
        // The key that is being guessed at, and its owner is not locked out.
        server.exchange(&warm, &[]).await.expect(StatusCode::OK);
        served += 1;
    }
    let (statuses, _) = storm.await.unwrap();
    // A busy machine may ask some to come again. It never lets one in.
    let refused = statuses.iter().filter(|status| **status == 401).count();
    let later = statuses.iter().filter(|status| **status == 503).count();
    assert_eq!(refused + later, 500, "{statuses:?}");
    assert!(refused > 0);
    for key in [&warm, &cold] {
        server.exchange(key, &[]).await.expect(StatusCode::OK);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn argon2_runs_once_for_each_distinct_string() {
    // So dear that everything else about an exchange takes next to nothing.
    let dear = ["--argon2-memory", "65536", "--argon2-passes", "3"];
    let server = Place::sqlite().with(&dear).start().await;
    let acme = server.organization("acme").await;
    let other = server.key_with(&acme, &["read"]).await;
    let fresh = server.key_with(&acme, &["read"]).await;
    // Started again, it knows nobody's secret.
    let server = server.stop().await.start().await;
    let first_use = exchange_at_once(&server, std::slice::from_ref(&acme));
    let (statuses, one_run) = first_use.await;
    assert_eq!(statuses, [200]);
    // Many askers for each core: run for each of them, it would take ten times as long.
    let many = 40 * available_parallelism().unwrap().get();
    let same = |key: &Key| vec![key.clone(); many];

    // A wrong string for a key that nobody has used.
    let wrong = with_genuine_tag(&server, &other.id);
    let (statuses, together) = exchange_at_once(&server, &same(&wrong)).await;
    assert!(statuses.iter().all(|status| *status == 401), "{statuses:?}");
    assert!(together < one_run * 10, "{together:?}, one: {one_run:?}");
    let began = Instant::now();
    for _ in 0..many {
        server
            .exchange(&wrong, &[])
            .await
            .refuses(401, "invalid_client");
    }
    let again = began.elapsed();
    assert!(again < one_run * 10, "{again:?}, one: {one_run:?}");

    // Where the right one is known, no other takes a run.
    let strings: Vec<_> = (0..many)
        .map(|_| with_genuine_tag(&server, &acme.id))
        .collect();
    let (statuses, together) = exchange_at_once(&server, &strings).await;
    assert!(statuses.iter().all(|status| *status == 401), "{statuses:?}");
    assert!(together < one_run * 10, "{together:?}, one: {one_run:?}");

    // And for a right one: its first use, by all its holders at once.
    let (statuses, together) = exchange_at_once(&server, &same(&fresh)).await;
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    assert!(together < one_run * 10, "{together:?}, one: {one_run:?}");
}
