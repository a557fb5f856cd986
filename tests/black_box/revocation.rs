//! Promise 4: once a revoke has answered, no further token is issued for that key.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::Value;
use tenmint::clock::Clock;
use tenmint::domain::secret::ApiKeySecret;
use tenmint::store::changes::News;

use crate::on_both_engines;
use crate::support::server::{Key, Server};

on_both_engines!(
    under_load_nothing_is_issued_after_the_answer,
    a_revocation_reaches_an_exchange_already_under_way,
    a_suspension_stops_all_keys_of_an_organization_at_once,
    what_another_process_changes_is_noticed,
    a_quiet_database_is_listened_to_without_alarm,
);

/// Longer than a change takes to be heard of, however slow the machine.
const HEARD: Duration = Duration::from_secs(10);

/// Eight keys revoked in turn while each is exchanged without pause: whatever began after
/// the answer is refused.
async fn under_load_nothing_is_issued_after_the_answer(server: Server) {
    let server = Arc::new(server);
    let acme = server.organization("acme").await;
    for _ in 0..8 {
        let key = server.key_with(&acme, &["read"]).await;
        server.exchange(&key, &[]).await.expect(StatusCode::OK);
        let revoked = Arc::new(AtomicBool::new(false));
        let (before, after) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let load: Vec<_> = (0..6)
            .map(|_| {
                let (server, key) = (Arc::clone(&server), key.clone());
                let (revoked, before) = (Arc::clone(&revoked), Arc::clone(&before));
                let after = Arc::clone(&after);
                tokio::spawn(async move {
                    while after.load(Ordering::SeqCst) < 60 {
                        let began_after = revoked.load(Ordering::SeqCst);
                        let status = server.exchange(&key, &[]).await.status;
                        if began_after {
                            assert_eq!(status, StatusCode::UNAUTHORIZED);
                            after.fetch_add(1, Ordering::SeqCst);
                        } else if status == StatusCode::OK {
                            before.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                })
            })
            .collect();
        while before.load(Ordering::SeqCst) < 30 {
            tokio::task::yield_now().await;
        }
        revoke(&server, &acme, &key).await;
        revoked.store(true, Ordering::SeqCst);
        for one in load {
            one.await.unwrap();
        }
    }
}

/// The exchange has proven its secret and is about to answer when the revocation commits.
async fn a_revocation_reaches_an_exchange_already_under_way(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let credentials = &server.app.mint.credentials;
    let prove = || {
        let secret = ApiKeySecret::parse(&key.secret).unwrap();
        credentials.authenticate(secret, server.clock.now())
    };
    let mut verified = prove().await.unwrap();
    let began = Instant::now();
    // That the key was made is heard of from the database too, now and then only now.
    while !credentials.still_stands(&verified) && began.elapsed() < HEARD {
        verified = prove().await.unwrap();
    }
    assert!(credentials.still_stands(&verified));
    revoke(&server, &acme, &key).await;
    assert!(!credentials.still_stands(&verified));
    let again = credentials.again(&verified, server.clock.now()).await;
    assert!(again.is_err());
}

async fn a_suspension_stops_all_keys_of_an_organization_at_once(server: Server) {
    let (acme, umbrella) = (
        server.organization("acme").await,
        server.organization("umbrella").await,
    );
    let key = server.key_with(&acme, &["read"]).await;
    let other = server.key_with(&umbrella, &["read"]).await;
    server.exchange(&key, &[]).await.expect(StatusCode::OK);
    let suspend = |verb: &'static str| {
        let path = format!("/v1/organizations/acme/{verb}");
        let server = &server;
        async move { server.operate(Method::POST, &path, Value::Null).await }
    };
    suspend("suspend").await.expect(StatusCode::OK);
    server
        .exchange(&key, &[])
        .await
        .refuses(401, "invalid_client");
    server.exchange(&other, &[]).await.expect(StatusCode::OK);
    suspend("resume").await.expect(StatusCode::OK);
    server.exchange(&key, &[]).await.expect(StatusCode::OK);
}

/// Somebody at the machine ends a key in the database itself; no request tells the server.
async fn what_another_process_changes_is_noticed(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    server.exchange(&key, &[]).await.expect(StatusCode::OK);
    let now = server.clock.now().unix();
    let update = format!(
        "UPDATE api_keys SET revoked_at = {now} WHERE id = '{}'",
        key.id
    );
    server.place().execute(&update).await;
    if !server.place().is_sqlite() {
        let notify = format!("NOTIFY tenmint_changes, 'key:{}'", key.id);
        server.place().execute(&notify).await;
    }
    while server.exchange(&key, &[]).await.status == StatusCode::OK {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    server
        .exchange(&key, &[])
        .await
        .refuses(401, "invalid_client");
}

/// For longer than a listener may go without a heartbeat of its own.
async fn a_quiet_database_is_listened_to_without_alarm(server: Server) {
    let store = &server.app.management.store;
    // A new database's log is emptied once, by a connection of its own.
    while store.owes_erasure().await.unwrap() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut changes = store.listen(Clock::since_boot).await.unwrap();
    let began = Clock::since_boot();
    let mut last = Duration::ZERO;
    while Clock::since_boot() < began + Duration::from_secs(8) {
        match changes.next().await.unwrap() {
            News::Heard(sent) => {
                assert!(sent > last && sent <= Clock::since_boot());
                last = sent;
            }
            // Another process wrote, or another test of this database.
            News::Changed(change) => panic!("{change:?}"),
        }
    }
    assert!(last > began);
}

async fn revoke(server: &Server, manager: &Key, key: &Key) {
    let path = format!("/v1/api-keys/{}/revoke", key.id);
    let done = server
        .call(&manager.secret, Method::POST, &path, Value::Null)
        .await;
    done.expect(StatusCode::OK);
    assert_eq!(done.body["status"], "revoked");
}
