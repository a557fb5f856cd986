//! Policies of organizations: edited by two, and never looser from within.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::server::{Key, Reply, Server};
use crate::{assert_wire, on_both_engines};

on_both_engines!(
    a_policy_is_edited_rule_by_rule_under_its_revision,
    what_a_policy_does_not_know_is_refused,
    its_own_policy_is_never_looser_than_the_operators,
    a_policy_says_which_keys_break_it,
);

const OWN: &str = "/v1/organization";
pub const FROM_ABOVE: &str = "/v1/organizations/acme";
pub const KEYS: &str = "/v1/api-keys";

/// An edit of the organization's policy by itself, or of the operator's for it.
pub async fn set(server: &Server, acme: &Key, layer: &str, policy: Value) -> Reply {
    let (path, bearer) = match layer {
        "policy" => (OWN, &acme.secret),
        _ => (FROM_ABOVE, &server.operator),
    };
    let body = json!({ layer: policy });
    server.call(bearer, Method::PATCH, path, body).await
}

pub async fn create(server: &Server, acme: &Key, more: Value) -> Reply {
    let mut body = json!({ "name": "x", "scopes": ["read"] });
    for (member, value) in more.as_object().unwrap() {
        body[member] = value.clone();
    }
    server.call(&acme.secret, Method::POST, KEYS, body).await
}

pub async fn post(server: &Server, acme: &Key, id: &str, verb: &str) -> Reply {
    let path = format!("{KEYS}/{id}/{verb}");
    server
        .call(&acme.secret, Method::POST, &path, Value::Null)
        .await
}

#[track_caller]
pub fn breaks(reply: &Reply, rule: &str, pointer: Option<&str>) {
    reply.refuses(422, "policy_violation");
    let told = (&reply.body["rule"], reply.body["pointer"].as_str());
    assert_eq!(told, (&json!(rule), pointer), "{}", reply.text);
}

async fn a_policy_is_edited_rule_by_rule_under_its_revision(server: Server) {
    let acme = server.organization("acme").await;
    let rules = json!({ "max_active_keys": 9, "require_expiry": true });
    let edited = set(&server, &acme, "policy", rules.clone()).await;
    assert_wire!(server, edited, @r#"
    200
    content-type: application/json
    {
      "bootstrapped_at": "[now]",
      "created_at": "[now]",
      "effective_policy": {
        "max_active_keys": 9,
        "require_expiry": true
      },
      "id": "acme",
      "issuer": "{base}/orgs/acme",
      "name": "acme",
      "operator_policy": {},
      "policy": {
        "max_active_keys": 9,
        "require_expiry": true
      },
      "revision": 2,
      "status": "active",
      "suspended_at": null,
      "violations": [
        {
          "keys": 1,
          "rule": "require_expiry"
        }
      ],
      "violations_complete": true
    }
    "#);
    assert_eq!(edited.header("etag"), Some("\"r2\""));
    let events = "SELECT CAST(COUNT(*) AS TEXT) FROM audit_events";
    let before = server.place().query(events).await;
    for same in [json!({}), rules, json!({ "min_prefix_ipv4": null })] {
        let same = set(&server, &acme, "policy", same).await;
        assert_eq!(same.expect(StatusCode::OK).body["revision"], 2);
    }
    assert_eq!(server.place().query(events).await, before);

    let rules = json!({ "max_active_keys": 7, "min_prefix_ipv4": 8 });
    set(&server, &acme, "operator_policy", rules)
        .await
        .expect(StatusCode::OK);
    let change = json!({ "max_active_keys": null, "min_prefix_ipv6": 32 });
    let edited = set(&server, &acme, "policy", change).await;
    assert_eq!(
        edited.expect(StatusCode::OK).body["policy"],
        json!({ "require_expiry": true, "min_prefix_ipv6": 32 })
    );
    let effective = json!({ "max_active_keys": 7, "require_expiry": true,
        "min_prefix_ipv4": 8, "min_prefix_ipv6": 32 });
    for (path, bearer) in [(OWN, &acme.secret), (FROM_ABOVE, &server.operator)] {
        let shown = server.call(bearer, Method::GET, path, Value::Null).await;
        assert_eq!(
            shown.expect(StatusCode::OK).body["effective_policy"],
            effective
        );
        assert_eq!(shown.header("etag"), Some("\"r4\""));
    }
    let last = "SELECT details FROM audit_events WHERE organization_id = 'acme' \
                ORDER BY sequence DESC LIMIT 1";
    let details = server.place().query(last).await;
    let details: Value = serde_json::from_str(&details[0]).unwrap();
    let expected = json!({ "policy": { "max_active_keys": { "from": 9, "to": null },
        "min_prefix_ipv6": { "from": null, "to": 32 } } });
    assert_eq!(details, expected);

    let conditional = async |tag: &str, name: &str| {
        let request = server.request(Method::PATCH, OWN);
        let request = request.bearer_auth(&acme.secret).header("if-match", tag);
        Reply::of(request.json(&json!({ "name": name }))).await
    };
    conditional("\"r3\"", "A").await.refuses(412, "changed");
    let renamed = conditional("\"r4\"", "A").await;
    assert_eq!(renamed.expect(StatusCode::OK).body["name"], "A");
    // It was not about the policy.
    assert_eq!(renamed.body.get("violations"), None);
}

async fn what_a_policy_does_not_know_is_refused(server: Server) {
    let acme = server.organization("acme").await;
    for (body, pointer) in [
        (json!({ "policy": null }), "/policy"),
        (json!({ "policy": [90] }), "/policy"),
        (
            json!({ "policy": { "max_key_lifetime_days": 0 } }),
            "/policy/max_key_lifetime_days",
        ),
        (
            json!({ "policy": { "max_active_keys": -1 } }),
            "/policy/max_active_keys",
        ),
        (
            json!({ "policy": { "min_prefix_ipv4": 33 } }),
            "/policy/min_prefix_ipv4",
        ),
        (
            json!({ "policy": { "require_expiry": "yes" } }),
            "/policy/require_expiry",
        ),
        (json!({ "policy": { "no_rule": 1 } }), "/policy/no_rule"),
        (
            json!({ "policy": { "max_rate_limit": { "limit": 0, "window_seconds": 1 } } }),
            "/policy/max_rate_limit/limit",
        ),
        (
            json!({ "policy": { "allowed_audiences": [] } }),
            "/policy/allowed_audiences",
        ),
        (
            json!({ "policy": { "allowed_audiences": ["api"] } }),
            "/policy/allowed_audiences/0",
        ),
        (
            json!({ "policy": { "allowed_audiences": ["https://other.example"] } }),
            "/policy/allowed_audiences",
        ),
        // The management plane is not among what tokens are for unless it is asked for.
        (
            json!({ "policy": { "allowed_audiences": [server.base] } }),
            "/policy/allowed_audiences",
        ),
        (json!({ "operator_policy": {} }), "/operator_policy"),
        (json!({ "name": null }), "/name"),
        (json!({ "revision": 1 }), "/revision"),
    ] {
        let refused = server.call(&acme.secret, Method::PATCH, OWN, body).await;
        refused.refuses(422, "invalid_field");
        assert_eq!(refused.body["pointer"], pointer, "{}", refused.text);
    }
    let shown = server
        .call(&acme.secret, Method::GET, OWN, Value::Null)
        .await;
    assert_eq!(shown.body["revision"], 1);
}

async fn its_own_policy_is_never_looser_than_the_operators(server: Server) {
    let acme = server.organization("acme").await;
    let audience = format!("{}/api", server.base);
    let rate = |limit: u32| json!({ "limit": limit, "window_seconds": 60 });
    for (rule, bound, stricter, looser) in [
        ("max_key_lifetime_days", json!(90), json!(1), json!(91)),
        ("max_active_keys", json!(90), json!(89), json!(91)),
        ("require_expiry", json!(true), json!(true), json!(false)),
        ("require_networks", json!(true), json!(true), json!(false)),
        ("min_prefix_ipv4", json!(8), json!(9), json!(7)),
        ("min_prefix_ipv6", json!(48), json!(64), json!(47)),
        ("default_rate_limit", rate(9), rate(8), rate(10)),
        (
            "max_rate_limit",
            rate(9),
            json!({ "limit": 9, "window_seconds": 61 }),
            rate(10),
        ),
        (
            "token_lifetime_seconds",
            json!(3000),
            json!(60),
            json!(3001),
        ),
        (
            "allowed_audiences",
            json!([audience]),
            json!([audience]),
            Value::Null,
        ),
        ("own_issuer_only", json!(true), json!(true), json!(false)),
        ("exchange_only", json!(true), json!(true), json!(false)),
        ("revoke_unused_after_days", json!(90), json!(8), json!(91)),
    ] {
        let above = set(&server, &acme, "operator_policy", json!({ rule: bound })).await;
        assert_eq!(
            above.expect(StatusCode::OK).body["operator_policy"][rule],
            bound
        );
        for good in [&bound, &stricter] {
            let done = set(&server, &acme, "policy", json!({ rule: good })).await;
            assert_eq!(
                done.expect(StatusCode::OK).body["effective_policy"][rule],
                *good
            );
        }
        if !looser.is_null() {
            let refused = set(&server, &acme, "policy", json!({ rule: looser })).await;
            breaks(&refused, rule, Some(&format!("/policy/{rule}")));
            let detail = refused.body["detail"].as_str().unwrap();
            assert!(detail.contains(&bound.to_string()), "{detail}");
        }
        // Without a rule of its own, the operator's holds.
        let gone = set(&server, &acme, "policy", json!({ rule: null })).await;
        assert_eq!(
            gone.expect(StatusCode::OK).body["effective_policy"][rule],
            bound
        );
        let gone = set(&server, &acme, "operator_policy", json!({ rule: null })).await;
        assert_eq!(
            gone.expect(StatusCode::OK).body["effective_policy"],
            json!({})
        );
    }
    // The life of tokens is the deployment's to say, where the operator says nothing.
    let longer = json!({ "token_lifetime_seconds": 601 });
    let refused = set(&server, &acme, "policy", longer).await;
    breaks(
        &refused,
        "token_lifetime_seconds",
        Some("/policy/token_lifetime_seconds"),
    );
    // What the operator tightens later counts, whatever the organization said before.
    let said = json!({ "max_active_keys": 50 });
    set(&server, &acme, "policy", said)
        .await
        .expect(StatusCode::OK);
    let tighter = json!({ "max_active_keys": 5 });
    let above = set(&server, &acme, "operator_policy", tighter).await;
    assert_eq!(above.body["policy"]["max_active_keys"], 50);
    assert_eq!(above.body["effective_policy"]["max_active_keys"], 5);
    let other = json!({ "require_expiry": true });
    set(&server, &acme, "policy", other)
        .await
        .expect(StatusCode::OK);
}

async fn a_policy_says_which_keys_break_it(server: Server) {
    let acme = server.organization("acme").await;
    for more in [
        json!({ "expires_in_days": 9, "allowed_ip_cidrs": ["10.0.0.0/8"] }),
        json!({ "expires_in_days": 99, "allowed_ip_cidrs": ["10.0.0.0/24"] }),
        json!({ "rate_limit": { "limit": 9, "window_seconds": 1 } }),
    ] {
        create(&server, &acme, more)
            .await
            .expect(StatusCode::CREATED);
    }
    let gone = server.key_with(&acme, &["read"]).await;
    post(&server, &acme, &gone.id, "revoke")
        .await
        .expect(StatusCode::OK);
    let all = json!({ "max_key_lifetime_days": 9, "require_expiry": true, "require_networks": true,
        "min_prefix_ipv4": 24, "max_active_keys": 3,
        "max_rate_limit": { "limit": 1, "window_seconds": 9 } });
    let edited = set(&server, &acme, "operator_policy", all).await;
    let expected = json!([
        { "rule": "max_key_lifetime_days", "keys": 3 },
        { "rule": "max_active_keys", "keys": 1 },
        { "rule": "require_expiry", "keys": 2 },
        { "rule": "require_networks", "keys": 2 },
        { "rule": "min_prefix_ipv4", "keys": 3 },
        { "rule": "max_rate_limit", "keys": 1 },
    ]);
    assert_eq!(edited.expect(StatusCode::OK).body["violations"], expected);
}
