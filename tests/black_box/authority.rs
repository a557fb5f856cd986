//! Least privilege: nobody does, or gives away, more than its own key may at this moment.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::on_both_engines;
use crate::support::server::{Key, Place, Reply, Server};

on_both_engines!(
    a_grant_stays_within_the_scopes_of_its_granter,
    a_grant_stays_within_the_networks_of_its_granter,
    a_grant_does_not_outlive_its_granter,
    everything_of_the_platform_is_no_management_action,
    the_operator_grants_within_its_own_authority_too,
);

pub async fn create(server: &Server, bearer: &str, body: &Value) -> Reply {
    let mut body = body.clone();
    body["name"] = "child".into();
    let path = "/v1/api-keys";
    server.call(bearer, Method::POST, path, body).await
}

#[track_caller]
pub fn exceeds(reply: &Reply, pointer: &str) {
    reply.refuses(403, "exceeds_authority");
    assert_eq!(reply.body["pointer"], pointer, "{}", reply.text);
}

async fn a_grant_stays_within_the_scopes_of_its_granter(server: Server) {
    let acme = server.organization("acme").await;
    let held = [
        "api_keys.create",
        "read:projects/42/**",
        "files.*",
        "write:a/*",
    ];
    let granter = server.key_with(&acme, &held).await;
    for within in [
        "read:projects/42/**",
        "read:projects/42",
        "read:projects/42/files/*",
        "files.read",
        "files.*",
        "files.read.raw:x/**",
        "write:a/b",
        "api_keys.create",
        "api_keys.create:x",
    ] {
        let body = json!({ "scopes": ["files.read", within] });
        let made = create(&server, &granter.secret, &body).await;
        made.expect(StatusCode::CREATED);
    }
    for beyond in [
        "*",
        "*:projects/42",
        "read",
        "read:projects/**",
        "read:projects/*",
        "read:projects/421",
        "files",
        "filesystem.read",
        "write:a/**",
        "write:a/b/c",
        "api_keys.read",
        "api_keys.*",
        "api_keys.any_network",
        "organizations.read",
    ] {
        let body = json!({ "scopes": ["files.read", beyond] });
        let refused = create(&server, &granter.secret, &body).await;
        exceeds(&refused, "/scopes");
        let detail = refused.body["detail"].as_str().unwrap();
        assert!(detail.contains(&format!("{beyond},")), "{detail}");
    }
}

async fn a_grant_stays_within_the_networks_of_its_granter(server: Server) {
    let acme = server.organization("acme").await;
    let mut body = json!({ "name": "granter", "scopes": ["api_keys.create", "read"],
        "allowed_ip_cidrs": ["127.0.0.0/8", "10.0.0.0/9", "10.128.0.0/9"] });
    let granter = server.key(&acme, body.clone()).await;
    body["scopes"] = json!(["api_keys.create", "api_keys.any_network", "read"]);
    let free = server.key(&acme, body).await;
    let beyond = [
        Value::Null,
        json!(["126.0.0.0/7"]),
        json!(["127.0.0.1", "192.0.2.1"]),
        json!(["0.0.0.0/0"]),
        json!(["::1"]),
        json!(["::/0"]),
    ];
    let within = [
        json!(["127.0.0.1"]),
        json!(["10.0.0.0/8"]),
        json!(["::ffff:10.0.0.0/104"]),
        json!(["10.64.0.0/10", "127.0.0.0/8"]),
    ];
    let ask = async |key: &Key, networks: &Value| {
        let mut body = json!({ "scopes": ["read"] });
        if !networks.is_null() {
            body["allowed_ip_cidrs"] = networks.clone();
        }
        create(&server, &key.secret, &body).await
    };
    for networks in &within {
        let made = ask(&granter, networks).await;
        made.expect(StatusCode::CREATED);
    }
    for networks in &beyond {
        let refused = ask(&granter, networks).await;
        exceeds(&refused, "/allowed_ip_cidrs");
        let detail = refused.body["detail"].as_str().unwrap();
        assert!(detail.contains("api_keys.any_network"), "{detail}");
        let made = ask(&free, networks).await;
        made.expect(StatusCode::CREATED);
    }
}

async fn a_grant_does_not_outlive_its_granter(server: Server) {
    let acme = server.organization("acme").await;
    let body = json!({ "name": "granter", "scopes": ["api_keys.create", "read"],
        "expires_in_days": 30 });
    let granter = server.key(&acme, body).await;
    let end = server
        .clock
        .now()
        .plus(std::time::Duration::from_hours(30 * 24));
    let second = std::time::Duration::from_secs(1);
    let ask = async |member: &str, value: Value| {
        let mut body = json!({ "scopes": ["read"] });
        body[member] = value;
        create(&server, &granter.secret, &body).await
    };
    for (member, within) in [
        ("expires_in_days", json!(1)),
        ("expires_in_days", json!(30)),
        ("expires_at", json!(end.to_string())),
    ] {
        ask(member, within).await.expect(StatusCode::CREATED);
    }
    let later = end.plus(second).to_string();
    for (member, beyond) in [
        ("expires_at", Value::Null),
        ("expires_at", json!(later)),
        ("expires_in_days", json!(31)),
    ] {
        let refused = ask(member, beyond).await;
        exceeds(&refused, "/expires_at");
        let detail = refused.body["detail"].as_str().unwrap();
        assert!(detail.contains(&end.to_string()), "{detail}");
    }
    // A second on, thirty days are too many.
    server.advance(1);
    exceeds(&ask("expires_in_days", json!(30)).await, "/expires_at");
}

async fn everything_of_the_platform_is_no_management_action(server: Server) {
    let acme = server.organization("acme").await;
    let everything = server.key_with(&acme, &["*"]).await;
    let token = server.management_token(&everything, &[]).await;
    for bearer in [&everything.secret, &token] {
        let body = json!({ "scopes": ["read"] });
        let refused = create(&server, bearer, &body).await;
        refused.refuses(403, "insufficient_scope");
    }
    let granter = server.key_with(&acme, &["*", "api_keys.create"]).await;
    for scope in ["*", "anything", "files.*", "api_keys", "read:a/b"] {
        let body = json!({ "scopes": [scope] });
        let made = create(&server, &granter.secret, &body).await;
        made.expect(StatusCode::CREATED);
    }
    for scope in [
        "api_keys.read",
        "api_keys.*",
        "roles.write",
        "audit.read",
        "organization.*",
    ] {
        let body = json!({ "scopes": [scope] });
        let refused = create(&server, &granter.secret, &body).await;
        exceeds(&refused, "/scopes");
    }
}

async fn the_operator_grants_within_its_own_authority_too(server: Server) {
    server.organization("acme").await;
    let body = json!({ "name": "clerk", "scopes": ["api_keys.create", "read"] });
    let clerk = server.operate(Method::POST, "/v1/api-keys", body).await;
    let clerk = Key::of(&clerk.body);
    let path = "/v1/organizations/acme/api-keys";
    let ask = async |scope: &str| {
        let body = json!({ "name": "x", "scopes": [scope] });
        server.call(&clerk.secret, Method::POST, path, body).await
    };
    ask("read").await.expect(StatusCode::CREATED);
    for beyond in ["write", "*", "api_keys.*", "organizations.read"] {
        exceeds(&ask(beyond).await, "/scopes");
    }
    let refused = server
        .call(&clerk.secret, Method::GET, path, Value::Null)
        .await;
    refused.refuses(403, "insufficient_scope");
}

#[tokio::test(flavor = "multi_thread")]
async fn scopes_that_are_full_when_empty_are_within_the_granters_all_the_same() {
    let server = Place::sqlite().with(&["--empty-scopes", "full"]);
    let server = server.start().await;
    let acme = server.organization("acme").await;
    for body in [json!({}), json!({ "scopes": [] })] {
        let made = create(&server, &acme.secret, &body).await;
        assert_eq!(
            made.expect(StatusCode::CREATED).body["scopes"],
            json!(["*"])
        );
        let granter = server.key_with(&acme, &["api_keys.create", "read"]).await;
        exceeds(&create(&server, &granter.secret, &body).await, "/scopes");
    }
}
