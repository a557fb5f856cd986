//! Revocation by whoever holds an API key (RFC 7009): with nothing but the key, from anywhere.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use ulid::Ulid;

use crate::on_both_engines;
use crate::rotation::{post, rotated};
use crate::support::crowd::at_once;
use crate::support::database::Database;
use crate::support::forged::of_another_deployment;
use crate::support::server::{Key, Reply, Server};
use crate::support::verbatim::verbatim;

on_both_engines!(
    a_found_key_is_ended_by_posting_it,
    a_key_is_ended_from_a_network_it_cannot_be_used_from,
    a_key_is_ended_whatever_state_it_is_in,
    of_two_secrets_the_older_ends_itself_alone,
    what_is_not_there_to_end_is_answered_the_same,
    a_stranger_costs_no_query,
    an_organizations_endpoint_ends_its_own_keys_alone,
    of_many_who_end_a_key_at_once_one_is_recorded,
    a_holder_that_ends_its_key_is_given_no_authority,
);

/// What a scanner of leaked keys sends.
pub async fn report(server: &Server, issuer: &str, token: &str) -> Reply {
    let request = server
        .request(Method::POST, &format!("{issuer}/oauth/revoke"))
        .form(&[("token", token)]);
    Reply::of(request).await
}

async fn ended(server: &Server, key: &Key) {
    let reply = report(server, "", &key.secret).await;
    reply.expect(StatusCode::OK);
    assert_eq!(reply.text, "");
}

pub async fn show(server: &Server, manager: &Key, id: &str) -> Value {
    let path = format!("/v1/api-keys/{id}");
    let bearer = &manager.secret;
    let shown = server.call(bearer, Method::GET, &path, Value::Null).await;
    shown.expect(StatusCode::OK).body.clone()
}

async fn a_found_key_is_ended_by_posting_it(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    server.exchange(&key, &[]).await.expect(StatusCode::OK);
    let reply = report(&server, "", &key.secret).await;
    assert_eq!(
        verbatim(&server, &reply),
        "200\ncache-control: no-store\npragma: no-cache\n\n"
    );
    server
        .exchange(&key, &[])
        .await
        .refuses(401, "invalid_client");
    let shown = show(&server, &acme, &key.id).await;
    assert_eq!(shown["status"], "revoked");
    assert_eq!(shown["revoke_reason"], "compromised");

    let events = Database::of(&server).await.audit_events("acme").await;
    let event = events.last().unwrap();
    assert_eq!(event.action, "api_key.revoke");
    assert_eq!((&event.actor, &event.target), (&key.id, &key.id));
    assert_eq!(event.address.as_deref(), Some("127.0.0.1"));
    assert!(event.request_id.as_ref().unwrap().starts_with("req_"));
    let details = json!({ "name": "test", "fingerprint": shown["fingerprint"],
        "reason": "compromised", "self": true });
    assert_eq!(event.details(), details);
}

async fn a_key_is_ended_from_a_network_it_cannot_be_used_from(server: Server) {
    let acme = server.organization("acme").await;
    let body = json!({ "name": "there", "scopes": ["read"],
        "allowed_ip_cidrs": ["203.0.113.0/24"] });
    let key = server.key(&acme, body).await;
    server
        .exchange(&key, &[])
        .await
        .refuses(403, "access_denied");
    ended(&server, &key).await;
    assert_eq!(show(&server, &acme, &key.id).await["status"], "revoked");
}

async fn a_key_is_ended_whatever_state_it_is_in(server: Server) {
    let acme = server.organization("acme").await;
    let short = json!({ "name": "short", "scopes": ["read"], "expires_in_days": 1 });
    let expired = server.key(&acme, short).await;
    let disabled = server.key_with(&acme, &["read"]).await;
    let suspended = server.key_with(&acme, &["read"]).await;
    post(&server, &acme, &disabled.id, "disable")
        .await
        .expect(StatusCode::OK);
    server.advance(86_400);
    ended(&server, &expired).await;
    ended(&server, &disabled).await;
    let path = "/v1/organizations/acme";
    for (verb, key) in [("suspend", Some(&suspended)), ("resume", None)] {
        let path = format!("{path}/{verb}");
        let done = server.operate(Method::POST, &path, Value::Null);
        done.await.expect(StatusCode::OK);
        if let Some(key) = key {
            ended(&server, key).await;
        }
    }
    for key in [&expired, &disabled, &suspended] {
        let shown = show(&server, &acme, &key.id).await;
        assert_eq!(shown["revoke_reason"], "compromised", "{shown}");
    }
}

/// Whoever stole the secret before can end that, and not the one that took its place.
async fn of_two_secrets_the_older_ends_itself_alone(server: Server) {
    let acme = server.organization("acme").await;
    let old = server.key_with(&acme, &["read"]).await;
    let new = rotated(&server, &acme, &old, 600).await;
    server.exchange(&old, &[]).await.expect(StatusCode::OK);
    ended(&server, &old).await;
    server
        .exchange(&old, &[])
        .await
        .refuses(401, "invalid_client");
    server.exchange(&new, &[]).await.expect(StatusCode::OK);
    let events = Database::of(&server).await.audit_events("acme").await;
    let event = events.last().unwrap();
    assert_eq!(event.action, "api_key.rotate_finish");
    assert_eq!(event.details()["self"], true);
    assert_eq!(event.actor, old.id);
    // Nor later, nor once a rotation without an overlap took its place.
    ended(&server, &old).await;
    let newest = rotated(&server, &acme, &new, 0).await;
    ended(&server, &new).await;
    server.exchange(&newest, &[]).await.expect(StatusCode::OK);
    // The newer one of two ends the whole key.
    let last = rotated(&server, &acme, &newest, 600).await;
    ended(&server, &last).await;
    for key in [&newest, &last] {
        server
            .exchange(key, &[])
            .await
            .refuses(401, "invalid_client");
    }
}

async fn what_is_not_there_to_end_is_answered_the_same(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let revoked = server.key_with(&acme, &["read"]).await;
    let first = report(&server, "", &revoked.secret).await;
    let mint = &server.app.management.crypto;
    let never = mint.mint(Ulid(1)).expose().to_owned();
    let wrong = mint.mint(key.id[4..].parse().unwrap());
    let foreign = of_another_deployment(&key.id).secret;
    let database = Database::of(&server).await;
    let before = database.contents().await;
    for token in [&revoked.secret, &never, wrong.expose(), &foreign] {
        for issuer in ["", "/orgs/acme", "/orgs/nobody"] {
            let reply = report(&server, issuer, token).await;
            assert_eq!(verbatim(&server, &reply), verbatim(&server, &first));
        }
    }
    assert_eq!(database.contents().await, before);
    server.exchange(&key, &[]).await.expect(StatusCode::OK);
}

async fn a_stranger_costs_no_query(server: Server) {
    let acme = server.organization("acme").await;
    server.app.close().await;
    let foreign = of_another_deployment(&acme.id);
    ended(&server, &foreign).await;
    // Whoever holds the key is told that it was not ended.
    let minted = server.app.management.crypto.mint(Ulid(1));
    let reply = report(&server, "", minted.expose()).await;
    reply.refuses(503, "temporarily_unavailable");
}

async fn an_organizations_endpoint_ends_its_own_keys_alone(server: Server) {
    let acme = server.organization("acme").await;
    server.organization("other").await;
    let key = server.key_with(&acme, &["read"]).await;
    for issuer in ["/orgs/other", "/orgs/nobody", "/orgs/operator"] {
        let reply = report(&server, issuer, &key.secret).await;
        reply.expect(StatusCode::OK);
        server.exchange(&key, &[]).await.expect(StatusCode::OK);
    }
    let reply = report(&server, "/orgs/acme", &key.secret).await;
    reply.expect(StatusCode::OK);
    server
        .exchange(&key, &[])
        .await
        .refuses(401, "invalid_client");
}

async fn of_many_who_end_a_key_at_once_one_is_recorded(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let request = || {
        server
            .request(Method::POST, "/oauth/revoke")
            .form(&[("token", &key.secret), ("token_type_hint", &key.id)])
    };
    for reply in at_once((0..6).map(|_| request())).await {
        reply.expect(StatusCode::OK);
    }
    let events = Database::of(&server).await.audit_events("acme").await;
    let revokes = events
        .iter()
        .filter(|event| event.action == "api_key.revoke");
    assert_eq!(revokes.count(), 1);
}

/// A management key can be ended like any other, and ends nothing but itself.
async fn a_holder_that_ends_its_key_is_given_no_authority(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    ended(&server, &acme).await;
    server.exchange(&key, &[]).await.expect(StatusCode::OK);
    let path = "/v1/api-keys";
    let refused = server.call(&acme.secret, Method::GET, path, Value::Null);
    refused.await.refuses(401, "unauthenticated");
    server.exchange(&key, &[]).await.expect(StatusCode::OK);
}
