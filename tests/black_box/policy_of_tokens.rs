//! What policies make of tokens: how long they live, what they are for, who issues them.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tenmint::app::{App, Role};
use tenmint::domain::issuer::Issuer;
use tenmint::domain::secret::ApiKeySecret;
use tenmint::issue::{AskedScope, Exchange};

use crate::on_both_engines;
use crate::support::server::{Key, Place, Server, claims};

on_both_engines!(
    tokens_live_as_long_as_the_policy_says,
    keys_can_be_confined_to_their_own_issuer,
);

async fn set(server: &Server, layer: &str, policy: Value) {
    let body = json!({ layer: policy });
    let path = "/v1/organizations/acme";
    let edited = server.operate(Method::PATCH, path, body).await;
    edited.expect(StatusCode::OK);
}

async fn lifetime(server: &Server, key: &Key) -> i64 {
    let reply = server.exchange(key, &[]).await;
    let token = reply.expect(StatusCode::OK).body["access_token"].as_str();
    let claims = claims(token.unwrap());
    let seconds = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    assert_eq!(reply.body["expires_in"], seconds);
    seconds
}

async fn tokens_live_as_long_as_the_policy_says(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let ending = json!({ "name": "x", "scopes": ["read"], "expires_in_days": 1 });
    let ending = server.key(&acme, ending).await;
    assert_eq!(lifetime(&server, &key).await, 600);
    for (layer, seconds, expected) in [
        ("policy", json!(60), 60),
        ("operator_policy", json!(3_600), 60),
        ("policy", json!(2_000), 2_000),
        ("policy", Value::Null, 3_600),
        ("operator_policy", json!(300), 300),
        ("operator_policy", Value::Null, 600),
    ] {
        set(&server, layer, json!({ "token_lifetime_seconds": seconds })).await;
        assert_eq!(
            lifetime(&server, &key).await,
            expected,
            "{layer}: {seconds}"
        );
    }
    // No token outlives its key.
    set(
        &server,
        "operator_policy",
        json!({ "token_lifetime_seconds": 3_600 }),
    )
    .await;
    server.advance(86_400 - 100);
    assert_eq!(lifetime(&server, &ending).await, 100);
    assert_eq!(lifetime(&server, &key).await, 3_600);
}

async fn keys_can_be_confined_to_their_own_issuer(server: Server) {
    let acme = server.organization("acme").await;
    let other = server.organization("other").await;
    let own = json!({ "own_issuer_only": true });
    set(&server, "operator_policy", own).await;
    let refused = server.exchange(&acme, &[]).await;
    refused.refuses(400, "unauthorized_client");
    let endpoint = format!("{}/orgs/acme/oauth/token", server.base);
    let told = refused.body["error_description"].as_str().unwrap();
    assert!(told.contains(&endpoint), "{told}");
    // A stranger learns nothing of it.
    let wrong = Key {
        secret: other.secret.clone(),
        ..acme.clone()
    };
    server
        .exchange(&wrong, &[])
        .await
        .refuses(401, "invalid_client");
    let issued = server.exchange_at("/orgs/acme", &acme, &[]).await;
    issued.expect(StatusCode::OK);
    // The management plane's tokens come from the deployment issuer, and stay to be had.
    let token = server.management_token(&acme, &[]).await;
    let path = "/v1/organization";
    let shown = server.call(&token, Method::GET, path, Value::Null).await;
    shown.expect(StatusCode::OK);
    server.exchange(&other, &[]).await.expect(StatusCode::OK);
    set(
        &server,
        "operator_policy",
        json!({ "own_issuer_only": false }),
    )
    .await;
    server.exchange(&acme, &[]).await.expect(StatusCode::OK);
}

const FIRST: &str = "https://api.example/v1";
const SECOND: &str = "urn:example:files";
const AUDIENCES: [&str; 2] = ["--audience", "https://api.example/v1,urn:example:files"];

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_for_what_the_policy_allows() {
    let server = Place::sqlite().with(&AUDIENCES).start().await;
    allowed(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_for_what_the_policy_allows_on_postgres() {
    if let Some(place) = Place::postgres().await {
        allowed(&place.with(&AUDIENCES).start().await).await;
    }
}

async fn allowed(server: &Server) {
    let acme = server.organization("acme").await;
    let audience = async |parameters: &[(&str, &str)]| {
        let token = server.token(&acme, parameters).await;
        claims(&token)["aud"].clone()
    };
    assert_eq!(audience(&[]).await, FIRST);
    let both = json!({ "allowed_audiences": [SECOND, FIRST] });
    set(server, "operator_policy", both).await;
    assert_eq!(audience(&[]).await, SECOND, "the first of them");
    assert_eq!(audience(&[("resource", FIRST)]).await, FIRST);
    // The order is the organization's.
    set(
        server,
        "policy",
        json!({ "allowed_audiences": [FIRST, SECOND] }),
    )
    .await;
    assert_eq!(audience(&[]).await, FIRST);
    set(server, "policy", json!({ "allowed_audiences": [SECOND] })).await;
    assert_eq!(audience(&[]).await, SECOND);
    for resources in [
        &[("resource", FIRST)][..],
        &[("resource", FIRST), ("resource", SECOND)],
    ] {
        let refused = server.exchange(&acme, resources).await;
        refused.refuses(400, "invalid_target");
    }
    server.management_token(&acme, &[]).await;
    // Nothing is left where the operator takes it away: none is not all.
    set(
        server,
        "operator_policy",
        json!({ "allowed_audiences": [FIRST] }),
    )
    .await;
    for resources in [&[][..], &[("resource", FIRST)], &[("resource", SECOND)]] {
        let refused = server.exchange(&acme, resources).await;
        refused.refuses(400, "invalid_target");
    }
    server.management_token(&acme, &[]).await;
}

/// Another node on the same database hears of it, with the key warm in its cache.
#[tokio::test(flavor = "multi_thread")]
async fn a_policy_counts_on_every_node() {
    let Some(server) = Server::on_postgres().await else {
        return;
    };
    let acme = server.organization("acme").await;
    let settings = server.place().settings();
    let base = settings.base(server.address()).unwrap();
    let node = App::open(&settings, base, server.clock.clone(), Role::Server);
    let node: Arc<App> = node.await.unwrap();
    let jobs = node.start_jobs();
    let exchange = async || {
        let asked = Exchange {
            issuer: &Issuer::Deployment,
            secret: Some(ApiKeySecret::parse(&acme.secret).unwrap().into()),
            scope: AskedScope::Everything,
            resources: vec![],
            address: Some([127, 0, 0, 1].into()),
            user_agent: None,
        };
        node.mint
            .exchange(asked, &mut None)
            .await
            .unwrap()
            .expires_in
    };
    assert_eq!(exchange().await, 600);
    set(&server, "policy", json!({ "token_lifetime_seconds": 77 })).await;
    let heard = tokio::time::timeout(Duration::from_secs(10), async {
        while exchange().await != 77 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    heard.await.unwrap();
    jobs.stop().await;
    node.close().await;
}
