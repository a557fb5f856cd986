//! An emergency is refused where there were too many, and then costs nobody anything.

use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::task::JoinSet;

use super::signing_key_stand_ins::{revoke, shut};
use super::signing_keys::{jwks, kid_in, rotate, rsa_key};
use crate::on_both_engines;
use crate::support::database::Database;
use crate::support::server::{Reply, Server};

on_both_engines!(
    an_organization_has_one_rsa_key_made_at_a_time,
    no_rsa_key_is_made_for_an_emergency_that_is_refused,
    a_tenant_in_a_hurry_is_slowed_down_and_nobody_else,
    a_key_that_was_published_for_an_hour_can_always_be_withdrawn,
);

const HOUR: u64 = 3_600;

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

/// Whoever may not have it made is not to cost a core for seconds.
async fn no_rsa_key_is_made_for_an_emergency_that_is_refused(server: Server) {
    let acme = server.organization("acme").await;
    for _ in 2..20 {
        let rotated = rotate(&server, &acme, json!({ "emergency": true })).await;
        rotated.expect(StatusCode::CREATED);
    }
    let body = json!({ "alg": "RS256", "emergency": true });
    let rotated = rotate(&server, &acme, body.clone()).await;
    let rotated = rotated.expect(StatusCode::CREATED).body.clone();
    let young = rsa_key(&server, &acme, &rotated).await["kid"].clone();
    let begun = server.app.management.rsa.begun();
    assert!(begun > 0);
    let refused = rotate(&server, &acme, body).await;
    refused.refuses(429, "too_many_emergencies");
    let young = young.as_str().unwrap();
    let refused = revoke(&server, &acme.secret, "/v1", young).await;
    refused.refuses(429, "too_many_emergencies");
    // Nor for one who has nothing to do with it, or for what is gone.
    let umbrella = server.organization("umbrella").await;
    let foreign = revoke(&server, &umbrella.secret, "/v1", young).await;
    assert_eq!(foreign.status, 404);
    assert_eq!(server.app.management.rsa.begun(), begun);
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
