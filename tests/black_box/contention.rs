//! A database that keeps acts waiting: they are refused in time, and nobody else notices.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::on_both_engines;
use crate::support::crowd::at_once;
use crate::support::database::Database;
use crate::support::server::Server;

on_both_engines!(a_locked_organization_keeps_nobody_waiting_for_long);

async fn a_locked_organization_keeps_nobody_waiting_for_long(server: Server) {
    let acme = server.organization("acme").await;
    let other = server.organization("other").await;
    let ci = server.key_with(&other, &["read"]).await;
    let database = Database::of(&server).await;
    let before = database.contents().await;
    let held = database.hold_acme().await;
    // More than there are connections.
    let body = json!({ "name": "x", "scopes": ["read"] });
    let waiting = (0..24).map(|_| {
        let request = server.request(Method::POST, "/v1/api-keys");
        request.bearer_auth(&acme.secret).json(&body)
    });
    let waiting = tokio::spawn(at_once(waiting.collect::<Vec<_>>()));
    let path = "/v1/api-keys";
    for reply in waiting.await.unwrap() {
        reply.refuses(503, "unavailable");
        assert!(reply.header("retry-after").is_some());
    }
    // The lock is still there, and what does not need it works.
    let listed = server
        .call(&acme.secret, Method::GET, path, Value::Null)
        .await;
    listed.expect(StatusCode::OK);
    server.exchange(&ci, &[]).await.expect(StatusCode::OK);
    held.release().await;
    assert_eq!(database.contents().await, before);
    server.key_with(&acme, &["read"]).await;
}
