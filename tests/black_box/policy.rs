//! Policies of organizations: edited by two, each rule at its bound, and kept by every key.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::crowd::at_once;
use crate::support::server::{Key, Reply, Server};
use crate::{assert_wire, on_both_engines};

on_both_engines!(
    a_policy_is_edited_rule_by_rule_under_its_revision,
    what_a_policy_does_not_know_is_refused,
    its_own_policy_is_never_looser_than_the_operators,
    a_key_keeps_to_every_rule_of_either_layer,
    what_an_edit_leaves_alone_may_stay,
    a_key_that_is_given_back_keeps_to_every_rule,
    never_more_keys_are_active_than_may_be,
    a_policy_says_which_keys_break_it,
    bootstrap_is_exempt,
);

const OWN: &str = "/v1/organization";
const FROM_ABOVE: &str = "/v1/organizations/acme";
const KEYS: &str = "/v1/api-keys";

/// An edit of the organization's policy by itself, or of the operator's for it.
async fn set(server: &Server, acme: &Key, layer: &str, policy: Value) -> Reply {
    let (path, bearer) = match layer {
        "policy" => (OWN, &acme.secret),
        _ => (FROM_ABOVE, &server.operator),
    };
    let body = json!({ layer: policy });
    server.call(bearer, Method::PATCH, path, body).await
}

async fn create(server: &Server, acme: &Key, more: Value) -> Reply {
    let mut body = json!({ "name": "x", "scopes": ["read"] });
    for (member, value) in more.as_object().unwrap() {
        body[member] = value.clone();
    }
    server.call(&acme.secret, Method::POST, KEYS, body).await
}

async fn post(server: &Server, acme: &Key, id: &str, verb: &str) -> Reply {
    let path = format!("{KEYS}/{id}/{verb}");
    server
        .call(&acme.secret, Method::POST, &path, Value::Null)
        .await
}

async fn edit(server: &Server, acme: &Key, id: &str, body: Value) -> Reply {
    let path = format!("{KEYS}/{id}");
    server.call(&acme.secret, Method::PATCH, &path, body).await
}

#[track_caller]
fn breaks(reply: &Reply, rule: &str, pointer: Option<&str>) {
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

async fn a_key_keeps_to_every_rule_of_either_layer(server: Server) {
    let acme = server.organization("acme").await;
    let end = |seconds: i64| {
        let at = server.clock.now().unix() + 90 * 86_400 + seconds;
        let at = tenmint::domain::timestamp::Timestamp::from_unix(at).unwrap();
        json!({ "expires_at": at.to_string() })
    };
    let on = |networks: &[&str]| json!({ "allowed_ip_cidrs": networks });
    let rate = |limit: u32, window: u32| json!({ "limit": limit, "window_seconds": window });
    let days = "max_key_lifetime_days";
    let (expiry, networks) = (Some("/expires_at"), Some("/allowed_ip_cidrs"));
    for layer in ["policy", "operator_policy"] {
        for (rule, value, good, bad, pointer) in [
            (days, json!(90), end(0), end(1), expiry),
            (
                days,
                json!(90),
                json!({ "expires_in_days": 90 }),
                json!({}),
                expiry,
            ),
            (
                days,
                json!(90),
                json!({ "expires_in_days": 1 }),
                json!({ "expires_in_days": 91 }),
                expiry,
            ),
            (
                "require_expiry",
                json!(true),
                json!({ "expires_in_days": 36_500 }),
                json!({}),
                expiry,
            ),
            (
                "require_networks",
                json!(true),
                on(&["0.0.0.0/1", "::/1"]),
                json!({}),
                networks,
            ),
            (
                "require_networks",
                json!(true),
                on(&["::1"]),
                on(&["10.0.0.0/8", "::/0"]),
                networks,
            ),
            (
                "require_networks",
                json!(true),
                on(&["::1"]),
                on(&["0.0.0.0/1", "128.0.0.0/1"]),
                networks,
            ),
            (
                "min_prefix_ipv4",
                json!(16),
                on(&["10.1.0.0/16", "::/0"]),
                on(&["10.0.0.0/15"]),
                networks,
            ),
            (
                "min_prefix_ipv4",
                json!(16),
                on(&["::/0"]),
                json!({}),
                networks,
            ),
            (
                "min_prefix_ipv6",
                json!(48),
                on(&["2001:db8::/48", "0.0.0.0/0"]),
                on(&["::1", "2001:db8::/47"]),
                networks,
            ),
            (
                "max_rate_limit",
                rate(5, 60),
                json!({ "rate_limit": rate(5, 60) }),
                json!({ "rate_limit": rate(6, 60) }),
                Some("/rate_limit"),
            ),
            (
                "max_rate_limit",
                rate(5, 60),
                json!({}),
                json!({ "rate_limit": rate(5, 59) }),
                Some("/rate_limit"),
            ),
            ("max_active_keys", json!(2), json!({}), json!({}), None),
        ] {
            set(&server, &acme, layer, json!({ rule: value }))
                .await
                .expect(StatusCode::OK);
            let made = create(&server, &acme, good).await;
            let id = made.expect(StatusCode::CREATED).body["id"]
                .as_str()
                .unwrap()
                .to_owned();
            let refused = create(&server, &acme, bad.clone()).await;
            breaks(&refused, rule, pointer);
            if let Some(member) = pointer {
                // An edit to the same is no way around it.
                let mut bad = bad;
                if bad == json!({}) {
                    bad = match member {
                        "/expires_at" => json!({ "expires_at": null }),
                        _ => on(&["0.0.0.0/0", "::/0"]),
                    };
                }
                breaks(&edit(&server, &acme, &id, bad).await, rule, pointer);
            }
            // Nor is the operator, who reaches in.
            if rule == "require_expiry" {
                let path = format!("{FROM_ABOVE}/api-keys");
                let body = json!({ "name": "x", "scopes": ["read"] });
                let refused = server.operate(Method::POST, &path, body).await;
                breaks(&refused, rule, pointer);
            }
            set(&server, &acme, layer, json!({ rule: null }))
                .await
                .expect(StatusCode::OK);
            post(&server, &acme, &id, "revoke")
                .await
                .expect(StatusCode::OK);
        }
    }
    // Nobody else is bound by it.
    let other = server.organization("other").await;
    set(&server, &acme, "policy", json!({ "max_active_keys": 0 }))
        .await
        .expect(StatusCode::OK);
    create(&server, &other, json!({}))
        .await
        .expect(StatusCode::CREATED);
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
