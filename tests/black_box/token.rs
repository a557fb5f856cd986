//! `POST /oauth/token`: the exchange, by every way a client may take.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::on_both_engines;
use crate::support::server::{Reply, Server, claims, header};

on_both_engines!(a_key_obtains_a_token_that_says_what_it_must);

async fn a_key_obtains_a_token_that_says_what_it_must(server: Server) {
    let acme = server.organization("acme").await;
    let key = server
        .key(
            &acme,
            json!({ "name": "ci", "scopes": ["read:projects/**", "inference"],
            "allowed_ip_cidrs": ["127.0.0.0/8"] }),
        )
        .await;
    let reply = server.exchange(&key, &[]).await;
    reply.expect(StatusCode::OK);
    assert_eq!(reply.body["token_type"], "Bearer");
    assert_eq!(reply.body["expires_in"], 600);
    assert_eq!(reply.body["scope"], "read:projects/** inference");
    assert_eq!(reply.header("cache-control"), Some("no-store"));

    let token = reply.body["access_token"].as_str().unwrap();
    let now = server.clock.now().unix();
    let mut claims = claims(token);
    assert!(claims["jti"].take().as_str().unwrap().len() >= 22);
    assert_eq!(
        claims,
        json!({
            "iss": server.base, "sub": key.id, "client_id": key.id,
            "aud": format!("{}/api", server.base), "iat": now, "nbf": now, "exp": now + 600,
            "jti": null, "scope": "read:projects/** inference", "org": "acme",
            "allowed_ip_cidrs": ["127.0.0.0/8"],
        })
    );
    assert_eq!(header(token)["typ"], "at+jwt");
    let _ = Reply::of(server.request(Method::GET, "/healthz"))
        .await
        .expect(StatusCode::OK);
}
