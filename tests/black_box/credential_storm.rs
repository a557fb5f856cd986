//! Very many keys used for the first time, while others flood the server with secrets that open
//! nothing: everybody who holds a key is served, in turn, and nobody else.

use std::collections::HashSet;
use std::sync::Arc;

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::on_both_engines;
use crate::support::crowd::at_once;
use crate::support::forged::{of_another_deployment, with_genuine_tag};
use crate::support::server::{Key, Place, Reply, Server};

on_both_engines!(
    whoever_holds_a_key_gets_a_token_through_a_flood_or_is_told_when_to_come_again,
    a_secret_is_refuted_without_a_run_where_the_key_s_own_is_known,
);

/// Dearer than everything else about an exchange by far.
const DEAR: [&str; 4] = ["--argon2-memory", "65536", "--argon2-passes", "3"];

/// How often a client comes again before it gives up.
const TRIES: usize = 20;

/// New keys of an organization, none of which was used yet.
async fn fresh(server: &Server, manager: &Key, count: usize) -> Vec<Key> {
    let mut keys = Vec::new();
    for _ in 0..count {
        keys.push(server.key_with(manager, &["read"]).await);
    }
    keys
}

fn is_put_off(reply: &Reply) -> bool {
    let put_off = reply.status == StatusCode::SERVICE_UNAVAILABLE;
    let again = reply.header("retry-after").map(str::parse::<u64>);
    assert!(!put_off || matches!(again, Some(Ok(1..))), "{reply:?}");
    put_off
}

async fn whoever_holds_a_key_gets_a_token_through_a_flood_or_is_told_when_to_come_again(
    server: Server,
) {
    let (acme, flood) = (
        server.organization("acme").await,
        server.organization("flood").await,
    );
    let keys = fresh(&server, &acme, 30).await;
    let revoked = fresh(&server, &flood, 10).await;
    for key in &revoked {
        let path = format!("/v1/api-keys/{}/revoke", key.id);
        let answer = server.call(&flood.secret, Method::POST, &path, json!({}));
        answer.await.expect(StatusCode::OK);
    }
    let mut strangers = revoked.clone();
    for _ in 0..60 {
        strangers.push(with_genuine_tag(&server, &flood.id));
        strangers.push(with_genuine_tag(&server, &revoked[0].id));
        strangers.push(of_another_deployment(&keys[0].id));
    }
    // Between two strangers one who holds a key: each of them is in the thick of it.
    let mut crowd = strangers.clone();
    for (at, key) in keys.iter().enumerate() {
        crowd.insert(at * 7, key.clone());
    }
    let genuine: HashSet<_> = keys.iter().map(|key| key.secret.clone()).collect();
    let replies = at_once(
        crowd
            .iter()
            .map(|key| server.exchange_request("", key, &[])),
    )
    .await;
    let mut again = Vec::new();
    for (key, reply) in crowd.iter().zip(&replies) {
        let is_genuine = genuine.contains(&key.secret);
        if is_put_off(reply) {
            again.extend(is_genuine.then_some(key));
        } else if is_genuine {
            reply.expect(StatusCode::OK);
        } else {
            reply.refuses(401, "invalid_client");
        }
    }
    for key in again {
        let mut tries = 0;
        while is_put_off(&server.exchange(key, &[]).await) {
            tries += 1;
            assert!(tries < TRIES, "{} is never served", key.id);
        }
        server.exchange(key, &[]).await.expect(StatusCode::OK);
    }
    assert_eq!(server.app.mint.credentials.waiting(), 0);
}

async fn a_secret_is_refuted_without_a_run_where_the_key_s_own_is_known(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    server.exchange(&key, &[]).await.expect(StatusCode::OK);
    let runs = server.app.mint.credentials.runs();
    for _ in 0..50 {
        let wrong = with_genuine_tag(&server, &key.id);
        let refused = server.exchange(&wrong, &[]).await;
        refused.refuses(401, "invalid_client");
    }
    assert_eq!(server.app.mint.credentials.runs(), runs);
    // Its owner goes on, and so does whoever gets its next secret.
    server.exchange(&key, &[]).await.expect(StatusCode::OK);
    let path = format!("/v1/api-keys/{}/rotate", key.id);
    let rotated = server
        .call(
            &acme.secret,
            Method::POST,
            &path,
            json!({ "overlap_seconds": 3_600 }),
        )
        .await;
    rotated.expect(StatusCode::OK);
    let next = Key::of(&rotated.body);
    for key in [&key, &next, &key, &next] {
        server.exchange(key, &[]).await.expect(StatusCode::OK);
    }
    let runs = server.app.mint.credentials.runs();
    for _ in 0..10 {
        let wrong = with_genuine_tag(&server, &key.id);
        let refused = server.exchange(&wrong, &[]).await;
        refused.refuses(401, "invalid_client");
    }
    assert_eq!(server.app.mint.credentials.runs(), runs);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organization_that_floods_the_queue_keeps_no_other_waiting_to_its_end() {
    let server = Arc::new(Place::sqlite().with(&DEAR).start().await);
    let (acme, flood) = (
        server.organization("acme").await,
        server.organization("flood").await,
    );
    let key = server.key_with(&acme, &["read"]).await;
    // Of a key that nobody uses, or each would be refuted at once.
    let target = server.key_with(&flood, &["read"]).await;
    let wrong: Vec<_> = (0..600)
        .map(|_| with_genuine_tag(&server, &target.id))
        .collect();
    let storm = tokio::spawn({
        let server = Arc::clone(&server);
        async move {
            at_once(
                wrong
                    .iter()
                    .map(|wrong| server.exchange_request("", wrong, &[])),
            )
            .await
        }
    });
    let credentials = &server.app.mint.credentials;
    // On a machine so busy that a run takes half a second, fewer may wait, and are put off.
    while credentials.waiting() < 10 && !storm.is_finished() {
        tokio::task::yield_now().await;
    }
    let runs = credentials.runs();
    server.exchange(&key, &[]).await.expect(StatusCode::OK);
    // Behind those that ran already, and one of the flood's in its turn, on each core.
    let ahead = credentials.runs() - runs;
    let cores = std::thread::available_parallelism().unwrap().get() as u64;
    assert!(ahead <= 4 * cores, "{ahead} runs went first");
    let mut put_off = 0;
    for reply in storm.await.unwrap() {
        if is_put_off(&reply) {
            put_off += 1;
        } else {
            reply.refuses(401, "invalid_client");
        }
    }
    assert!(put_off < 600, "somebody was served");
    assert_eq!(credentials.waiting(), 0);
}
