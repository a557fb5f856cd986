//! `/v1/api-keys`, and the operator's way in: created, shown, expired, revoked.

use std::io::Write as _;
use std::process::{Command, Stdio};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::on_both_engines;
use crate::support::server::{Key, Reply, Server, claims};

on_both_engines!(
    a_key_is_what_its_maker_said_and_shows_its_secret_once,
    what_a_maker_leaves_out_is_said_aloud,
    scopes_and_networks_come_back_in_their_one_spelling,
    the_operator_makes_shows_and_revokes_keys_in_an_organization,
    the_fingerprint_is_what_the_documented_command_prints,
    a_key_ends_at_the_instant_named,
    a_number_of_days_is_counted_from_now,
    a_revoked_key_obtains_and_manages_nothing_at_once,
    revoking_again_changes_nothing,
    a_key_may_revoke_itself,
);

async fn create(server: &Server, manager: &Key, body: Value) -> Reply {
    let path = "/v1/api-keys";
    server.call(&manager.secret, Method::POST, path, body).await
}

async fn show(server: &Server, manager: &Key, id: &str) -> Reply {
    let path = format!("/v1/api-keys/{id}");
    server
        .call(&manager.secret, Method::GET, &path, Value::Null)
        .await
}

async fn revoke(server: &Server, manager: &Key, id: &str) -> Reply {
    let path = format!("/v1/api-keys/{id}/revoke");
    server
        .call(&manager.secret, Method::POST, &path, Value::Null)
        .await
}

async fn a_key_is_what_its_maker_said_and_shows_its_secret_once(server: Server) {
    let acme = server.organization("acme").await;
    let body = json!({
        "name": "  <script>alert(1)</script> ", "description": "Nightly builds, Zürich 🦀",
        "scopes": ["read:projects/42/**", { "action": "write", "resource": "projects/*" }],
        "allowed_ip_cidrs": ["203.0.113.0/24", "2001:db8::/32"],
        "external_id": "customer/42", "metadata": { "plan": "pro", "note": "" },
        "expires_in_days": 90,
    });
    let mut created = create(&server, &acme, body).await;
    created.expect(StatusCode::CREATED);
    let secret = created.body["secret"].take();
    assert!(secret.as_str().unwrap().starts_with("tmsk_"));
    let now = server.clock.now();
    let expected = json!({
        "id": created.body["id"], "name": "<script>alert(1)</script>",
        "description": "Nightly builds, Zürich 🦀", "organization": "acme", "status": "active",
        "scopes": ["read:projects/42/**", "write:projects/*"],
        "allowed_ip_cidrs": ["203.0.113.0/24", "2001:db8::/32"],
        "fingerprint": created.body["fingerprint"], "external_id": "customer/42",
        "metadata": { "plan": "pro", "note": "" }, "created_at": now.to_string(),
        "created_by": acme.id, "last_used_at": null,
        "revoked_at": null, "revoke_reason": null, "disabled_at": null,
        "roles": [], "effective_scopes": ["read:projects/42/**", "write:projects/*"],
        "rate_limit": null, "exchange_only": false, "revision": 1, "secrets": [{
            "fingerprint": created.body["fingerprint"], "created_at": now.to_string(),
            "expires_at": null, "last_used_at": null, "last_used_address": null,
        }],
        "expires_at": now.plus(std::time::Duration::from_hours(90 * 24)).to_string(),
    });
    let members = created.body.as_object_mut().unwrap();
    members.remove("secret");
    assert_eq!(members.remove("warnings"), Some(json!([])));
    assert_eq!(created.body, expected);
    let id = expected["id"].as_str().unwrap();
    let shown = show(&server, &acme, id).await;
    assert_eq!(shown.expect(StatusCode::OK).body, expected);
    assert!(!shown.text.contains("\"secret\""));
}

async fn what_a_maker_leaves_out_is_said_aloud(server: Server) {
    let acme = server.organization("acme").await;
    let created = create(&server, &acme, json!({ "name": "x", "scopes": ["*"] })).await;
    let body = &created.expect(StatusCode::CREATED).body;
    assert_eq!(body["allowed_ip_cidrs"], json!(["0.0.0.0/0", "::/0"]));
    for absent in ["description", "external_id", "expires_at", "revoked_at"] {
        assert_eq!(body.get(absent), Some(&Value::Null), "{absent}");
    }
    assert_eq!(body["metadata"], json!({}));
    assert_eq!(warnings(&created), ["wildcard_network", "no_expiry"]);

    // A wildcard of one family, however it is written, is one as well.
    for (networks, warned) in [
        (json!(["0.0.0.0/1", "128.0.0.0/1"]), true),
        (json!(["203.0.113.7", "::/0"]), true),
        (json!(["0.0.0.0/1"]), false),
    ] {
        let body = json!({ "name": "x", "scopes": ["a"], "allowed_ip_cidrs": networks,
            "expires_in_days": 1 });
        let created = create(&server, &acme, body).await;
        let expected: &[&str] = if warned { &["wildcard_network"] } else { &[] };
        assert_eq!(warnings(&created), expected, "{networks}");
    }
}

fn warnings(reply: &Reply) -> Vec<&str> {
    let warnings = reply.body["warnings"].as_array().unwrap();
    let code = |warning: &'_ Value| warning["detail"].is_string() && warning["code"].is_string();
    assert!(warnings.iter().all(code));
    warnings
        .iter()
        .map(|warning| warning["code"].as_str().unwrap())
        .collect()
}

async fn scopes_and_networks_come_back_in_their_one_spelling(server: Server) {
    let acme = server.organization("acme").await;
    let body = json!({
        "name": "x", "scopes": ["read:*", "read", "files.*:**", "read:a"],
        "allowed_ip_cidrs": ["203.0.113.7", "::ffff:10.0.0.0/104", "2001:DB8:0::1", "10.0.0.0/8"],
    });
    let created = create(&server, &acme, body).await;
    let body = &created.expect(StatusCode::CREATED).body;
    assert_eq!(body["scopes"], json!(["read", "files.*", "read:a"]));
    let networks = json!(["203.0.113.7/32", "10.0.0.0/8", "2001:db8::1/128"]);
    assert_eq!(body["allowed_ip_cidrs"], networks);
}

async fn the_operator_makes_shows_and_revokes_keys_in_an_organization(server: Server) {
    let acme = server.organization("acme").await;
    // Ids made within one millisecond have no order.
    server.advance(1);
    let keys = "/v1/organizations/acme/api-keys";
    let body = json!({ "name": "from the dashboard", "scopes": ["read"] });
    let created = server.operate(Method::POST, keys, body).await;
    let made = Key::of(&created.expect(StatusCode::CREATED).body);
    assert_eq!(created.body["organization"], "acme");
    let token = server.token(&made, &[]).await;
    assert_eq!(claims(&token)["org"], "acme");

    let path = format!("{keys}/{}", made.id);
    let seen = server.operate(Method::GET, &path, Value::Null).await;
    let own = show(&server, &acme, &made.id).await;
    assert_eq!(
        seen.expect(StatusCode::OK).body,
        own.expect(StatusCode::OK).body
    );
    let listed = server.operate(Method::GET, keys, Value::Null).await;
    assert_eq!(listed.body["data"][0], own.body);

    let path = format!("{path}/revoke");
    let revoked = server.operate(Method::POST, &path, Value::Null).await;
    assert_eq!(revoked.expect(StatusCode::OK).body["status"], "revoked");
    server
        .exchange(&made, &[])
        .await
        .refuses(401, "invalid_client");
}

async fn the_fingerprint_is_what_the_documented_command_prints(server: Server) {
    let acme = server.organization("acme").await;
    let created = create(&server, &acme, json!({ "name": "x", "scopes": ["a"] })).await;
    let secret = created.body["secret"].as_str().unwrap();
    // printf %s "$KEY" | sha256sum | cut -c1-16
    #[expect(
        clippy::disallowed_methods,
        reason = "no root key is in this environment"
    )]
    let mut sha256sum = Command::new("sh")
        .args(["-c", "sha256sum | cut -c1-16"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = sha256sum.stdin.take().unwrap();
    input.write_all(secret.as_bytes()).unwrap();
    drop(input);
    let printed = String::from_utf8(sha256sum.wait_with_output().unwrap().stdout).unwrap();
    let expected = format!("sha256:{}", printed.trim());
    assert_eq!(created.body["fingerprint"], *expected);
}

async fn a_key_ends_at_the_instant_named(server: Server) {
    let acme = server.organization("acme").await;
    let end = server.clock.now().plus(std::time::Duration::from_mins(2));
    let body = json!({ "name": "x", "scopes": ["*", "api_keys.*"], "expires_at": end.to_string() });
    let key = server.key(&acme, body).await;
    server.advance(119);
    let last = server.exchange(&key, &[]).await;
    assert_eq!(last.expect(StatusCode::OK).body["expires_in"], 1);
    let token = server.management_token(&key, &[]).await;
    server.advance(1);
    server
        .exchange(&key, &[])
        .await
        .refuses(401, "invalid_client");
    for bearer in [&key.secret, &token] {
        let path = "/v1/api-keys";
        let refused = server.call(bearer, Method::GET, path, Value::Null).await;
        refused.refuses(401, "unauthenticated");
    }
    let seen = show(&server, &acme, &key.id).await;
    assert_eq!(seen.body["status"], "expired");
    assert_eq!(seen.body["expires_at"], end.to_string());
    // An expired key can still be revoked, and is then revoked.
    let revoked = revoke(&server, &acme, &key.id).await;
    assert_eq!(revoked.expect(StatusCode::OK).body["status"], "revoked");
}

async fn a_number_of_days_is_counted_from_now(server: Server) {
    let acme = server.organization("acme").await;
    for days in [1_u32, 36_500] {
        let body = json!({ "name": "x", "scopes": ["a"], "expires_in_days": days });
        let created = create(&server, &acme, body).await;
        let end = created.expect(StatusCode::CREATED).body["expires_at"].as_str();
        let end: tenmint::domain::timestamp::Timestamp = end.unwrap().parse().unwrap();
        let life = end.seconds_since(server.clock.now());
        assert_eq!(life, u64::from(days) * 86_400);
    }
}

async fn a_revoked_key_obtains_and_manages_nothing_at_once(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read", "api_keys.*"]).await;
    let token = server.management_token(&key, &[]).await;
    server.exchange(&key, &[]).await.expect(StatusCode::OK);
    let revoked = revoke(&server, &acme, &key.id).await;
    assert_eq!(revoked.expect(StatusCode::OK).body["status"], "revoked");
    let now = server.clock.now().to_string();
    assert_eq!(revoked.body["revoked_at"], now);
    for issuer in ["", "/orgs/acme"] {
        let refused = server.exchange_at(issuer, &key, &[]).await;
        refused.refuses(401, "invalid_client");
    }
    for bearer in [&key.secret, &token] {
        let path = "/v1/api-keys";
        let refused = server.call(bearer, Method::GET, path, Value::Null).await;
        refused.refuses(401, "unauthenticated");
    }
    let seen = show(&server, &acme, &key.id).await;
    assert_eq!(seen.expect(StatusCode::OK).body, revoked.body);
}

async fn revoking_again_changes_nothing(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let first = revoke(&server, &acme, &key.id).await;
    server.advance(60);
    let second = revoke(&server, &acme, &key.id).await;
    assert_eq!(second.expect(StatusCode::OK).body, first.body);
}

async fn a_key_may_revoke_itself(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["api_keys.revoke"]).await;
    revoke(&server, &key, &key.id).await.expect(StatusCode::OK);
    revoke(&server, &key, &key.id)
        .await
        .refuses(401, "unauthenticated");
}
