//! `exchange_only`: keys that are exchanged for tokens, and refused where a service is shown them.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::gateway::{behind_gateways, told, verify, verify_bearer};
use crate::introspection::{introspect, introspect_at, is_active, is_inactive};
use crate::on_both_engines;
use crate::support::server::{Key, Reply, Server};

on_both_engines!(
    a_key_that_is_exchange_only_is_worth_nothing_to_services_and_is_exchanged,
    both_layers_of_policy_end_direct_use,
    a_client_is_told_where_to_exchange_and_a_stranger_is_not,
    an_edit_says_how_many_direct_uses_it_would_refuse,
    whoever_takes_the_rule_off_a_key_gives_it_all_that_it_is,
    the_management_plane_and_those_who_ask_are_no_services,
);

async fn patch(server: &Server, manager: &Key, path: &str, body: Value) -> Reply {
    server
        .call(&manager.secret, Method::PATCH, path, body)
        .await
}

#[track_caller]
fn is_to_be_exchanged(reply: &Reply, endpoint: &str) {
    reply.refuses(401, "invalid_token");
    let wanted = format!("exchange this API key for a token at {endpoint} and send the token");
    assert_eq!(reply.body["error_description"], wanted);
    let challenge =
        format!(r#"Bearer realm="tenmint", error="invalid_token", error_description="{wanted}""#);
    assert_eq!(reply.header("www-authenticate"), Some(&*challenge));
}

async fn a_key_that_is_exchange_only_is_worth_nothing_to_services_and_is_exchanged(server: Server) {
    let server = behind_gateways(server, &[]).await;
    let acme = server.organization("acme").await;
    let body = json!({ "name": "c", "scopes": ["read"], "exchange_only": true });
    let made = server.call(&acme.secret, Method::POST, "/v1/api-keys", body);
    let made = made.await;
    assert_eq!(made.expect(StatusCode::CREATED).body["exchange_only"], true);
    let key = Key::of(&made.body);
    let endpoint = format!("{}/oauth/token", server.base);
    for query in ["", "?exchange=true", "?scope=read", "?scope=beyond"] {
        is_to_be_exchanged(&verify_bearer(&server, query, &key.secret).await, &endpoint);
        let header = verify(&server, query).header("x-api-key", &key.secret);
        is_to_be_exchanged(&Reply::of(header).await, &endpoint);
    }
    is_inactive(&introspect(&server, &acme, &key.secret).await);
    let token = server.token(&key, &[]).await;
    told(&verify_bearer(&server, "?scope=read", &token).await);
    is_active(&introspect(&server, &acme, &token).await);
    // The cause is there for the owner, under its own name.
    let path = format!("/v1/refusals?api_key_id={}", key.id);
    let refusals = server.call(&acme.secret, Method::GET, &path, Value::Null);
    let refusals = refusals.await;
    assert_eq!(refusals.body["data"][0]["cause"], "exchange_only");

    let path = format!("/v1/api-keys/{}", key.id);
    let edited = patch(&server, &acme, &path, json!({ "exchange_only": false })).await;
    assert_eq!(edited.expect(StatusCode::OK).body["exchange_only"], false);
    told(&verify_bearer(&server, "?scope=read", &key.secret).await);
    is_active(&introspect(&server, &acme, &key.secret).await);
    let edited = patch(&server, &acme, &path, json!({ "exchange_only": null })).await;
    edited.expect(StatusCode::UNPROCESSABLE_ENTITY);
}

async fn both_layers_of_policy_end_direct_use(server: Server) {
    let server = behind_gateways(server, &[]).await;
    let acme = server.organization("acme").await;
    let other = server.organization("other").await;
    let (key, others) = (
        server.key_with(&acme, &["read"]).await,
        server.key_with(&other, &["read"]).await,
    );
    let endpoint = format!("{}/oauth/token", server.base);
    for layer in ["policy", "operator_policy"] {
        let set = |on: Value| {
            let rules = json!({ layer: { "exchange_only": on } });
            let server = &server;
            async move {
                let path = "/v1/organizations/acme";
                let reply = server.operate(Method::PATCH, path, rules).await;
                reply.expect(StatusCode::OK);
            }
        };
        told(&verify_bearer(&server, "", &key.secret).await);
        set(json!(true)).await;
        is_to_be_exchanged(&verify_bearer(&server, "", &key.secret).await, &endpoint);
        is_inactive(&introspect(&server, &acme, &key.secret).await);
        told(&verify_bearer(&server, "", &others.secret).await);
        let token = server.token(&key, &[]).await;
        told(&verify_bearer(&server, "", &token).await);
        set(Value::Null).await;
    }
    told(&verify_bearer(&server, "", &key.secret).await);
}

async fn a_client_is_told_where_to_exchange_and_a_stranger_is_not(server: Server) {
    let server = behind_gateways(server, &[]).await;
    let acme = server.organization("acme").await;
    let body = json!({
        "name": "c", "scopes": ["read"], "exchange_only": true, "allowed_ip_cidrs": ["203.0.113.0/24"],
    });
    let key = server.key(&acme, body).await;
    let rules = json!({ "policy": { "own_issuer_only": true } });
    let edited = patch(&server, &acme, "/v1/organization", rules).await;
    edited.expect(StatusCode::OK);
    let endpoint = format!("{}/orgs/acme/oauth/token", server.base);
    is_to_be_exchanged(&verify_bearer(&server, "", &key.secret).await, &endpoint);
    // From elsewhere a thief learns that much, and no more.
    let elsewhere = server
        .request(Method::GET, "/gateway/verify")
        .header("x-forwarded-for", "198.51.100.1")
        .bearer_auth(&key.secret);
    Reply::of(elsewhere).await.refuses(403, "access_denied");
    // A string that is not in force is what any other is.
    let revoked = format!("/v1/api-keys/{}/revoke", key.id);
    let revoked = server.call(&acme.secret, Method::POST, &revoked, json!({}));
    revoked.await.expect(StatusCode::OK);
    let refused = verify_bearer(&server, "", &key.secret).await;
    assert_eq!(
        refused.header("www-authenticate"),
        Some(r#"Bearer realm="tenmint", error="invalid_token""#)
    );
}

async fn an_edit_says_how_many_direct_uses_it_would_refuse(server: Server) {
    let server = behind_gateways(server, &[]).await;
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let path = format!("/v1/api-keys/{}?dry_run=true", key.id);
    let on = json!({ "exchange_only": true });
    let tried = patch(&server, &acme, &path, on.clone()).await;
    assert_eq!(tried.expect(StatusCode::OK).body["refused_direct"], 0);
    assert_eq!(tried.body["warnings"], json!([]));

    for _ in 0..3 {
        told(&verify_bearer(&server, "", &key.secret).await);
    }
    is_active(&introspect_at(&server, "", &acme, &key.secret, &[]).await);
    server.token(&key, &[]).await;
    let tried = patch(&server, &acme, &path, on.clone()).await;
    assert_eq!(tried.expect(StatusCode::OK).body["refused_direct"], 4);
    assert_eq!(tried.body["warnings"][0]["code"], "breaks_present_use");
    assert_eq!(tried.body["key"]["exchange_only"], true);
    told(&verify_bearer(&server, "", &key.secret).await);

    let rules = json!({ "policy": { "exchange_only": true } });
    let edited = patch(&server, &acme, "/v1/organization", rules).await;
    let expected = json!([{ "rule": "exchange_only", "keys": 1, "direct_uses": 5 }]);
    assert_eq!(edited.expect(StatusCode::OK).body["violations"], expected);

    server.advance(8 * 86_400);
    let tried = patch(&server, &acme, &path, on).await;
    assert_eq!(tried.expect(StatusCode::OK).body["refused_direct"], 0);
}

/// A string that services take is worth more than one that they do not: to make it so is a grant.
async fn whoever_takes_the_rule_off_a_key_gives_it_all_that_it_is(server: Server) {
    let server = behind_gateways(server, &[]).await;
    let acme = server.organization("acme").await;
    let body = json!({
        "name": "c", "scopes": ["read", "pay"], "exchange_only": true,
        "allowed_ip_cidrs": ["203.0.113.0/24"], "expires_in_days": 30,
    });
    let key = server.key(&acme, body).await;
    let path = format!("/v1/api-keys/{}", key.id);
    let manager = async |scopes: &[&str], more: Value| {
        let mut body = json!({ "name": "m", "scopes": scopes });
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        server.key(&acme, body).await
    };
    let all = ["read", "pay", "api_keys.update"];
    for (scopes, more) in [
        (&["read", "api_keys.update"][..], json!({})),
        (&["read:a", "pay", "api_keys.update"], json!({})),
        (&all, json!({ "allowed_ip_cidrs": ["127.0.0.0/8"] })),
        (&all, json!({ "expires_in_days": 29 })),
    ] {
        let manager = manager(scopes, more).await;
        for query in ["", "?dry_run=true"] {
            let path = format!("{path}{query}");
            let off = json!({ "exchange_only": false });
            let refused = patch(&server, &manager, &path, off).await;
            refused.expect(StatusCode::FORBIDDEN);
            assert!(refused.text.contains("exceeds"), "{}", refused.text);
        }
        // Whatever else it may edit it still may, and set the rule anywhere.
        for edit in [json!({ "name": "d" }), json!({ "exchange_only": true })] {
            let edited = patch(&server, &manager, &path, edit).await;
            assert_eq!(edited.expect(StatusCode::OK).body["exchange_only"], true);
        }
    }
    // Of those with such a token the token decides.
    let token = server
        .management_token(&acme, &[("scope", "api_keys.update read")])
        .await;
    let off = json!({ "exchange_only": false });
    let refused = server.call(&token, Method::PATCH, &path, off.clone()).await;
    refused.expect(StatusCode::FORBIDDEN);
    verify_bearer(&server, "", &key.secret)
        .await
        .refuses(401, "invalid_token");
    let whole = manager(&all, json!({ "expires_in_days": 30 })).await;
    let edited = patch(&server, &whole, &path, off).await;
    assert_eq!(edited.expect(StatusCode::OK).body["exchange_only"], false);
    told(&verify_bearer(&server, "", &key.secret).await);
}

/// Whoever sets the rule can take it back, with the same key.
async fn the_management_plane_and_those_who_ask_are_no_services(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let token = server.token(&key, &[]).await;
    for rule in [json!(true), Value::Null] {
        let rules = json!({ "policy": { "exchange_only": rule } });
        let edited = patch(&server, &acme, "/v1/organization", rules).await;
        // Its own calls are none that the rule would end.
        assert_eq!(edited.expect(StatusCode::OK).body["violations"], json!([]));
        is_active(&introspect(&server, &acme, &token).await);
    }
}
