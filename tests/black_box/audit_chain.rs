//! The audit chain: no act without its event, no gap, and a MAC over everything before.

use std::collections::BTreeSet;

use reqwest::{Method, StatusCode};
use ring::{digest, hmac};
use serde_json::{Value, json};
use tenmint::domain::hex::hex;

use crate::on_both_engines;
use crate::support::crowd::at_once;
use crate::support::database::{AuditEvent, Database};
use crate::support::server::{Reply, Server};

on_both_engines!(
    acts_at_the_same_time_leave_a_chain_without_a_gap,
    an_act_that_cannot_be_audited_does_not_happen,
);

async fn acts_at_the_same_time_leave_a_chain_without_a_gap(server: Server) {
    let acme = server.organization("acme").await;
    let database = Database::of(&server).await;
    let before = database.audit_events("acme").await.len();
    let body = json!({ "name": "x", "scopes": ["read"] });
    let replies = at_once((0..20).map(|n| {
        let mine = n % 2 == 0;
        let path = if mine {
            "/v1/api-keys"
        } else {
            "/v1/organizations/acme/api-keys"
        };
        let bearer = if mine { &acme.secret } else { &server.operator };
        let request = server.request(Method::POST, path);
        request.bearer_auth(bearer).json(&body)
    }))
    .await;
    let id = |reply: &Reply| reply.body["id"].as_str().unwrap().to_owned();
    let mut made: Vec<_> = replies
        .iter()
        .map(|reply| id(reply.expect(StatusCode::CREATED)))
        .collect();
    let events = database.audit_events("acme").await;
    let target = |event: &AuditEvent| event.target.clone();
    let mut told: Vec<_> = events[before..].iter().map(target).collect();
    made.sort();
    told.sort();
    assert_eq!(told, made);
    the_chain_holds(&server, "acme").await;
    the_chain_holds(&server, "operator").await;
}

async fn an_act_that_cannot_be_audited_does_not_happen(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let database = Database::of(&server).await;
    let before = database.contents().await;
    database
        .run("ALTER TABLE audit_events RENAME TO elsewhere", &[])
        .await;
    let revoke = &format!("/v1/organizations/acme/api-keys/{}/revoke", key.id);
    for (path, body) in [
        ("/v1/organizations", json!({ "id": "new" })),
        ("/v1/organizations/acme/suspend", Value::Null),
        (
            "/v1/organizations/acme/bootstrap",
            json!({ "reissue": true }),
        ),
        (
            "/v1/organizations/acme/api-keys",
            json!({ "name": "x", "scopes": ["read"] }),
        ),
        (revoke, Value::Null),
    ] {
        let failed = server.operate(Method::POST, path, body).await;
        assert!(failed.status.is_server_error(), "{path}: {}", failed.text);
        assert!(!failed.text.contains("audit_events"), "{}", failed.text);
    }
    database
        .run("ALTER TABLE elsewhere RENAME TO audit_events", &[])
        .await;
    assert_eq!(database.contents().await, before);
    server.exchange(&key, &[]).await.expect(StatusCode::OK);
    server.exchange(&acme, &[]).await.expect(StatusCode::OK);
}

/// Every event's MAC is over the one before and itself, and none is missing.
pub async fn the_chain_holds(server: &Server, organization: &str) {
    let crypto = &server.app.management.crypto;
    let key = &crypto.chain(crypto.keyring().current().as_str()).unwrap();
    let mut previous = Vec::new();
    let events = Database::of(server).await.audit_events(organization).await;
    assert!(!events.is_empty());
    for (event, sequence) in events.iter().zip(1..) {
        assert_eq!(event.sequence, sequence);
        let salt = event.salt.as_ref().unwrap();
        assert_eq!(salt.len(), 16);
        let personal = json!([hex(salt), event.address, event.acting_for, event.details]);
        let digest = digest::digest(&digest::SHA256, personal.to_string().as_bytes());
        assert_eq!(event.digest.as_deref(), Some(digest.as_ref()));
        let entry = json!([
            event.organization_id,
            event.sequence,
            event.at,
            event.actor,
            event.action,
            event.target,
            event.request_id,
            hex(digest.as_ref()),
        ]);
        let mut signed = previous.clone();
        signed.extend(entry.to_string().as_bytes());
        hmac::verify(key, &signed, &event.mac).unwrap();
        previous.clone_from(&event.mac);
    }
    let salts: BTreeSet<_> = events.iter().map(|event| event.salt.clone()).collect();
    assert_eq!(salts.len(), events.len(), "no salt comes twice");
}
