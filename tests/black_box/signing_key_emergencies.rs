//! An emergency waits for nothing that other organizations do, and costs them nothing.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::signing_keys::{jwks, kid_in, rotate, signs};
use crate::on_both_engines;
use crate::support::database::Database;
use crate::support::server::{Key, Reply, Server};

on_both_engines!(
    a_withdrawal_does_not_wait_for_an_rsa_key_and_one_follows_by_itself,
    an_emergency_does_not_wait_for_an_rsa_key_and_one_follows_by_itself,
    an_organization_has_one_rsa_key_made_at_a_time,
    a_tenant_in_a_hurry_is_slowed_down_and_nobody_else,
    a_key_that_was_published_for_an_hour_can_always_be_withdrawn,
);

const HOUR: u64 = 3_600;

/// The gates before the making of RSA keys, as when others order more than can be made: nothing
/// gets through until this is dropped.
struct Shut {
    _gates: Vec<mpsc::Sender<()>>,
}

async fn shut(server: &Server) -> Shut {
    let mut gates = Vec::new();
    for urgent in [false, true] {
        let (open, closed) = mpsc::channel::<()>();
        let (hold, held) = oneshot::channel();
        let app = Arc::clone(&server.app);
        tokio::spawn(async move {
            let rsa = &app.management.rsa;
            let gate = if urgent { &rsa.urgent } else { &rsa.ordinary };
            let wait = move || {
                hold.send(()).unwrap();
                let _ = closed.recv();
            };
            gate.run_in_turn(wait).await
        });
        held.await.unwrap();
        gates.push(open);
    }
    Shut { _gates: gates }
}

async fn revoke(server: &Server, bearer: &str, path: &str, kid: &str) -> Reply {
    let path = format!("{path}/signing-keys/{kid}/revoke");
    server.call(bearer, Method::POST, &path, Value::Null).await
}

async fn shown(server: &Server, manager: &Key, kid: &str) -> Value {
    let path = format!("/v1/signing-keys/{kid}");
    let shown = server.call(&manager.secret, Method::GET, &path, Value::Null);
    shown.await.expect(StatusCode::OK).body.clone()
}

/// Waits until another key signs, and says which. The jobs look every second.
async fn until_another_signs(server: &Server, acme: &Key, than: &str) -> Value {
    for _ in 0..600 {
        server.advance(1);
        let kid = signs(server, acme).await;
        if kid != than {
            return shown(server, acme, &kid).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("no other key signs")
}

/// A key that stands in for one of 2048 bits signs now, and is relieved by it once that can be made.
async fn is_stood_in_for(server: &Server, acme: &Key, shut: Shut, stand_in: &str) {
    assert_eq!(signs(server, acme).await, stand_in);
    let key = shown(server, acme, stand_in).await;
    assert_eq!(
        [&key["alg"], &key["status"], &key["stands_in_for"]],
        ["ES256", "active", "RS256 of 2048 bits"]
    );
    assert!(jwks(server).await.contains(&stand_in.to_owned()));
    // Whoever rotates without haste waits for what is being made.
    let early = rotate(server, acme, json!({})).await;
    early.refuses(409, "signing_key_being_made");

    drop(shut);
    let relief = until_another_signs(server, acme, stand_in).await;
    assert_eq!(relief["alg"], "RS256");
    assert_eq!(relief["public_jwk"]["n"].as_str().unwrap().len(), 342);
    assert_eq!(relief["stands_in_for"], Value::Null);
    assert_eq!(shown(server, acme, stand_in).await["status"], "retiring");
    let events = Database::of(server).await.audit_events("acme").await;
    let last = events.last().unwrap();
    assert_eq!(
        (&*last.action, &*last.actor, &last.details()["follows"]),
        ("signing_key.rotate", "tenmint", &json!(stand_in))
    );
}

async fn a_withdrawal_does_not_wait_for_an_rsa_key_and_one_follows_by_itself(server: Server) {
    let acme = server.organization_signing_with("acme", "RS256").await;
    let leaked = kid_in(&server, &acme, "active").await.unwrap();
    let shut = shut(&server).await;
    let revoked = revoke(&server, &acme.secret, "/v1", &leaked).await;
    let revoked = revoked.expect(StatusCode::OK).body.clone();
    let stand_in = revoked["replaced_by"].as_str().unwrap();
    assert_eq!(jwks(&server).await, [stand_in]);
    is_stood_in_for(&server, &acme, shut, stand_in).await;
    // What is to sign is what bootstrap ordered, also while another stood in for it.
    let path = "/v1/organizations/acme/bootstrap";
    let again = server.operate(Method::POST, path, json!({ "alg": "RS256" }));
    again.await.expect(StatusCode::OK);
}

async fn an_emergency_does_not_wait_for_an_rsa_key_and_one_follows_by_itself(server: Server) {
    let acme = server.organization("acme").await;
    let shut = shut(&server).await;
    let body = json!({ "alg": "RS256", "emergency": true });
    let rotated = rotate(&server, &acme, body).await;
    let rotated = rotated.expect(StatusCode::CREATED).body.clone();
    let stand_in = rotated["kid"].as_str().unwrap();
    is_stood_in_for(&server, &acme, shut, stand_in).await;
}

async fn an_organization_has_one_rsa_key_made_at_a_time(server: Server) {
    let acme = server.organization_signing_with("acme", "RS256").await;
    let globex = server.organization_signing_with("globex", "RS256").await;
    let shut = shut(&server).await;
    let mut orders = JoinSet::new();
    for _ in 0..5 {
        let request = server
            .request(Method::POST, "/v1/signing-keys/rotate")
            .bearer_auth(&acme.secret);
        orders.spawn(Reply::of(request));
    }
    for _ in 0..4 {
        let refused = orders.join_next().await.unwrap().unwrap();
        refused.refuses(409, "signing_key_being_made");
    }
    // Somebody else has a place in the queue.
    let request = server
        .request(Method::POST, "/v1/signing-keys/rotate")
        .bearer_auth(&globex.secret);
    orders.spawn(Reply::of(request));
    drop(shut);
    while let Some(made) = orders.join_next().await {
        made.unwrap().expect(StatusCode::CREATED);
    }
}

async fn a_tenant_in_a_hurry_is_slowed_down_and_nobody_else(server: Server) {
    let acme = server.organization("acme").await;
    let umbrella = server.organization("umbrella").await;
    let emergency = json!({ "emergency": true });
    // The first key signed at once too.
    for _ in 1..20 {
        let rotated = rotate(&server, &acme, emergency.clone()).await;
        rotated.expect(StatusCode::CREATED);
    }
    let before = Database::of(&server).await.contents().await;
    let refused = rotate(&server, &acme, emergency.clone()).await;
    refused.refuses(429, "too_many_emergencies");
    assert_eq!(refused.header("retry-after"), Some("3600"));
    let young = kid_in(&server, &acme, "active").await.unwrap();
    let refused = revoke(&server, &acme.secret, "/v1", &young).await;
    refused.refuses(429, "too_many_emergencies");
    assert_eq!(Database::of(&server).await.contents().await, before);

    let neighbour = rotate(&server, &umbrella, emergency.clone()).await;
    neighbour.expect(StatusCode::CREATED);
    let path = "/v1/organizations/acme";
    let helped = revoke(&server, &server.operator, path, &young).await;
    helped.expect(StatusCode::OK);
    let path = "/v1/organizations/acme/signing-keys/rotate";
    let helped = server.operate(Method::POST, path, emergency.clone()).await;
    helped.expect(StatusCode::CREATED);

    server.advance(HOUR);
    let calm = rotate(&server, &acme, emergency).await;
    calm.expect(StatusCode::CREATED);
}

/// Whoever stole a key, and a credential to rotate with, cannot use up what its owner needs.
async fn a_key_that_was_published_for_an_hour_can_always_be_withdrawn(server: Server) {
    let acme = server.organization("acme").await;
    let stolen = kid_in(&server, &acme, "active").await.unwrap();
    server.advance(HOUR);
    let mut made = 0;
    while rotate(&server, &acme, json!({ "emergency": true }))
        .await
        .status
        == 201
    {
        made += 1;
    }
    assert_eq!(made, 20);
    let revoked = revoke(&server, &acme.secret, "/v1", &stolen).await;
    revoked.expect(StatusCode::OK);
    assert!(!jwks(&server).await.contains(&stolen));
}
