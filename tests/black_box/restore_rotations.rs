//! Rotations of API keys that were undone after the backup, because the newer secret ended with a root
//! key: the secret before counts on as it did, and no longer.

use std::fs;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::restore_root_keys::again;
use crate::on_both_engines;
use crate::support::operations::{does, export, tells};
use crate::support::root_keys::{current, done, followed, until, use_up};
use crate::support::server::{Key, Server};
use crate::support::snapshot;

on_both_engines!(a_key_whose_rotation_was_undone_is_what_it_was_and_not_switched_off);

/// Rotates a key, and answers what it is with its newest secret.
async fn rotate(server: &Server, acme: &Key, key: &Key) -> Key {
    let path = format!("/v1/api-keys/{}/rotate", key.id);
    let overlap = json!({ "overlap_seconds": 3600 });
    let rotated = server.call(&acme.secret, Method::POST, &path, overlap);
    Key::of(&rotated.await.expect(StatusCode::OK).body)
}

async fn shown(server: &Server, acme: &Key, key: &Key) -> Value {
    let path = format!("/v1/api-keys/{}", key.id);
    let shown = server.call(&acme.secret, Method::GET, &path, Value::Null);
    shown.await.expect(StatusCode::OK).body.clone()
}

async fn a_key_whose_rotation_was_undone_is_what_it_was_and_not_switched_off(server: Server) {
    let acme = server.organization("acme").await;
    let [early, late, lost] = [
        server.key_with(&acme, &["read"]).await,
        server.key_with(&acme, &["read"]).await,
        server.key_with(&acme, &["read"]).await,
    ];
    // Of one the backup has both secrets, of another the one before; of the third neither that counts.
    let mut newest = vec![rotate(&server, &acme, &early).await];
    let snapshot = snapshot::take(&server);
    newest.push(rotate(&server, &acme, &late).await);
    let between = rotate(&server, &acme, &lost).await;
    let path = format!("/v1/api-keys/{}/rotate/finish", lost.id);
    let finished = server.call(&acme.secret, Method::POST, &path, Value::Null);
    finished.await.expect(StatusCode::OK);
    rotate(&server, &acme, &lost).await;

    let ring = server.place().root_key_file();
    let old = tokio::task::block_in_place(|| {
        let old = current(server.place());
        done(server.place(), &["rotate"]);
        old
    });
    followed(&server).await;
    use_up(&server, &[&acme, &server.operator_key()]).await;
    let left =
        format!("SELECT CAST(COUNT(*) AS TEXT) FROM api_key_secrets WHERE root_key = '{old}'");
    until("the secrets before depend on it no more", async || {
        for used in [&early, &late, &between] {
            server.exchange(used, &[]).await.expect(StatusCode::OK);
        }
        server.place().query(&left).await == ["3"]
    })
    .await;
    let both = fs::read(&ring).unwrap();
    tokio::task::block_in_place(|| done(server.place(), &["drop", &old, "--yes", "--force"]));
    followed(&server).await;
    let mut before = Vec::new();
    for key in [&early, &late] {
        before.push(shown(&server, &acme, key).await);
    }
    let logs = [
        export(&server, "acme").await,
        export(&server, "operator").await,
    ];
    let clock = server.clock.clone();
    let place = server.stop().await;

    fs::write(&ring, both).unwrap();
    let begun = snapshot::put_back(&place, &snapshot).await;
    let mut restore: Vec<&str> = begun.iter().map(String::as_str).collect();
    restore.extend(logs.iter().flat_map(|log| ["--audit-export", log]));
    let told = tells(&place, &restore);
    let switched_off = told["organizations"][0]["quarantined"].as_array().unwrap();
    let switched_off: Vec<_> = switched_off.iter().map(|key| &key["id"]).collect();
    assert_eq!(switched_off, [&json!(lost.id)], "{told}");
    assert!(does(&place, &["audit", "verify"]).contains("acme: verified"));
    let server = again(place, &clock).await;
    for (key, before) in [&early, &late].into_iter().zip(before) {
        let after = shown(&server, &acme, key).await;
        for member in ["status", "expires_at", "fingerprint"] {
            assert_eq!(after[member], before[member], "{member}");
        }
        assert_eq!(after["secrets"].as_array().unwrap().len(), 1, "{after}");
        assert!(after["expires_at"].is_string(), "{after}");
        server.exchange(key, &[]).await.expect(StatusCode::OK);
    }
    newest.extend([lost, between]);
    for dead in &newest {
        let refused = server.exchange(dead, &[]).await;
        refused.refuses(401, "invalid_client");
    }
    server.advance(3_601);
    for key in [&early, &late] {
        let refused = server.exchange(key, &[]).await;
        refused.refuses(401, "invalid_client");
    }
}
