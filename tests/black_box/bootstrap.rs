//! Bootstrap: one signing key and one management key, one sight of the secret, whoever asks when.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::on_both_engines;
use crate::support::crowd::at_once;
use crate::support::database::Database;
use crate::support::server::{Key, Reply, Server, header};

on_both_engines!(
    the_first_answer_alone_carries_the_secret,
    twenty_at_once_make_one_signing_key_and_one_management_key,
    the_management_key_may_do_everything_of_its_organization_and_nothing_beyond,
    an_organization_signs_with_what_its_bootstrap_said,
    another_algorithm_on_repeat_is_a_conflict_that_changes_nothing,
    another_size_on_repeat_is_a_conflict_and_none_said_is_not,
    a_size_is_for_rsa_keys_alone_and_one_of_three,
    a_reissue_revokes_the_old_key_and_recovers_a_lost_one,
    a_reissue_recovers_also_when_the_key_was_revoked_or_there_was_none,
    twenty_reissues_at_once_leave_one_key_in_force,
    the_operator_is_bootstrapped_already,
);

async fn create(server: &Server, id: &str) {
    let path = "/v1/organizations";
    let created = server
        .operate(Method::POST, path, json!({ "id": id }))
        .await;
    created.expect(StatusCode::CREATED);
}

async fn bootstrap(server: &Server, id: &str, body: Value) -> Reply {
    let path = format!("/v1/organizations/{id}/bootstrap");
    server.operate(Method::POST, &path, body).await
}

/// Twenty bootstraps of `acme` with this body, at the same time.
async fn twenty(server: &Server, body: &Value) -> Vec<Reply> {
    at_once((0..20).map(|_| {
        server
            .request(Method::POST, "/v1/organizations/acme/bootstrap")
            .bearer_auth(&server.operator)
            .json(body)
    }))
    .await
}

/// The keys of `acme`, with this status.
async fn keys(server: &Server, status: &str) -> Vec<Value> {
    let path = format!("/v1/organizations/acme/api-keys?limit=100&status={status}");
    let mut listed = server.operate(Method::GET, &path, Value::Null).await;
    let keys = listed.expect(StatusCode::OK).body["data"].as_array();
    assert!(keys.is_some());
    match listed.body["data"].take() {
        Value::Array(keys) => keys,
        _ => Vec::new(),
    }
}

async fn works(server: &Server, key: &Key) -> bool {
    let path = "/v1/api-keys";
    let listed = server
        .call(&key.secret, Method::GET, path, Value::Null)
        .await;
    let exchanged = server.exchange(key, &[]).await;
    assert_eq!(listed.status, exchanged.status, "both planes agree");
    listed.status == StatusCode::OK
}

async fn the_first_answer_alone_carries_the_secret(server: Server) {
    create(&server, "acme").await;
    let mut first = bootstrap(&server, "acme", json!({ "alg": "ES256" })).await;
    first.expect(StatusCode::CREATED);
    assert!(works(&server, &Key::of(&first.body["management_key"])).await);
    let members = first.body["management_key"].as_object_mut().unwrap();
    members.remove("secret").unwrap();

    server.advance(60);
    for body in [
        json!({ "alg": "ES256" }),
        json!({}),
        json!({ "reissue": false }),
        Value::Null,
    ] {
        let again = bootstrap(&server, "acme", body).await;
        again.expect(StatusCode::OK);
        assert_eq!(again.body, first.body, "the same without a secret");
    }
}

async fn twenty_at_once_make_one_signing_key_and_one_management_key(server: Server) {
    create(&server, "acme").await;
    let replies = twenty(&server, &json!({})).await;
    let (first, others): (Vec<_>, Vec<_>) = replies
        .iter()
        .partition(|reply| reply.status == StatusCode::CREATED);
    let [first] = first[..] else {
        panic!("{} were first", first.len());
    };
    let key = Key::of(&first.body["management_key"]);
    for other in others {
        other.expect(StatusCode::OK);
        assert_eq!(other.body["signing_key"], first.body["signing_key"]);
        assert_eq!(other.body["management_key"]["id"], key.id);
        assert!(other.body["management_key"].get("secret").is_none());
        assert!(!other.text.contains(&key.secret));
    }
    assert_eq!(keys(&server, "all").await.len(), 1);
    let database = Database::of(&server).await;
    let signing_keys = "SELECT COUNT(*) FROM signing_keys WHERE organization_id = 'acme'";
    assert_eq!(database.count(signing_keys).await, 1);
    let jwks = server.get("/orgs/acme/.well-known/jwks.json").await;
    assert_eq!(jwks.body["keys"].as_array().unwrap().len(), 1);
    assert_eq!(
        jwks.body["keys"][0]["kid"],
        first.body["signing_key"]["kid"]
    );
    assert!(works(&server, &key).await);
}

async fn the_management_key_may_do_everything_of_its_organization_and_nothing_beyond(
    server: Server,
) {
    let acme = server.organization("acme").await;
    let all = [
        "*",
        "api_keys.*",
        "roles.*",
        "signing_keys.*",
        "tokens.*",
        "usage.*",
        "audit.*",
        "organization.*",
    ];
    let made = server.key_with(&acme, &all).await;
    assert!(works(&server, &made).await);
    for beyond in [
        "organizations.read",
        "organizations.write",
        "organizations.*",
    ] {
        let body = json!({ "name": "x", "scopes": [beyond] });
        let refused = server
            .call(&acme.secret, Method::POST, "/v1/api-keys", body)
            .await;
        refused.refuses(403, "exceeds_authority");
    }
}

async fn an_organization_signs_with_what_its_bootstrap_said(server: Server) {
    for (id, body, alg) in [
        ("plain", json!({}), "ES256"),
        ("bodyless", Value::Null, "ES256"),
        ("curve", json!({ "alg": "ES256" }), "ES256"),
        ("edwards", json!({ "alg": "EdDSA" }), "EdDSA"),
        ("rivest", json!({ "alg": "RS256" }), "RS256"),
    ] {
        create(&server, id).await;
        let done = bootstrap(&server, id, body).await;
        let signing_key = &done.expect(StatusCode::CREATED).body["signing_key"];
        assert_eq!(signing_key["alg"], alg);
        let key = Key::of(&done.body["management_key"]);
        let issuer = format!("/orgs/{id}");
        let token = server.exchange_at(&issuer, &key, &[]).await;
        let token = token.expect(StatusCode::OK).body["access_token"].as_str();
        let header = header(token.unwrap());
        assert_eq!(
            (&header["alg"], &header["kid"]),
            (&json!(alg), &signing_key["kid"])
        );
        // The management plane belongs to the deployment issuer, whatever the organization.
        server.management_token(&key, &[]).await;
        assert!(works(&server, &key).await);
    }
}

async fn another_algorithm_on_repeat_is_a_conflict_that_changes_nothing(server: Server) {
    let acme = server.organization_signing_with("acme", "EdDSA").await;
    let database = Database::of(&server).await;
    let before = database.contents().await;
    for body in [
        json!({ "alg": "ES256" }),
        json!({ "alg": "ES256", "reissue": true }),
    ] {
        let refused = bootstrap(&server, "acme", body).await;
        refused.refuses(409, "other_algorithm");
    }
    assert_eq!(database.contents().await, before);
    assert!(works(&server, &acme).await);
    let same = bootstrap(&server, "acme", json!({ "alg": "EdDSA" })).await;
    same.expect(StatusCode::OK);
}

async fn another_size_on_repeat_is_a_conflict_and_none_said_is_not(server: Server) {
    create(&server, "acme").await;
    let first = bootstrap(&server, "acme", json!({ "alg": "RS256", "rsa_bits": 3072 })).await;
    first.expect(StatusCode::CREATED);
    let jwks = server.get("/orgs/acme/.well-known/jwks.json").await;
    let modulus = jwks.body["keys"][0]["n"].as_str().unwrap();
    assert_eq!(modulus.len(), 3072 / 6);
    let before = Database::of(&server).await.contents().await;
    for body in [
        json!({ "alg": "RS256", "rsa_bits": 2048 }),
        json!({ "alg": "RS256", "rsa_bits": 4096, "reissue": true }),
        json!({ "alg": "ES256" }),
    ] {
        let refused = bootstrap(&server, "acme", body).await;
        refused.refuses(409, "other_algorithm");
        let detail = refused.body["detail"].as_str().unwrap();
        assert!(detail.contains("RS256 of 3072 bits"), "{detail}");
    }
    assert_eq!(Database::of(&server).await.contents().await, before);
    for body in [
        json!({ "alg": "RS256" }),
        json!({ "alg": "RS256", "rsa_bits": 3072 }),
        json!({}),
    ] {
        let again = bootstrap(&server, "acme", body).await;
        again.expect(StatusCode::OK);
        assert_eq!(again.body["signing_key"], first.body["signing_key"]);
    }
}

async fn a_size_is_for_rsa_keys_alone_and_one_of_three(server: Server) {
    create(&server, "acme").await;
    for body in [
        json!({ "rsa_bits": 2048 }),
        json!({ "alg": "ES256", "rsa_bits": 2048 }),
        json!({ "alg": "EdDSA", "rsa_bits": 4096 }),
        json!({ "alg": "RS256", "rsa_bits": 1024 }),
        json!({ "alg": "RS256", "rsa_bits": 2056 }),
        json!({ "alg": "RS256", "rsa_bits": 8192 }),
        json!({ "alg": "RS256", "rsa_bits": "2048" }),
        json!({ "alg": "RS256", "rsa_bits": null }),
    ] {
        let refused = bootstrap(&server, "acme", body).await;
        refused.refuses(422, "invalid_field");
        assert_eq!(refused.body["pointer"], "/rsa_bits", "{}", refused.text);
    }
    let shown = server.get("/orgs/acme/.well-known/jwks.json").await;
    shown.refuses(404, "not_found");
}

async fn a_reissue_revokes_the_old_key_and_recovers_a_lost_one(server: Server) {
    let lost = server.organization("acme").await;
    let token = server.management_token(&lost, &[]).await;
    let child = server.key_with(&lost, &["read"]).await;
    assert!(works(&server, &lost).await);
    let before = bootstrap(&server, "acme", json!({})).await;

    let reissued = bootstrap(&server, "acme", json!({ "reissue": true })).await;
    reissued.expect(StatusCode::OK);
    let new = Key::of(&reissued.body["management_key"]);
    assert_ne!(new.id, lost.id);
    assert!(works(&server, &new).await);
    assert!(!works(&server, &lost).await);
    let path = "/v1/api-keys";
    let refused = server.call(&token, Method::GET, path, Value::Null).await;
    refused.refuses(401, "unauthenticated");

    // Whoever validates tokens notices nothing, nor does any other key.
    assert_eq!(reissued.body["signing_key"], before.body["signing_key"]);
    server.exchange(&child, &[]).await.expect(StatusCode::OK);
    let again = bootstrap(&server, "acme", json!({})).await;
    assert_eq!(again.body["management_key"]["id"], new.id);
    assert!(again.body["management_key"].get("secret").is_none());
}

async fn a_reissue_recovers_also_when_the_key_was_revoked_or_there_was_none(server: Server) {
    let acme = server.organization("acme").await;
    let revoke = format!("/v1/api-keys/{}/revoke", acme.id);
    let revoked = server
        .call(&acme.secret, Method::POST, &revoke, Value::Null)
        .await;
    revoked.expect(StatusCode::OK);
    let again = bootstrap(&server, "acme", json!({})).await;
    assert_eq!(again.body["management_key"]["status"], "revoked");
    server.advance(60);
    let reissued = bootstrap(&server, "acme", json!({ "reissue": true })).await;
    let new = Key::of(&reissued.expect(StatusCode::OK).body["management_key"]);
    assert!(works(&server, &new).await);
    let old = format!("/v1/api-keys/{}", acme.id);
    let old = server
        .call(&new.secret, Method::GET, &old, Value::Null)
        .await;
    assert_eq!(old.body["revoked_at"], revoked.body["revoked_at"]);

    create(&server, "fresh").await;
    let first = bootstrap(&server, "fresh", json!({ "reissue": true })).await;
    let first = Key::of(&first.expect(StatusCode::CREATED).body["management_key"]);
    assert!(works(&server, &first).await);
}

async fn twenty_reissues_at_once_leave_one_key_in_force(server: Server) {
    let first = server.organization("acme").await;
    let replies = twenty(&server, &json!({ "reissue": true })).await;
    let mut made = vec![first];
    for reply in &replies {
        made.push(Key::of(
            &reply.expect(StatusCode::OK).body["management_key"],
        ));
    }
    assert_eq!(keys(&server, "all").await.len(), 21);
    let active = keys(&server, "active").await;
    let [active] = &active[..] else {
        panic!("{} are active", active.len());
    };
    for key in &made {
        assert_eq!(works(&server, key).await, active["id"] == *key.id);
    }
    let seen = bootstrap(&server, "acme", json!({})).await;
    assert_eq!(seen.body["management_key"]["id"], active["id"]);
}

async fn the_operator_is_bootstrapped_already(server: Server) {
    let seen = bootstrap(&server, "operator", json!({})).await;
    seen.expect(StatusCode::OK);
    assert_eq!(seen.body["management_key"], Value::Null);
    let jwks = server.get("/.well-known/jwks.json").await;
    assert_eq!(jwks.body["keys"][0]["kid"], seen.body["signing_key"]["kid"]);
    bootstrap(&server, "operator", json!({ "alg": "EdDSA" }))
        .await
        .refuses(409, "other_algorithm");
}
