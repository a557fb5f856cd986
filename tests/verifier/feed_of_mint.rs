//! A verifier that follows the feed of the mint itself, by asking and by being told.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tenmint::verifier::{Cause, Follow, Request, Verifier};

use crate::issuer::AUDIENCE;
use crate::on_both_engines;
use crate::support::server::{Key, Reply, Server};

on_both_engines!(
    every_act_reaches_a_verifier_that_is_told,
    every_act_reaches_a_verifier_that_asks,
    a_withdrawn_signing_key_is_refused_before_the_jwks_is_old,
);

const PATIENCE: Duration = Duration::from_secs(10);

async fn every_act_reaches_a_verifier_that_is_told(server: Server) {
    every_act_reaches(server, Follow::pushed()).await;
}

async fn every_act_reaches_a_verifier_that_asks(server: Server) {
    let often = Follow::polling().every(Duration::from_millis(50));
    every_act_reaches(server, often).await;
}

pub async fn cause(verifier: &Verifier, token: &str) -> Option<Cause> {
    let verified = verifier.verify(token, &Request::default()).await;
    verified.err().map(|refused| refused.cause().clone())
}

pub async fn until(verifier: &Verifier, token: &str, expected: Option<Cause>) {
    let begun = Instant::now();
    loop {
        let found = cause(verifier, token).await;
        if found == expected {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{found:?}, not {expected:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub async fn with_audience(server: Server) -> Server {
    let place = server.stop().await;
    place.with(&["--audience", AUDIENCE]).start().await
}

pub fn verifier(server: &Server, issuer: &str, follow: Follow) -> Verifier {
    let builder = Verifier::builder(&format!("{}{issuer}", server.base)).audience(AUDIENCE);
    let builder = builder.clock(server.clock.clone());
    builder.follow_revocations(follow).build().unwrap()
}

async fn every_act_reaches(server: Server, follow: Follow) {
    let server = with_audience(server).await;
    let acme = server.organization("acme").await;
    let at = async |method: Method, path: &str, body: Value| {
        let reply = server.operate(method, path, body).await;
        assert!(reply.status.is_success(), "{}", reply.text);
    };
    for issuer in ["", "/orgs/acme"] {
        let verifier = verifier(&server, issuer, follow.clone());
        let token = async |key: &Key| {
            let reply = server.exchange_at(issuer, key, &[]).await;
            reply.expect(StatusCode::OK).body["access_token"]
                .as_str()
                .unwrap()
                .to_owned()
        };
        let made = async || {
            let key = server.key_with(&acme, &["read", "write"]).await;
            let token = token(&key).await;
            assert_eq!(cause(&verifier, &token).await, None);
            (key, token)
        };
        let void = Some(Cause::Revoked);
        let keys = "/v1/organizations/acme/api-keys";

        let (bystander, untouched) = made().await;
        let (key, of_revoked) = made().await;
        at(
            Method::POST,
            &format!("{keys}/{}/revoke", key.id),
            Value::Null,
        )
        .await;
        until(&verifier, &of_revoked, void.clone()).await;

        let (key, of_disabled) = made().await;
        at(
            Method::POST,
            &format!("{keys}/{}/disable", key.id),
            Value::Null,
        )
        .await;
        until(&verifier, &of_disabled, void.clone()).await;
        at(
            Method::POST,
            &format!("{keys}/{}/enable", key.id),
            Value::Null,
        )
        .await;
        until(&verifier, &of_disabled, None).await;

        let (key, of_narrowed) = made().await;
        at(
            Method::PATCH,
            &format!("{keys}/{}", key.id),
            json!({ "scopes": ["read"] }),
        )
        .await;
        until(&verifier, &of_narrowed, void.clone()).await;
        // Obtained within the same second, by the clock of mint and verifier.
        let again = token(&key).await;
        assert_eq!(cause(&verifier, &again).await, None);

        let (key, denied) = made().await;
        let asked = server.request(Method::POST, &format!("{issuer}/oauth/revoke"));
        let asked = asked.basic_auth(&key.id, Some(&key.secret));
        Reply::of(asked.form(&[("token", &denied)]))
            .await
            .expect(StatusCode::OK);
        until(&verifier, &denied, void.clone()).await;

        assert_eq!(cause(&verifier, &untouched).await, None);
        at(Method::POST, "/v1/organizations/acme/suspend", Value::Null).await;
        until(&verifier, &untouched, void.clone()).await;
        at(Method::POST, "/v1/organizations/acme/resume", Value::Null).await;
        until(&verifier, &untouched, None).await;
        at(
            Method::POST,
            &format!("{keys}/{}/revoke", bystander.id),
            Value::Null,
        )
        .await;
        until(&verifier, &untouched, void).await;
    }
}

async fn a_withdrawn_signing_key_is_refused_before_the_jwks_is_old(server: Server) {
    let server = with_audience(server).await;
    let acme = server.organization("acme").await;
    let often = Follow::polling().every(Duration::from_millis(50));
    let verifier = verifier(&server, "/orgs/acme", often);
    let key = server.key_with(&acme, &["read"]).await;
    let reply = server.exchange_at("/orgs/acme", &key, &[]).await;
    let token = reply.body["access_token"].as_str().unwrap();
    assert_eq!(cause(&verifier, token).await, None);
    // So that it may ask for the keys again.
    server.advance(20);
    let path = "/v1/signing-keys?limit=1";
    let listed = server
        .call(&acme.secret, Method::GET, path, Value::Null)
        .await;
    let kid = listed.body["data"][0]["kid"].as_str().unwrap();
    let path = format!("/v1/signing-keys/{kid}/revoke");
    let revoked = server.call(&acme.secret, Method::POST, &path, Value::Null);
    revoked.await.expect(StatusCode::OK);
    let begun = Instant::now();
    while cause(&verifier, token).await.is_none() {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let reply = server.exchange_at("/orgs/acme", &key, &[]).await;
    let token = reply.body["access_token"].as_str().unwrap();
    assert_eq!(cause(&verifier, token).await, None);
}
