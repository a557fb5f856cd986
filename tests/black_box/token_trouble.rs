//! When tenmint itself is in trouble: what still works, and what is said of the rest.

use std::sync::Arc;
use std::thread::available_parallelism;

use reqwest::StatusCode;
use serde_json::json;
use tenmint::credentials::Denied;
use tenmint::domain::secret::KeyId;

use crate::support::forged::{of, of_another_deployment};
use crate::support::server::{Place, Server};
use crate::support::verbatim::verbatim;
use crate::{assert_verbatim, on_both_engines};

on_both_engines!(without_a_database_warm_keys_work_and_strangers_are_turned_away_as_ever);

async fn without_a_database_warm_keys_work_and_strangers_are_turned_away_as_ever(server: Server) {
    let acme = server.organization("acme").await;
    let (warm, cold) = (
        server.key_with(&acme, &["read"]).await,
        server.key_with(&acme, &["read"]).await,
    );
    server.exchange(&warm, &[]).await.expect(StatusCode::OK);
    server.app.close().await;

    // A warm exchange needs no database.
    server.exchange(&warm, &[]).await.expect(StatusCode::OK);
    // Nor does anything cost a query that comes without a genuine key.
    let foreign = of_another_deployment(&cold.id);
    for stranger in [
        foreign,
        of("nonsense", &cold.id),
        of(&cold.secret[1..], &cold.id),
    ] {
        for issuer in ["", "/orgs/acme", "/orgs/nobody"] {
            let reply = server.exchange_at(issuer, &stranger, &[]).await;
            reply.refuses(401, "invalid_client");
        }
    }
    // A genuine key that must be looked up is asked to come again.
    let reply = server.exchange(&cold, &[]).await;
    assert_verbatim!(verbatim(&server, &reply), @r#"
    503
    cache-control: no-store
    content-type: application/json
    pragma: no-cache
    retry-after: 2
    x-content-type-options: nosniff
    x-request-id: req_[…]

    {"error":"temporarily_unavailable","error_description":"the service is unavailable: try again"}
    "#);
    let jwks = server.get("/orgs/beta/.well-known/jwks.json").await;
    assert_verbatim!(verbatim(&server, &jwks), @r#"
    503
    cache-control: no-store
    content-type: application/problem+json
    retry-after: 2
    x-content-type-options: nosniff
    x-request-id: req_[…]

    {"type":"urn:tenmint:problem:unavailable","title":"Unavailable","status":503,"detail":"it is not known whether anything was done: look, then try again","code":"unavailable","request_id":"req_[…]"}
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_new_keys_is_asked_to_come_again_and_warm_keys_work() {
    // Each first use takes long: as if many more had come.
    let dear = ["--argon2-memory", "65536", "--argon2-passes", "4"];
    let server = Place::sqlite().with(&dear).start().await;
    let acme = server.organization("acme").await;
    let cold = server.key_with(&acme, &["read"]).await;
    server.exchange(&acme, &[]).await.expect(StatusCode::OK);

    let (management, now) = (&server.app.management, server.clock.now());
    let id: KeyId = cold.id.parse().unwrap();
    let mut crowd = tokio::task::JoinSet::new();
    for _ in 0..2_000 * available_parallelism().unwrap().get() {
        let credentials = Arc::clone(&management.credentials);
        // Each string for the first time, all of one organization: others have a line of their own.
        let wrong = management.crypto.mint(id.ulid());
        crowd.spawn(async move {
            let denied = credentials.authenticate(wrong, now).await.map(drop);
            !matches!(denied, Err(rejected) if matches!(rejected.why, Denied::Overloaded(_)))
        });
    }
    // Somebody in the crowd is turned away: the queue is full.
    while crowd.join_next().await.unwrap().unwrap() {}
    let reply = server.exchange(&cold, &[]).await;
    assert_verbatim!(verbatim(&server, &reply), @r#"
    503
    cache-control: no-store
    content-type: application/json
    pragma: no-cache
    retry-after: 2
    x-content-type-options: nosniff
    x-request-id: req_[…]

    {"error":"temporarily_unavailable","error_description":"too many new clients at once: try again"}
    "#);
    server.exchange(&acme, &[]).await.expect(StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_row_is_told_as_a_failure_of_the_server() {
    let server = Place::sqlite().start().await;
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    server
        .place()
        .execute("UPDATE signing_keys SET sealed = zeroblob(100) WHERE organization_id = 'acme'")
        .await;
    let reply = server.exchange_at("/orgs/acme", &acme, &[]).await;
    assert_verbatim!(verbatim(&server, &reply), @r#"
    500
    cache-control: no-store
    content-type: application/json
    pragma: no-cache
    x-content-type-options: nosniff
    x-request-id: req_[…]

    {"error":"server_error","error_description":"this server cannot issue the token: ask its administrator"}
    "#);
    let jwks = server.get("/orgs/acme/.well-known/jwks.json").await;
    assert_verbatim!(verbatim(&server, &jwks), @r#"
    500
    cache-control: no-store
    content-type: application/problem+json
    x-content-type-options: nosniff
    x-request-id: req_[…]

    {"type":"urn:tenmint:problem:internal","title":"Internal error","status":500,"detail":"tenmint failed; the operator finds the cause in the log under this request id","code":"internal","request_id":"req_[…]"}
    "#);

    server
        .place()
        .execute("UPDATE api_key_secrets SET hash = 'nonsense'")
        .await;
    let reply = server.exchange(&key, &[]).await;
    assert_verbatim!(verbatim(&server, &reply), @r#"
    500
    cache-control: no-store
    content-type: application/json
    pragma: no-cache
    x-content-type-options: nosniff
    x-request-id: req_[…]

    {"error":"server_error","error_description":"this server cannot issue the token: ask its administrator"}
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_too_long_to_travel_is_not_issued() {
    let server = Place::sqlite().start().await;
    let acme = server.organization("acme").await;
    let scopes: Vec<String> = (0..17)
        .map(|n| format!("a{n}:{}", "b".repeat(190)))
        .collect();
    let key = server
        .key(&acme, json!({ "name": "long", "scopes": scopes }))
        .await;
    server.exchange(&key, &[]).await.expect(StatusCode::OK);

    // The same key, once the deployment has more audiences.
    let audiences: Vec<String> = (0..9)
        .map(|n| format!("https://api.example/{n}{}", "c".repeat(200)))
        .collect();
    let place = server
        .stop()
        .await
        .with(&["--audience", &audiences.join(",")]);
    let server = place.start().await;
    let all: Vec<_> = audiences.iter().map(|one| ("resource", &**one)).collect();
    let reply = server.exchange(&key, &all).await;
    assert_verbatim!(verbatim(&server, &reply), @r#"
    400
    cache-control: no-store
    content-type: application/json
    pragma: no-cache
    x-content-type-options: nosniff
    x-request-id: req_[…]

    {"error":"invalid_scope","error_description":"the token would be too long for HTTP headers: ask for fewer scopes"}
    "#);
    server
        .exchange(&key, &all[..1])
        .await
        .expect(StatusCode::OK);
    let few = [&all[..], &[("scope", &*scopes[0])]].concat();
    server.exchange(&key, &few).await.expect(StatusCode::OK);
}
