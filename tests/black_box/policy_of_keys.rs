//! What policies make of keys: each rule at its bound, whoever writes the key.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tenmint::domain::text::Name;
use tenmint::domain::timestamp::Timestamp;
use tenmint::manage::first_start;

use super::policy::{FROM_ABOVE, KEYS, breaks, create, post, set};
use crate::on_both_engines;
use crate::support::crowd::at_once;
use crate::support::server::{Key, Reply, Server};

on_both_engines!(
    a_key_keeps_to_every_rule_of_either_layer,
    what_an_edit_leaves_alone_may_stay,
    a_key_that_is_given_back_keeps_to_every_rule,
    never_more_keys_are_active_than_may_be,
    bootstrap_is_exempt,
    whoever_sits_at_the_machine_is_exempt,
);

async fn edit(server: &Server, acme: &Key, id: &str, body: Value) -> Reply {
    let path = format!("{KEYS}/{id}");
    server.call(&acme.secret, Method::PATCH, &path, body).await
}

/// A rule, what it says, and members of a key that keep and break it. END is 90 days away, and
/// BEYOND a second more.
const TABLE: &str = r#"
max_key_lifetime_days | 90 | {"expires_at":"END"} | {"expires_at":"BEYOND"}
max_key_lifetime_days | 90 | {"expires_in_days":90} | {"expires_at":null}
max_key_lifetime_days | 90 | {"expires_in_days":1} | {"expires_in_days":91}
require_expiry | true | {"expires_in_days":36500} | {"expires_at":null}
require_networks | true | {"allowed_ip_cidrs":["0.0.0.0/1","::/1"]} | {"allowed_ip_cidrs":["0.0.0.0/0","::/0"]}
require_networks | true | {"allowed_ip_cidrs":["::1"]} | {"allowed_ip_cidrs":["10.0.0.0/8","::/0"]}
require_networks | true | {"allowed_ip_cidrs":["::1"]} | {"allowed_ip_cidrs":["0.0.0.0/1","128.0.0.0/1"]}
min_prefix_ipv4 | 16 | {"allowed_ip_cidrs":["10.1.0.0/16","::/0"]} | {"allowed_ip_cidrs":["10.0.0.0/15"]}
min_prefix_ipv4 | 16 | {"allowed_ip_cidrs":["::/0"]} | {"allowed_ip_cidrs":["0.0.0.0/0","::/0"]}
min_prefix_ipv6 | 48 | {"allowed_ip_cidrs":["2001:db8::/48","0.0.0.0/0"]} | {"allowed_ip_cidrs":["::1","2001:db8::/47"]}
max_rate_limit | {"limit":5,"window_seconds":60} | {"rate_limit":{"limit":5,"window_seconds":60}} | {"rate_limit":{"limit":6,"window_seconds":60}}
max_rate_limit | {"limit":5,"window_seconds":60} | {} | {"rate_limit":{"limit":5,"window_seconds":59}}
max_active_keys | 2 | {} | {}
"#;

/// The member of a key that a rule looks at.
fn pointer(rule: &str) -> Option<&'static str> {
    match rule {
        "max_key_lifetime_days" | "require_expiry" => Some("/expires_at"),
        "max_rate_limit" => Some("/rate_limit"),
        "max_active_keys" => None,
        _ => Some("/allowed_ip_cidrs"),
    }
}

async fn a_key_keeps_to_every_rule_of_either_layer(server: Server) {
    let acme = server.organization("acme").await;
    let away = |seconds: i64| {
        let at = server.clock.now().unix() + seconds;
        Timestamp::from_unix(at).unwrap().to_string()
    };
    let table = TABLE.replace("END", &away(90 * 86_400));
    let table = table.replace("BEYOND", &away(90 * 86_400 + 1));
    for (layer, line) in ["policy", "operator_policy"]
        .into_iter()
        .flat_map(|layer| table.trim().lines().map(move |line| (layer, line)))
    {
        let columns: Vec<_> = line.split(" | ").collect();
        let json = |column: usize| -> Value { serde_json::from_str(columns[column]).unwrap() };
        let (rule, good, bad) = (columns[0], json(2), json(3));
        let limits = set(&server, &acme, layer, json!({ rule: json(1) })).await;
        limits.expect(StatusCode::OK);
        let made = create(&server, &acme, good).await;
        let id = &made.expect(StatusCode::CREATED).body["id"];
        let id = id.as_str().unwrap();
        breaks(
            &create(&server, &acme, bad.clone()).await,
            rule,
            pointer(rule),
        );
        // The operator, who reaches in, keeps to it too.
        let mut body = bad.clone();
        (body["name"], body["scopes"]) = (json!("x"), json!(["read"]));
        let path = format!("{FROM_ABOVE}/api-keys");
        let refused = server.operate(Method::POST, &path, body).await;
        breaks(&refused, rule, pointer(rule));
        if pointer(rule).is_some() {
            // An edit to the same is no way around it.
            breaks(&edit(&server, &acme, id, bad).await, rule, pointer(rule));
        }
        let gone = set(&server, &acme, layer, json!({ rule: null })).await;
        gone.expect(StatusCode::OK);
        let ended = post(&server, &acme, id, "revoke").await;
        ended.expect(StatusCode::OK);
    }
    // Nobody else is bound by it.
    let other = server.organization("other").await;
    let none = set(&server, &acme, "policy", json!({ "max_active_keys": 0 })).await;
    none.expect(StatusCode::OK);
    let made = create(&server, &other, json!({})).await;
    made.expect(StatusCode::CREATED);
}

async fn what_an_edit_leaves_alone_may_stay(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let all = json!({ "max_key_lifetime_days": 9, "require_expiry": true, "require_networks": true,
        "min_prefix_ipv4": 24, "max_active_keys": 0,
        "max_rate_limit": { "limit": 1, "window_seconds": 9 } });
    set(&server, &acme, "policy", all)
        .await
        .expect(StatusCode::OK);
    // It goes on working, too.
    server.exchange(&key, &[]).await.expect(StatusCode::OK);
    for body in [
        json!({ "name": "N", "scopes": ["read", "write"] }),
        json!({ "expires_in_days": 9 }),
        json!({ "allowed_ip_cidrs": ["127.0.0.0/24"] }),
        json!({ "rate_limit": { "limit": 1, "window_seconds": 10 } }),
    ] {
        edit(&server, &acme, &key.id, body)
            .await
            .expect(StatusCode::OK);
    }
    let longer = edit(&server, &acme, &key.id, json!({ "expires_in_days": 10 })).await;
    breaks(&longer, "max_key_lifetime_days", Some("/expires_at"));
}

async fn a_key_that_is_given_back_keeps_to_every_rule(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let ending = server
        .key(
            &acme,
            json!({ "name": "x", "scopes": ["read"], "expires_in_days": 1 }),
        )
        .await;
    post(&server, &acme, &key.id, "disable")
        .await
        .expect(StatusCode::OK);
    server.advance(86_400);
    // One is the management key's place.
    set(&server, &acme, "policy", json!({ "max_active_keys": 1 }))
        .await
        .expect(StatusCode::OK);
    breaks(
        &post(&server, &acme, &key.id, "enable").await,
        "max_active_keys",
        None,
    );
    let revived = edit(&server, &acme, &ending.id, json!({ "expires_in_days": 1 })).await;
    breaks(&revived, "max_active_keys", None);
    set(
        &server,
        &acme,
        "policy",
        json!({ "max_active_keys": 2, "require_expiry": true }),
    )
    .await
    .expect(StatusCode::OK);
    let refused = post(&server, &acme, &key.id, "enable").await;
    breaks(&refused, "require_expiry", None);
    let end = json!({ "expires_in_days": 1 });
    edit(&server, &acme, &key.id, end.clone())
        .await
        .expect(StatusCode::OK);
    post(&server, &acme, &key.id, "enable")
        .await
        .expect(StatusCode::OK);
    server.exchange(&key, &[]).await.expect(StatusCode::OK);
    let revived = edit(&server, &acme, &ending.id, end).await;
    breaks(&revived, "max_active_keys", None);
    server
        .exchange(&ending, &[])
        .await
        .refuses(401, "invalid_client");
}

async fn never_more_keys_are_active_than_may_be(server: Server) {
    let acme = server.organization("acme").await;
    set(
        &server,
        &acme,
        "operator_policy",
        json!({ "max_active_keys": 6 }),
    )
    .await
    .expect(StatusCode::OK);
    let replies = at_once((0..20).map(|_| {
        let request = server.request(Method::POST, KEYS);
        request
            .bearer_auth(&acme.secret)
            .json(&json!({ "name": "x", "scopes": ["read"] }))
    }))
    .await;
    let mut made = 0;
    for reply in &replies {
        match reply.status {
            StatusCode::CREATED => made += 1,
            _ => breaks(reply, "max_active_keys", None),
        }
    }
    // And the management key.
    assert_eq!(made, 5);
    let listed = server
        .call(&acme.secret, Method::GET, KEYS, Value::Null)
        .await;
    assert_eq!(listed.body["data"].as_array().unwrap().len(), 6);
}

async fn bootstrap_is_exempt(server: Server) {
    let path = "/v1/organizations";
    let created = server
        .operate(Method::POST, path, json!({ "id": "acme" }))
        .await;
    created.expect(StatusCode::CREATED);
    let all = json!({ "operator_policy": { "max_active_keys": 0, "require_expiry": true,
        "require_networks": true, "max_key_lifetime_days": 1 } });
    let edited = server.operate(Method::PATCH, FROM_ABOVE, all).await;
    edited.expect(StatusCode::OK);
    let bootstrap = format!("{FROM_ABOVE}/bootstrap");
    for body in [json!({}), json!({ "reissue": true })] {
        let done = server.operate(Method::POST, &bootstrap, body).await;
        assert!(
            done.body["management_key"]["secret"].is_string(),
            "{}",
            done.text
        );
    }
}

async fn whoever_sits_at_the_machine_is_exempt(server: Server) {
    let all = json!({ "operator_policy": { "max_active_keys": 0, "require_expiry": true } });
    let path = "/v1/organizations/operator";
    let edited = server.operate(Method::PATCH, path, all).await;
    edited.expect(StatusCode::OK);
    let body = json!({ "name": "x", "scopes": ["read"] });
    let refused = server.operate(Method::POST, KEYS, body).await;
    breaks(&refused, "require_expiry", Some("/expires_at"));
    let name = Name::new("spare").unwrap();
    let made = first_start::operator_key(&server.app.management, name, None).await;
    let spare = made.unwrap().secret.expose().to_owned();
    let gone = json!({ "operator_policy": { "max_active_keys": null, "require_expiry": null } });
    let edited = server.call(&spare, Method::PATCH, path, gone).await;
    assert_eq!(
        edited.expect(StatusCode::OK).body["effective_policy"],
        json!({})
    );
}
