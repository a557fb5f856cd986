//! Suspension of an organization: nothing of it obtains or manages anything, at once.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::on_both_engines;
use crate::support::crowd::at_once;
use crate::support::server::{Key, Reply, Server};

on_both_engines!(
    a_suspension_stops_tokens_and_management_at_once,
    a_resume_brings_everything_back,
    repeating_either_changes_nothing,
    nothing_is_issued_after_a_suspension_was_answered,
    the_operator_still_reaches_into_a_suspended_organization,
    the_operator_organization_is_not_suspendable,
);

async fn suspend(server: &Server, id: &str) -> Reply {
    let path = format!("/v1/organizations/{id}/suspend");
    server.operate(Method::POST, &path, Value::Null).await
}

async fn resume(server: &Server, id: &str) -> Reply {
    let path = format!("/v1/organizations/{id}/resume");
    server.operate(Method::POST, &path, Value::Null).await
}

async fn list(server: &Server, bearer: &str) -> Reply {
    let path = "/v1/api-keys";
    server.call(bearer, Method::GET, path, Value::Null).await
}

async fn a_suspension_stops_tokens_and_management_at_once(server: Server) {
    let acme = server.organization("acme").await;
    let other = server.organization("other").await;
    let ci = server.key_with(&acme, &["read"]).await;
    let token = server.management_token(&acme, &[]).await;
    // Everything is warm in every cache when the suspension comes.
    server.exchange(&ci, &[]).await.expect(StatusCode::OK);
    for bearer in [&token, &acme.secret] {
        list(&server, bearer).await.expect(StatusCode::OK);
    }
    let suspended = suspend(&server, "acme").await;
    assert_eq!(suspended.expect(StatusCode::OK).body["status"], "suspended");

    let wrong = Key {
        secret: other.secret.clone(),
        ..ci.clone()
    };
    let stranger = server.exchange(&wrong, &[]).await;
    for key in [&ci, &acme] {
        for issuer in ["", "/orgs/acme"] {
            let refused = server.exchange_at(issuer, key, &[]).await;
            refused.refuses(401, "invalid_client");
            assert_eq!(refused.text, stranger.text, "as for a stranger");
        }
    }
    for bearer in [&token, &acme.secret] {
        let refused = list(&server, bearer).await;
        refused.refuses(401, "unauthenticated");
    }
    // Its public keys stay: tokens already out are for resource servers to judge.
    let jwks = server.get("/orgs/acme/.well-known/jwks.json").await;
    jwks.expect(StatusCode::OK);
    // Nobody else is touched.
    list(&server, &other.secret).await.expect(StatusCode::OK);
    server.exchange(&other, &[]).await.expect(StatusCode::OK);
}

async fn a_resume_brings_everything_back(server: Server) {
    let acme = server.organization("acme").await;
    let token = server.management_token(&acme, &[]).await;
    suspend(&server, "acme").await;
    list(&server, &token).await.refuses(401, "unauthenticated");
    let resumed = resume(&server, "acme").await;
    assert_eq!(resumed.expect(StatusCode::OK).body["status"], "active");
    assert_eq!(resumed.body["suspended_at"], Value::Null);
    server.exchange(&acme, &[]).await.expect(StatusCode::OK);
    list(&server, &token).await.expect(StatusCode::OK);
}

async fn repeating_either_changes_nothing(server: Server) {
    server.organization("acme").await;
    let path = "/v1/organizations/acme";
    let untouched = server.operate(Method::GET, path, Value::Null).await;
    assert_eq!(resume(&server, "acme").await.body, untouched.body);
    let suspended = suspend(&server, "acme").await;
    server.advance(5);
    assert_eq!(suspend(&server, "acme").await.body, suspended.body);
    let seen = server.operate(Method::GET, path, Value::Null).await;
    assert_eq!(seen.expect(StatusCode::OK).body, suspended.body);
}

async fn nothing_is_issued_after_a_suspension_was_answered(server: Server) {
    let acme = server.organization("acme").await;
    let keys = [
        server.key_with(&acme, &["read"]).await,
        server.key_with(&acme, &["write"]).await,
    ];
    for _ in 0..5 {
        // The first use of a key, which waits for Argon2, and repeated ones run into it.
        let racing = keys.iter().cycle().take(10).map(|key| {
            server
                .request(Method::POST, "/oauth/token")
                .basic_auth(&key.id, Some(&key.secret))
                .form(&[("grant_type", "client_credentials")])
        });
        let path = "/v1/organizations/acme/suspend";
        let suspension = server
            .request(Method::POST, path)
            .bearer_auth(&server.operator);
        let replies = at_once(racing.chain([suspension])).await;
        let (suspended, exchanged) = replies.split_last().unwrap();
        suspended.expect(StatusCode::OK);
        for reply in exchanged.iter().filter(|r| r.status != StatusCode::OK) {
            reply.refuses(401, "invalid_client");
        }
        for key in &keys {
            let late = server.exchange(key, &[]).await;
            late.refuses(401, "invalid_client");
        }
        resume(&server, "acme").await.expect(StatusCode::OK);
    }
}

async fn the_operator_still_reaches_into_a_suspended_organization(server: Server) {
    let acme = server.organization("acme").await;
    suspend(&server, "acme").await;
    let keys = "/v1/organizations/acme/api-keys";
    let body = json!({ "name": "prepared", "scopes": ["read"] });
    let made = server.operate(Method::POST, keys, body).await;
    let made = Key::of(&made.expect(StatusCode::CREATED).body);
    let revoke = format!("{keys}/{}/revoke", acme.id);
    let revoked = server.operate(Method::POST, &revoke, Value::Null).await;
    assert_eq!(revoked.expect(StatusCode::OK).body["status"], "revoked");

    let refused = server.exchange(&made, &[]).await;
    refused.refuses(401, "invalid_client");
    resume(&server, "acme").await;
    server.exchange(&made, &[]).await.expect(StatusCode::OK);
    let refused = server.exchange(&acme, &[]).await;
    refused.refuses(401, "invalid_client");
}

async fn the_operator_organization_is_not_suspendable(server: Server) {
    suspend(&server, "operator")
        .await
        .refuses(409, "operator_not_suspendable");
    let path = "/v1/organizations/operator";
    let seen = server.operate(Method::GET, path, Value::Null).await;
    assert_eq!(seen.expect(StatusCode::OK).body["status"], "active");
    resume(&server, "operator").await.expect(StatusCode::OK);
}
