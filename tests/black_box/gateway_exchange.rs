//! Tokens in place of API keys, at the gateway: one for many requests, and none that is stale.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::gateway::{behind_gateways, told, verify, verify_bearer};
use crate::on_both_engines;
use crate::rotation::post;
use crate::support::server::{Key, Reply, Server, claims};

on_both_engines!(
    a_service_sees_a_token_in_place_of_the_key,
    one_token_does_for_many_requests_until_shortly_before_its_end,
    a_token_is_not_held_beyond_a_change_of_its_key,
    a_confined_key_gets_a_token_of_its_own_issuer,
);

/// What the service is given to see.
#[track_caller]
fn token(reply: &Reply) -> String {
    told(reply);
    let header = reply.header("authorization").unwrap();
    header.strip_prefix("Bearer ").unwrap().to_owned()
}

async fn exchanged(server: &Server, key: &Key) -> String {
    token(&verify_bearer(server, "?exchange=true", &key.secret).await)
}

async fn a_service_sees_a_token_in_place_of_the_key(server: Server) {
    let server = behind_gateways(server, &[]).await;
    let acme = server.organization("acme").await;
    let body = json!({
        "name": "k", "scopes": ["read:a/*", "write"], "allowed_ip_cidrs": ["203.0.113.0/24", "127.0.0.1"],
    });
    let key = server.key(&acme, body).await;
    let by_header = verify(&server, "?exchange=true&scope=write").header("x-api-key", &key.secret);
    let by_header = token(&Reply::of(by_header).await);
    let now = server.clock.now().unix();
    let expected = json!({
        "iss": server.base, "sub": key.id, "client_id": key.id, "org": "acme",
        "aud": format!("{}/api", server.base), "iat": now, "nbf": now, "exp": now + 600,
        "jti": claims(&by_header)["jti"], "scope": "read:a/* write",
        "allowed_ip_cidrs": ["203.0.113.0/24", "127.0.0.1/32"],
    });
    assert_eq!(claims(&by_header), expected);
    assert!(!by_header.contains(&key.secret));
    // It is a token like any other.
    told(&verify_bearer(&server, "?scope=read:a/1", &by_header).await);
    // A token stays what it is.
    let own = server.token(&key, &[("scope", "write")]).await;
    assert_eq!(
        token(&verify_bearer(&server, "?exchange=true", &own).await),
        own
    );
    let reply = verify_bearer(&server, "?exchange=false", &key.secret).await;
    told(&reply);
    assert_eq!(reply.header("authorization"), None);
    let refused = verify_bearer(&server, "?exchange=true&scope=x", &key.secret).await;
    assert_eq!(
        refused
            .refuses(403, "insufficient_scope")
            .header("authorization"),
        None
    );
}

async fn one_token_does_for_many_requests_until_shortly_before_its_end(server: Server) {
    let server = behind_gateways(server, &[]).await;
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let first = exchanged(&server, &key).await;
    for seconds in [0, 1, 538] {
        server.advance(seconds);
        assert_eq!(exchanged(&server, &key).await, first, "{seconds}");
    }
    server.advance(1);
    let second = exchanged(&server, &key).await;
    assert_ne!(second, first);
    assert_eq!(claims(&second)["iat"], server.clock.now().unix());
    // Another key has another.
    let other = server.key_with(&acme, &["read"]).await;
    assert_eq!(claims(&exchanged(&server, &other).await)["sub"], other.id);
    // A key that is about to end gets none that outlives it, and none that has ended.
    let body = json!({ "name": "short", "scopes": ["a"], "expires_at": server.clock.now().plus(std::time::Duration::from_secs(40)) });
    let short = server.key(&acme, body).await;
    let end = server.clock.now().unix() + 40;
    for _ in 0..39 {
        let token = exchanged(&server, &short).await;
        assert_eq!(claims(&token)["exp"], end);
        server.advance(1);
    }
    server.advance(1);
    verify_bearer(&server, "?exchange=true", &short.secret)
        .await
        .refuses(401, "invalid_token");
}

async fn a_token_is_not_held_beyond_a_change_of_its_key(server: Server) {
    let server = behind_gateways(server, &[]).await;
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read", "write"]).await;
    let path = format!("/v1/api-keys/{}", key.id);
    let before = exchanged(&server, &key).await;
    let body = json!({ "scopes": ["read"] });
    server
        .call(&acme.secret, Method::PATCH, &path, body)
        .await
        .expect(StatusCode::OK);
    let after = exchanged(&server, &key).await;
    assert_eq!(claims(&after)["scope"], "read");
    // One that was revoked by itself is not given out again.
    let revocation = server
        .request(Method::POST, "/oauth/revoke")
        .basic_auth(&key.id, Some(&key.secret))
        .form(&[("token", &after)]);
    Reply::of(revocation).await.expect(StatusCode::OK);
    let another = exchanged(&server, &key).await;
    assert!(![&before, &after].contains(&&another));
    assert_eq!(exchanged(&server, &key).await, another);
    for (verb, status) in [("disable", 401), ("enable", 200), ("revoke", 401)] {
        post(&server, &acme, &key.id, verb)
            .await
            .expect(StatusCode::OK);
        let reply = verify_bearer(&server, "?exchange=true", &key.secret).await;
        assert_eq!(reply.status.as_u16(), status, "{verb}");
        assert_eq!(reply.header("authorization").is_some(), status == 200);
        // Nor do those that are out go through.
        let reply = verify_bearer(&server, "", &another).await;
        assert_eq!(reply.status.as_u16(), status, "{verb}");
    }
}

async fn a_confined_key_gets_a_token_of_its_own_issuer(server: Server) {
    let server = behind_gateways(server, &[]).await;
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    assert_eq!(claims(&exchanged(&server, &key).await)["iss"], server.base);
    let body = json!({ "policy": { "own_issuer_only": true } });
    let path = "/v1/organization";
    server
        .call(&acme.secret, Method::PATCH, path, body)
        .await
        .expect(StatusCode::OK);
    let token = exchanged(&server, &key).await;
    assert_eq!(claims(&token)["iss"], format!("{}/orgs/acme", server.base));
    told(&verify_bearer(&server, "", &token).await);
    let done = server.operate(Method::POST, "/v1/organizations/acme/suspend", Value::Null);
    done.await.expect(StatusCode::OK);
    for bearer in [&key.secret, &token] {
        verify_bearer(&server, "?exchange=true", bearer)
            .await
            .refuses(401, "invalid_token");
    }
}
