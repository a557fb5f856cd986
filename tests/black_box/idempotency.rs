//! Requests under an `Idempotency-Key`: sent again, they do nothing again.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::on_both_engines;
use crate::support::server::{Key, Reply, Server};

on_both_engines!(
    a_create_sent_again_makes_one_key_and_shows_its_secret_once,
    a_replay_shows_the_key_as_it_is_now,
    another_body_under_the_same_key_is_refused,
    a_refused_request_can_be_sent_again_at_once,
    twenty_at_once_make_one_key,
    a_key_counts_for_one_caller_and_one_route,
    a_request_is_forgotten_after_a_day,
    an_abandoned_request_is_taken_over,
    organizations_and_bootstraps_are_done_once,
    a_role_is_made_once,
    a_rotation_is_done_once,
    what_is_no_idempotency_key_is_refused,
);

async fn send(server: &Server, bearer: &str, path: &str, key: &str, body: &Value) -> Reply {
    let request = server
        .request(Method::POST, path)
        .bearer_auth(bearer)
        .header("idempotency-key", key)
        .json(body);
    Reply::of(request).await
}

async fn count(server: &Server, manager: &Key) -> usize {
    let path = "/v1/api-keys?status=all&limit=100";
    let listed = server
        .call(&manager.secret, Method::GET, path, Value::Null)
        .await;
    listed.body["data"].as_array().unwrap().len()
}

fn new_key() -> Value {
    json!({ "name": "ci", "scopes": ["read"] })
}

async fn a_create_sent_again_makes_one_key_and_shows_its_secret_once(server: Server) {
    let acme = server.organization("acme").await;
    let path = "/v1/api-keys";
    let first = send(&server, &acme.secret, path, "k1", &new_key()).await;
    let key = Key::of(&first.expect(StatusCode::CREATED).body);
    for _ in 0..2 {
        let again = send(&server, &acme.secret, path, "k1", &new_key()).await;
        again.expect(StatusCode::OK);
        assert_eq!(again.body["id"], key.id);
        assert_eq!(again.body["secret"], Value::Null);
        assert_eq!(again.body["secret_withheld"], true);
        assert!(
            again.body["secret_hint"]
                .as_str()
                .unwrap()
                .contains("rotate")
        );
        assert!(!again.text.contains(&key.secret));
    }
    assert_eq!(count(&server, &acme).await, 2);
    server.exchange(&key, &[]).await.expect(StatusCode::OK);
    // Neither the key nor the body is kept, nor, of course, the secret.
    let kept = server
        .place()
        .query("SELECT id || request || claim || COALESCE(result, '') FROM idempotency")
        .await
        .join(" ");
    assert!(kept.contains(&key.id) && !kept.contains("k1") && !kept.contains("tmsk_"));
}

async fn a_replay_shows_the_key_as_it_is_now(server: Server) {
    let acme = server.organization("acme").await;
    let path = "/v1/api-keys";
    let first = send(&server, &acme.secret, path, "k", &new_key()).await;
    let id = first.body["id"].as_str().unwrap();
    let revoke = format!("/v1/api-keys/{id}/revoke");
    server
        .call(&acme.secret, Method::POST, &revoke, Value::Null)
        .await
        .expect(StatusCode::OK);
    let again = send(&server, &acme.secret, path, "k", &new_key()).await;
    assert_eq!(again.expect(StatusCode::OK).body["status"], "revoked");
}

async fn another_body_under_the_same_key_is_refused(server: Server) {
    let acme = server.organization("acme").await;
    let path = "/v1/api-keys";
    let first = send(&server, &acme.secret, path, "k", &new_key()).await;
    first.expect(StatusCode::CREATED);
    let other = json!({ "name": "ci", "scopes": ["write"] });
    let refused = send(&server, &acme.secret, path, "k", &other).await;
    refused.refuses(422, "idempotency_key_reused");
    assert_eq!(count(&server, &acme).await, 2);
}

async fn a_refused_request_can_be_sent_again_at_once(server: Server) {
    let acme = server.organization("acme").await;
    let path = "/v1/api-keys";
    let narrow = server.key_with(&acme, &["api_keys.create", "read"]).await;
    let beyond = json!({ "name": "ci", "scopes": ["write"] });
    for _ in 0..2 {
        let refused = send(&server, &narrow.secret, path, "k", &beyond).await;
        refused.refuses(403, "exceeds_authority");
    }
    // Nothing was done under it, so it is free for what is acceptable.
    let made = send(&server, &narrow.secret, path, "k", &new_key()).await;
    made.expect(StatusCode::CREATED);
}

async fn twenty_at_once_make_one_key(server: Server) {
    let acme = server.organization("acme").await;
    let attempts: Vec<_> = (0..20)
        .map(|_| {
            let request = server
                .request(Method::POST, "/v1/api-keys")
                .bearer_auth(&acme.secret)
                .header("idempotency-key", "k")
                .json(&new_key());
            tokio::spawn(Reply::of(request))
        })
        .collect();
    let mut made = 0;
    for attempt in attempts {
        let reply = attempt.await.unwrap();
        match reply.status {
            StatusCode::CREATED => made += 1,
            StatusCode::OK => assert_eq!(reply.body["secret_withheld"], true),
            _ => drop(reply.refuses(409, "in_flight")),
        }
    }
    assert_eq!(made, 1);
    assert_eq!(count(&server, &acme).await, 2);
}

async fn a_key_counts_for_one_caller_and_one_route(server: Server) {
    let acme = server.organization("acme").await;
    let second = server.key_with(&acme, &["api_keys.create", "read"]).await;
    let mut ids = std::collections::BTreeSet::new();
    for (bearer, path) in [
        (&acme.secret, "/v1/api-keys"),
        (&second.secret, "/v1/api-keys"),
        (&server.operator, "/v1/organizations/acme/api-keys"),
        (&server.operator, "/v1/api-keys"),
    ] {
        let made = send(&server, bearer, path, "k", &new_key()).await;
        made.expect(StatusCode::CREATED);
        ids.insert(made.body["id"].to_string());
    }
    assert_eq!(ids.len(), 4);
}

async fn a_request_is_forgotten_after_a_day(server: Server) {
    let acme = server.organization("acme").await;
    let path = "/v1/api-keys";
    let first = send(&server, &acme.secret, path, "k", &new_key()).await;
    server.advance(86_399);
    let replay = send(&server, &acme.secret, path, "k", &new_key()).await;
    assert_eq!(replay.expect(StatusCode::OK).body["id"], first.body["id"]);
    server.advance(1);
    let anew = send(&server, &acme.secret, path, "k", &new_key()).await;
    assert_ne!(
        anew.expect(StatusCode::CREATED).body["id"],
        first.body["id"]
    );
}

async fn an_abandoned_request_is_taken_over(server: Server) {
    let acme = server.organization("acme").await;
    let path = "/v1/api-keys";
    let first = send(&server, &acme.secret, path, "k", &new_key()).await;
    first.expect(StatusCode::CREATED);
    // As a crash in the middle leaves it.
    server
        .place()
        .execute("UPDATE idempotency SET result = NULL, claim = 'gone'")
        .await;
    let waits = send(&server, &acme.secret, path, "k", &new_key()).await;
    waits.refuses(409, "in_flight");
    server.advance(300);
    let done = send(&server, &acme.secret, path, "k", &new_key()).await;
    done.expect(StatusCode::CREATED);
}

async fn organizations_and_bootstraps_are_done_once(server: Server) {
    let new = json!({ "name": "Acme" });
    let root = "/v1/organizations";
    let first = send(&server, &server.operator, root, "k", &new).await;
    let id = first.expect(StatusCode::CREATED).body["id"]
        .as_str()
        .unwrap();
    let again = send(&server, &server.operator, root, "k", &new).await;
    assert_eq!(again.expect(StatusCode::OK).body["id"], id);

    let path = format!("{root}/{id}/bootstrap");
    let first = send(&server, &server.operator, &path, "b", &json!({})).await;
    first.expect(StatusCode::CREATED);
    assert!(first.body["management_key"]["secret"].is_string());
    let again = send(&server, &server.operator, &path, "b", &json!({})).await;
    again.expect(StatusCode::OK);
    assert_eq!(again.body["management_key"]["secret_withheld"], true);
    // A reissue sent twice replaces one key, not two.
    let reissue = json!({ "reissue": true });
    let first = send(&server, &server.operator, &path, "r", &reissue).await;
    let key = Key::of(&first.expect(StatusCode::OK).body["management_key"]);
    let again = send(&server, &server.operator, &path, "r", &reissue).await;
    assert_eq!(
        again.expect(StatusCode::OK).body["management_key"]["id"],
        key.id
    );
    assert_eq!(again.body["management_key"]["secret"], Value::Null);
    server.exchange(&key, &[]).await.expect(StatusCode::OK);
    // A bootstrap that finds everything there holds nothing up.
    for _ in 0..2 {
        let nothing = send(&server, &server.operator, &path, "n", &json!({})).await;
        nothing.expect(StatusCode::OK);
    }
}

async fn a_role_is_made_once(server: Server) {
    let acme = server.organization("acme").await;
    let role = json!({ "name": "reader", "scopes": ["read"] });
    let first = send(&server, &acme.secret, "/v1/roles", "k", &role).await;
    first.expect(StatusCode::CREATED);
    let again = send(&server, &acme.secret, "/v1/roles", "k", &role).await;
    assert_eq!(again.expect(StatusCode::OK).body, first.body);
    let other = send(&server, &acme.secret, "/v1/roles", "l", &role).await;
    other.refuses(409, "role_exists");
}

async fn a_rotation_is_done_once(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let path = format!("/v1/api-keys/{}/rotate", key.id);
    let first = send(&server, &acme.secret, &path, "k", &json!({})).await;
    let new = Key::of(&first.expect(StatusCode::OK).body);
    let again = send(&server, &acme.secret, &path, "k", &json!({})).await;
    assert_eq!(again.expect(StatusCode::OK).body["secret_withheld"], true);
    assert_eq!(again.body["fingerprint"], first.body["fingerprint"]);
    server.exchange(&new, &[]).await.expect(StatusCode::OK);
    let other = send(&server, &acme.secret, &path, "l", &json!({})).await;
    other.refuses(409, "rotation_under_way");
}

async fn what_is_no_idempotency_key_is_refused(server: Server) {
    let acme = server.organization("acme").await;
    let path = "/v1/api-keys";
    let long = "k".repeat(256);
    for bad in ["", " ", &long, "schlüssel", &acme.secret] {
        let refused = send(&server, &acme.secret, path, bad, &new_key()).await;
        refused.refuses(400, "invalid_idempotency_key");
    }
    let request = server
        .request(Method::POST, path)
        .bearer_auth(&acme.secret)
        .header("idempotency-key", "a")
        .header("idempotency-key", "b")
        .json(&new_key());
    Reply::of(request)
        .await
        .refuses(400, "invalid_idempotency_key");
    assert_eq!(count(&server, &acme).await, 1);
}
