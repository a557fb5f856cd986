//! Rules that bind keys in force, lifted: a grant to all of these keys, and to whoever holds one of
//! their strings. A thief of a credential for settings gains nothing by it.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::gateway::{behind_gateways, told, verify_bearer};
use crate::on_both_engines;
use crate::policy::{FROM_ABOVE, set};
use crate::support::server::{Key, Reply, Server};

on_both_engines!(
    who_lifts_exchange_only_is_all_that_the_keys_are,
    the_other_rules_that_bind_keys_in_force_are_lifted_alike,
    a_tenant_lifts_nothing_that_the_operator_set,
    keys_that_gain_nothing_stand_in_nobodys_way,
);

const OWN: &str = "/v1/organization";

async fn patch(server: &Server, bearer: &str, path: &str, layer: &str, rules: Value) -> Reply {
    let body = json!({ layer: rules });
    server.call(bearer, Method::PATCH, path, body).await
}

#[track_caller]
fn is_beyond(reply: &Reply, pointer: &str) {
    reply.refuses(403, "exceeds_authority");
    let told = (&reply.body["pointer"], &reply.body["rule"]);
    let rule = pointer.rsplit('/').next().unwrap();
    assert_eq!(told, (&json!(pointer), &json!(rule)), "{}", reply.text);
    assert!(reply.text.contains(". key_"), "{}", reply.text);
}

async fn end(server: &Server, key: &Key) {
    let path = format!("{FROM_ABOVE}/api-keys/{}/revoke", key.id);
    let revoked = server.operate(Method::POST, &path, json!({})).await;
    revoked.expect(StatusCode::OK);
}

async fn who_lifts_exchange_only_is_all_that_the_keys_are(server: Server) {
    let server = behind_gateways(server, &[]).await;
    let acme = server.organization("acme").await;
    let body = json!({
        "name": "c", "scopes": ["read", "pay"], "expires_in_days": 30,
        "allowed_ip_cidrs": ["127.0.0.0/8", "203.0.113.0/24"],
    });
    let victim = server.key(&acme, body).await;
    let on = json!({ "exchange_only": true });
    set(&server, &acme, "policy", on.clone())
        .await
        .expect(StatusCode::OK);
    let mut settings = Vec::new();
    let all = ["read", "pay", "organization.write"];
    for (scopes, more) in [
        (&["organization.write"][..], json!({})),
        (&["read", "pay:cash", "organization.write"], json!({})),
        (&all, json!({ "allowed_ip_cidrs": ["127.0.0.0/8"] })),
        (&all, json!({ "expires_in_days": 29 })),
    ] {
        let mut body = json!({ "name": "settings", "scopes": scopes });
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        settings.push(server.key(&acme, body).await);
    }
    // The management key holds all that there is.
    for off in [Value::Null, json!(false)] {
        for thief in &settings {
            let rules = json!({ "exchange_only": off });
            let lifted = patch(&server, &thief.secret, OWN, "policy", rules).await;
            is_beyond(&lifted, "/policy/exchange_only");
        }
    }
    // Nor with the management key's own token, if that is for settings alone.
    let scope = [("scope", "organization.write")];
    let token = server.management_token(&acme, &scope).await;
    let rules = json!({ "exchange_only": null });
    let lifted = patch(&server, &token, OWN, "policy", rules.clone()).await;
    is_beyond(&lifted, "/policy/exchange_only");
    // What is no lifting they may still do, with the rule as it is.
    let rest = json!({ "exchange_only": true, "require_expiry": true });
    let edited = patch(&server, &settings[0].secret, OWN, "policy", rest).await;
    edited.expect(StatusCode::OK);
    let name = json!({ "name": "Acme & Sons" });
    let named = server.call(&settings[0].secret, Method::PATCH, OWN, name);
    named.await.expect(StatusCode::OK);
    verify_bearer(&server, "", &victim.secret)
        .await
        .refuses(401, "invalid_token");

    // Once the strongest have ended, it is the others that are looked at.
    let twin = json!({ "name": "twin", "scopes": all, "expires_in_days": 30,
        "allowed_ip_cidrs": ["0.0.0.0/0", "::/0"] });
    let twin = server.key(&acme, twin).await;
    end(&server, &acme).await;
    for thief in &settings {
        let lifted = patch(&server, &thief.secret, OWN, "policy", rules.clone()).await;
        lifted.refuses(403, "exceeds_authority");
    }
    for over in &settings {
        end(&server, over).await;
    }
    let lifted = patch(&server, &twin.secret, OWN, "policy", rules).await;
    lifted.expect(StatusCode::OK);
    told(&verify_bearer(&server, "", &victim.secret).await);
}

async fn the_other_rules_that_bind_keys_in_force_are_lifted_alike(server: Server) {
    let acme = server.organization("acme").await;
    let body = json!({ "name": "settings", "scopes": ["organization.write", "read"] });
    let thief = server.key(&acme, body).await;
    let audience = server.app.mint.audiences.default_audience().to_string();
    for (rule, bound) in [
        ("own_issuer_only", json!(true)),
        ("allowed_audiences", json!([audience])),
    ] {
        set(&server, &acme, "policy", json!({ rule: bound }))
            .await
            .expect(StatusCode::OK);
        let off = json!({ rule: null });
        let lifted = patch(&server, &thief.secret, OWN, "policy", off.clone()).await;
        is_beyond(&lifted, &format!("/policy/{rule}"));
        let lifted = set(&server, &acme, "policy", off).await;
        lifted.expect(StatusCode::OK);
    }
}

/// Nor does an operator's key that is for organizations alone.
async fn a_tenant_lifts_nothing_that_the_operator_set(server: Server) {
    let server = behind_gateways(server, &[]).await;
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let on = json!({ "exchange_only": true });
    for layer in ["policy", "operator_policy"] {
        set(&server, &acme, layer, on.clone())
            .await
            .expect(StatusCode::OK);
    }
    // Its own rule it may take back, which lifts nothing.
    let body = json!({ "name": "settings", "scopes": ["organization.write"] });
    let settings = server.key(&acme, body).await;
    let off = json!({ "exchange_only": null });
    let edited = patch(&server, &settings.secret, OWN, "policy", off.clone()).await;
    edited.expect(StatusCode::OK);
    assert_eq!(edited.body["effective_policy"]["exchange_only"], true);
    let looser = json!({ "exchange_only": false });
    let edited = set(&server, &acme, "policy", looser).await;
    edited.refuses(422, "policy_violation");
    let body = json!({ "name": "clerk", "scopes": ["organizations.write"] });
    let clerk = server.operate(Method::POST, "/v1/api-keys", body).await;
    let clerk = Key::of(&clerk.expect(StatusCode::CREATED).body);
    let above = "operator_policy";
    let lifted = patch(&server, &clerk.secret, FROM_ABOVE, above, off.clone()).await;
    is_beyond(&lifted, "/operator_policy/exchange_only");
    verify_bearer(&server, "", &key.secret)
        .await
        .refuses(401, "invalid_token");
    let lifted = set(&server, &acme, above, off).await;
    lifted.expect(StatusCode::OK);
    told(&verify_bearer(&server, "", &key.secret).await);
}

/// Those that have ended, or are off, and those that are `exchange_only` by themselves.
async fn keys_that_gain_nothing_stand_in_nobodys_way(server: Server) {
    let acme = server.organization("acme").await;
    let more = json!({ "name": "c", "scopes": ["read", "pay"], "exchange_only": true });
    server.key(&acme, more).await;
    let off = server.key_with(&acme, &["read", "pay"]).await;
    let path = format!("/v1/api-keys/{}/disable", off.id);
    let disabled = server.call(&acme.secret, Method::POST, &path, Value::Null);
    disabled.await.expect(StatusCode::OK);
    let body = json!({ "name": "short", "scopes": ["pay"], "expires_in_days": 1 });
    server.key(&acme, body).await;
    let body = json!({ "name": "settings", "scopes": ["organization.write", "read"] });
    let settings = server.key(&acme, body).await;
    let on = json!({ "exchange_only": true });
    set(&server, &acme, "policy", on)
        .await
        .expect(StatusCode::OK);
    end(&server, &acme).await;
    let rules = json!({ "exchange_only": null });
    let lifted = patch(&server, &settings.secret, OWN, "policy", rules.clone()).await;
    lifted.refuses(403, "exceeds_authority");
    server.advance(86_401);
    let lifted = patch(&server, &settings.secret, OWN, "policy", rules).await;
    lifted.expect(StatusCode::OK);
}
