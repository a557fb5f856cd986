//! Introspection (RFC 7662): what a credential is worth to a service that was shown it.

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tenmint::store::changes::Change;

use crate::on_both_engines;
use crate::rotation::post;
use crate::support::server::{Key, Reply, Server, claims, header};

on_both_engines!(
    a_token_in_force_is_told_whole,
    an_api_key_in_force_is_told_whole,
    a_client_of_any_kind_may_ask_that_holds_the_action,
    whoever_may_not_ask_is_told_nothing_of_the_token,
    an_address_and_scopes_are_answered_in_one,
    a_narrowed_key_narrows_the_tokens_that_are_out,
    what_ends_a_key_ends_it_and_its_tokens_here_at_once,
    a_rotated_out_secret_ends_at_its_own_end,
    a_key_that_is_introspected_was_used,
    warm_questions_need_no_database,
);

pub const INACTIVE: &str = r#"{"active":false}"#;

/// A question by HTTP Basic at `{base}{issuer}`.
pub async fn introspect_at(
    server: &Server,
    issuer: &str,
    caller: &Key,
    token: &str,
    more: &[(&str, &str)],
) -> Reply {
    let request = question(server, issuer, token, more);
    Reply::of(request.basic_auth(&caller.id, Some(&caller.secret))).await
}

pub async fn introspect(server: &Server, caller: &Key, token: &str) -> Reply {
    introspect_at(server, "", caller, token, &[]).await
}

fn question(server: &Server, issuer: &str, token: &str, more: &[(&str, &str)]) -> RequestBuilder {
    let mut form = vec![("token", token)];
    form.extend(more);
    server
        .request(Method::POST, &format!("{issuer}/oauth/introspect"))
        .form(&form)
}

#[track_caller]
pub fn is_active(reply: &Reply) -> &Value {
    assert_eq!(reply.expect(StatusCode::OK).body["active"], true);
    &reply.body
}

#[track_caller]
pub fn is_inactive(reply: &Reply) {
    assert_eq!((reply.status, &*reply.text), (StatusCode::OK, INACTIVE));
}

async fn customer(server: &Server, acme: &Key) -> Key {
    let body = json!({
        "name": "customer", "scopes": ["read:a/*", "write"],
        "allowed_ip_cidrs": ["203.0.113.0/24", "127.0.0.0/8"],
        "external_id": "cust-7", "metadata": { "plan": "pro" }, "expires_in_days": 1,
    });
    server.key(acme, body).await
}

async fn a_token_in_force_is_told_whole(server: Server) {
    let acme = server.organization("acme").await;
    let key = customer(&server, &acme).await;
    for issuer in ["", "/orgs/acme"] {
        let reply = server
            .exchange_at(issuer, &key, &[("scope", "write")])
            .await;
        let token = reply.expect(StatusCode::OK).body["access_token"].clone();
        let token = token.as_str().unwrap();
        let reply = introspect_at(&server, issuer, &acme, token, &[]).await;
        let now = server.clock.now().unix();
        let expected = json!({
            "active": true, "token_type": "Bearer", "scope": "write",
            "client_id": key.id, "sub": key.id, "org": "acme",
            "iss": format!("{}{issuer}", server.base), "aud": format!("{}/api", server.base),
            "exp": now + 600, "iat": now, "nbf": now, "jti": claims(token)["jti"],
            "allowed_ip_cidrs": ["203.0.113.0/24", "127.0.0.0/8"],
            "external_id": "cust-7", "metadata": { "plan": "pro" },
        });
        assert_eq!(is_active(&reply), &expected);
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        assert_eq!(reply.header("content-type"), Some("application/json"));
        // Again, from what is remembered.
        let again = introspect_at(&server, issuer, &acme, token, &[]).await;
        assert_eq!(again.text, reply.text);
        server.advance(600);
        is_inactive(&introspect_at(&server, issuer, &acme, token, &[]).await);
    }
}

async fn an_api_key_in_force_is_told_whole(server: Server) {
    let acme = server.organization("acme").await;
    let key = customer(&server, &acme).await;
    let now = server.clock.now().unix();
    for issuer in ["", "/orgs/acme"] {
        let reply = introspect_at(&server, issuer, &acme, &key.secret, &[]).await;
        let expected = json!({
            "active": true, "token_type": "api_key", "scope": "read:a/* write",
            "client_id": key.id, "sub": key.id, "org": "acme",
            "exp": now + 86_400, "iat": now,
            "allowed_ip_cidrs": ["203.0.113.0/24", "127.0.0.0/8"],
            "external_id": "cust-7", "metadata": { "plan": "pro" },
        });
        assert_eq!(is_active(&reply), &expected);
    }
    let plain = server.key_with(&acme, &["read"]).await;
    let reply = introspect(&server, &acme, &plain.secret).await;
    for absent in ["exp", "allowed_ip_cidrs", "external_id", "metadata", "iss"] {
        assert_eq!(is_active(&reply).get(absent), None, "{absent}");
    }
    server.advance(86_400);
    is_inactive(&introspect(&server, &acme, &key.secret).await);
}

async fn a_client_of_any_kind_may_ask_that_holds_the_action(server: Server) {
    let acme = server.organization("acme").await;
    let customer = customer(&server, &acme).await;
    let asker = server.key_with(&acme, &["tokens.introspect"]).await;
    let (id, secret) = (&*asker.id, &*asker.secret);
    let bearer = server.management_token(&asker, &[]).await;
    for issuer in ["", "/orgs/acme"] {
        let reply = server.exchange_at(issuer, &customer, &[]).await;
        let token = reply.expect(StatusCode::OK).body["access_token"].clone();
        let token = token.as_str().unwrap().to_owned();
        let bare = question(
            &server,
            issuer,
            &token,
            &[("token_type_hint", "x"), ("y", "")],
        );
        let in_body = [("client_id", id), ("client_secret", secret)];
        for request in [
            bare.try_clone().unwrap().basic_auth(id, Some(secret)),
            bare.try_clone().unwrap().bearer_auth(secret),
            bare.try_clone().unwrap().bearer_auth(&bearer),
            bare.bearer_auth(&server.operator),
            question(&server, issuer, &token, &in_body),
        ] {
            is_active(&Reply::of(request).await);
        }
    }
}

async fn whoever_may_not_ask_is_told_nothing_of_the_token(server: Server) {
    let acme = server.organization("acme").await;
    let other = server.organization("other").await;
    let token = server.token(&customer(&server, &acme).await, &[]).await;
    let lacking = server.key_with(&acme, &["*", "tokens.introspect:x"]).await;
    let body = json!({ "name": "x", "scopes": ["tokens.*"], "allowed_ip_cidrs": ["192.0.2.1"] });
    let elsewhere = server.key(&acme, body).await;
    for token in [&*token, &acme.secret, "garbage"] {
        let refused = introspect(&server, &lacking, token).await;
        refused.refuses(403, "insufficient_scope");
        let challenge = refused.header("www-authenticate").unwrap();
        let expected =
            r#"Bearer realm="tenmint", error="insufficient_scope", scope="tokens.introspect""#;
        assert_eq!(challenge, expected);
        let refused = introspect(&server, &elsewhere, token).await;
        refused.refuses(403, "access_denied");
        // An organization's issuer knows that organization's keys, and the operator.
        let refused = introspect_at(&server, "/orgs/acme", &other, token, &[]).await;
        refused.refuses(401, "invalid_client");
        let bare = || question(&server, "", token, &[]);
        let wrong = acme.secret.replace("tmsk_", "tmskx_");
        let platforms = server.token(&acme, &[]).await;
        let narrow = server
            .management_token(&acme, &[("scope", "usage.read")])
            .await;
        for (request, scheme) in [
            (bare(), "Basic "),
            (bare().basic_auth(&acme.id, Some(&wrong)), "Basic "),
            (bare().bearer_auth(&wrong), "Bearer "),
            (bare().bearer_auth(&platforms), "Bearer "),
            (bare().bearer_auth("x.y.z"), "Bearer "),
        ] {
            let refused = Reply::of(request).await;
            refused.refuses(401, "invalid_client");
            assert!(
                refused
                    .header("www-authenticate")
                    .unwrap()
                    .starts_with(scheme)
            );
        }
        let refused = Reply::of(bare().bearer_auth(&narrow)).await;
        refused.refuses(403, "insufficient_scope");
    }
    // Nor is a parameter discussed with whoever may not ask, and a bad one is with whoever may.
    for (name, value, error) in [
        ("ip", "nowhere", "invalid_request"),
        ("ip", "203.0.113.0/24", "invalid_request"),
        ("scope", "read  write", "invalid_scope"),
        ("scope", "%", "invalid_scope"),
    ] {
        let ask = async |caller| introspect_at(&server, "", caller, &token, &[(name, value)]).await;
        ask(&acme).await.refuses(400, error);
        ask(&lacking).await.refuses(403, "insufficient_scope");
    }
}

async fn an_address_and_scopes_are_answered_in_one(server: Server) {
    let acme = server.organization("acme").await;
    let key = customer(&server, &acme).await;
    let token = server.token(&key, &[("scope", "read:a/7")]).await;
    for (ip, scope, of_key, of_token) in [
        ("203.0.113.9", "read:a/7", true, true),
        ("::ffff:203.0.113.9", "read:a/7", true, true),
        ("203.0.113.9", "", true, true),
        ("", "read:a/7", true, true),
        ("203.0.114.9", "read:a/7", false, false),
        ("2001:db8::1", "", false, false),
        ("203.0.113.9", "write", true, false),
        ("203.0.113.9", "read:a/7 write", true, false),
        ("203.0.113.9", "read:a/8", true, false),
        ("203.0.113.9", "read", false, false),
        ("", "api_keys.read", false, false),
    ] {
        for (credential, expected) in [(&key.secret, of_key), (&token, of_token)] {
            let asked = [("ip", ip), ("scope", scope)];
            let reply = introspect_at(&server, "", &acme, credential, &asked).await;
            if expected {
                is_active(&reply);
            } else {
                is_inactive(&reply);
            }
        }
    }
}

async fn a_narrowed_key_narrows_the_tokens_that_are_out(server: Server) {
    let acme = server.organization("acme").await;
    let key = customer(&server, &acme).await;
    let token = server.token(&key, &[]).await;
    is_active(&introspect(&server, &acme, &token).await);
    let path = format!("/v1/api-keys/{}", key.id);
    let edit = async |body| {
        let done = server.call(&acme.secret, Method::PATCH, &path, body).await;
        done.expect(StatusCode::OK);
    };
    edit(json!({ "scopes": ["write", "more"], "allowed_ip_cidrs": ["127.0.0.1", "10.0.0.0/8"] }))
        .await;
    let reply = introspect(&server, &acme, &token).await;
    assert_eq!(is_active(&reply)["scope"], "write");
    // In neither the token nor its key alone, but in both.
    assert_eq!(reply.body["allowed_ip_cidrs"], json!(["127.0.0.1/32"]));
    for (name, value) in [
        ("ip", "203.0.113.9"),
        ("ip", "10.0.0.1"),
        ("scope", "read:a/1"),
        ("scope", "more"),
    ] {
        is_inactive(&introspect_at(&server, "", &acme, &token, &[(name, value)]).await);
    }
    edit(json!({ "scopes": ["write:a/1"] })).await;
    assert_eq!(
        is_active(&introspect(&server, &acme, &token).await)["scope"],
        "write:a/1"
    );
    edit(json!({ "allowed_ip_cidrs": ["10.0.0.0/8"] })).await;
    is_inactive(&introspect(&server, &acme, &token).await);
}

async fn what_ends_a_key_ends_it_and_its_tokens_here_at_once(server: Server) {
    let acme = server.organization("acme").await;
    for end in ["disable", "revoke"] {
        let key = server.key_with(&acme, &["read"]).await;
        let token = server.token(&key, &[]).await;
        is_active(&introspect(&server, &acme, &key.secret).await);
        is_active(&introspect(&server, &acme, &token).await);
        post(&server, &acme, &key.id, end)
            .await
            .expect(StatusCode::OK);
        is_inactive(&introspect(&server, &acme, &key.secret).await);
        is_inactive(&introspect(&server, &acme, &token).await);
    }
    // One token alone.
    let key = server.key_with(&acme, &["read"]).await;
    let (one, another) = (server.token(&key, &[]).await, server.token(&key, &[]).await);
    is_active(&introspect(&server, &acme, &one).await);
    let revocation = server
        .request(Method::POST, "/oauth/revoke")
        .basic_auth(&key.id, Some(&key.secret))
        .form(&[("token", &one)]);
    Reply::of(revocation).await.expect(StatusCode::OK);
    is_inactive(&introspect(&server, &acme, &one).await);
    is_active(&introspect(&server, &acme, &another).await);
    // A whole organization.
    let operator = server.operator_key();
    let path = "/v1/organizations/acme/suspend";
    let done = server.operate(Method::POST, path, Value::Null).await;
    done.expect(StatusCode::OK);
    for credential in [&key.secret, &another] {
        is_inactive(&introspect(&server, &operator, credential).await);
    }
}

async fn a_rotated_out_secret_ends_at_its_own_end(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let token = server.token(&key, &[]).await;
    server.advance(10);
    let path = format!("/v1/api-keys/{}/rotate", key.id);
    let body = json!({ "overlap_seconds": 60 });
    let rotated = server.call(&acme.secret, Method::POST, &path, body).await;
    let fresh = rotated.expect(StatusCode::OK).body["secret"].clone();
    let now = server.clock.now().unix();
    let old = introspect(&server, &acme, &key.secret).await;
    assert_eq!(is_active(&old)["exp"], now + 60);
    assert_eq!(old.body["iat"], now - 10);
    let new = introspect(&server, &acme, fresh.as_str().unwrap()).await;
    assert_eq!(is_active(&new)["iat"], now);
    assert_eq!(new.body.get("exp"), None);
    server.advance(60);
    is_inactive(&introspect(&server, &acme, &key.secret).await);
    // The token is the key's, whichever secret it was obtained with.
    is_active(&introspect(&server, &acme, &token).await);
}

async fn a_key_that_is_introspected_was_used(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let token = server.token(&key, &[]).await;
    server.advance(7);
    let shown_from = [("ip", "203.0.113.9")];
    is_active(&introspect_at(&server, "", &acme, &key.secret, &shown_from).await);
    is_active(&introspect(&server, &acme, &token).await);
    let lacking = introspect_at(&server, "", &acme, &key.secret, &[("scope", "write")]).await;
    is_inactive(&lacking);
    let path = format!("/v1/api-keys/{}/usage", key.id);
    let used = server
        .call(&acme.secret, Method::GET, &path, Value::Null)
        .await;
    let used = &used.expect(StatusCode::OK).body;
    let expected = json!({
        "issued": 1, "direct": 0, "checked": 1, "refused": { "invalid_scope": 1 },
    });
    assert_eq!(used["totals"], expected);
    assert_eq!(used["last_used_at"], server.clock.now().to_string());
    assert_eq!(used["last_used_address"], "203.0.113.9");
    // Its organization finds out why a service was told no.
    let request = lacking.header("x-request-id").unwrap();
    let path = format!("/v1/refusals?request_id={request}");
    let found = server
        .call(&acme.secret, Method::GET, &path, Value::Null)
        .await;
    assert_eq!(
        found.body["data"][0]["cause"], "invalid_scope",
        "{}",
        found.text
    );
}

async fn warm_questions_need_no_database(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let token = server.token(&key, &[]).await;
    let bearer = server.management_token(&acme, &[]).await;
    let by_bearer =
        async |token: &str| Reply::of(question(&server, "", token, &[]).bearer_auth(&bearer)).await;
    for credential in [&key.secret, &token] {
        is_active(&introspect(&server, &acme, credential).await);
        is_active(&by_bearer(credential).await);
    }
    server.app.close().await;
    for credential in [&key.secret, &token] {
        is_active(&introspect(&server, &acme, credential).await);
        is_active(&by_bearer(credential).await);
    }
    let cold = format!(
        "{}.{}.x",
        token.split('.').next().unwrap(),
        token.split('.').nth(1).unwrap()
    );
    is_inactive(&introspect(&server, &acme, &cold).await);
    assert_eq!(header(&token)["typ"], "at+jwt");
    // What may have changed is not told from memory.
    server.app.management.generations.raise(&Change::Denials);
    let refused = introspect(&server, &acme, &token).await;
    refused.refuses(503, "temporarily_unavailable");
    assert!(refused.header("retry-after").is_some());
}
