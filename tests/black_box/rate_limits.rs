//! Rate limits of keys: so many exchanges at once, then evenly, and told in every answer.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::on_both_engines;
use crate::support::crowd::at_once;
use crate::support::server::{Key, Reply, Server};

on_both_engines!(
    a_key_is_exchanged_as_often_as_its_limit_says,
    what_is_left_is_told_in_every_answer,
    what_did_not_pass_the_network_spends_nothing,
    what_passed_the_network_spends,
    of_many_clients_at_once_no_more_pass_than_may,
    an_edited_limit_counts_at_once,
    a_policy_gives_a_limit_and_caps_it,
);

async fn limited(server: &Server, manager: &Key, limit: u32, window: u32) -> Key {
    let rate = json!({ "limit": limit, "window_seconds": window });
    let body = json!({ "name": "limited", "scopes": ["read"], "rate_limit": rate });
    server.key(manager, body).await
}

async fn edit(server: &Server, manager: &Key, key: &Key, body: Value) {
    let path = format!("/v1/api-keys/{}", key.id);
    let edited = server.call(&manager.secret, Method::PATCH, &path, body);
    edited.await.expect(StatusCode::OK);
}

/// How many of so many exchanges in a row are let through.
async fn passed(server: &Server, key: &Key, tries: usize) -> usize {
    let mut passed = 0;
    for _ in 0..tries {
        let reply = server.exchange(key, &[]).await;
        match reply.status {
            StatusCode::OK => passed += 1,
            _ => drop(reply.refuses(429, "rate_limited")),
        }
    }
    passed
}

/// The status and what is said about the rate.
fn told(reply: &Reply) -> String {
    let mut lines = vec![reply.status.as_u16().to_string()];
    for name in ["ratelimit-policy", "ratelimit", "retry-after"] {
        if let Some(value) = reply.header(name) {
            lines.push(format!("{name}: {value}"));
        }
    }
    lines.join("\n")
}

async fn a_key_is_exchanged_as_often_as_its_limit_says(server: Server) {
    let acme = server.organization("acme").await;
    let key = limited(&server, &acme, 3, 60).await;
    let other = limited(&server, &acme, 3, 60).await;
    assert_eq!(passed(&server, &key, 5).await, 3);
    assert_eq!(passed(&server, &other, 5).await, 3, "each for itself");
    server.advance(19);
    assert_eq!(passed(&server, &key, 2).await, 0);
    server.advance(1);
    assert_eq!(passed(&server, &key, 2).await, 1);
    // At another endpoint it is the same key.
    let elsewhere = server.exchange_at("/orgs/acme", &key, &[]).await;
    elsewhere.refuses(429, "rate_limited");
    server.advance(3_600);
    assert_eq!(passed(&server, &key, 5).await, 3);
}

async fn what_is_left_is_told_in_every_answer(server: Server) {
    let acme = server.organization("acme").await;
    let key = limited(&server, &acme, 2, 60).await;
    let first = server.exchange(&key, &[]).await;
    insta::allow_duplicates! {
        insta::assert_snapshot!(told(&first), @r#"
        200
        ratelimit-policy: "key";q=2;w=60
        ratelimit: "key";r=1;t=30
        "#);
    }
    server.clock.advance(Duration::from_millis(10_500));
    let refused = server.exchange(&key, &[("scope", "write")]).await;
    refused.refuses(400, "invalid_scope");
    insta::allow_duplicates! {
        insta::assert_snapshot!(told(&refused), @r#"
        400
        ratelimit-policy: "key";q=2;w=60
        ratelimit: "key";r=0;t=20
        "#);
    }
    let over = server.exchange(&key, &[]).await;
    insta::allow_duplicates! {
        insta::assert_snapshot!(told(&over), @r#"
        429
        ratelimit-policy: "key";q=2;w=60
        ratelimit: "key";r=0;t=20
        retry-after: 20
        "#);
        insta::assert_snapshot!(over.text, @r#"{"error":"rate_limited","error_description":"this API key is over its rate limit: use the token you have while it lasts, and ask again in 20 s"}"#);
    }
    assert_eq!(over.header("cache-control"), Some("no-store"));
    let free = server.key_with(&acme, &["read"]).await;
    assert_eq!(told(&server.exchange(&free, &[]).await), "200");
}

async fn what_did_not_pass_the_network_spends_nothing(server: Server) {
    let acme = server.organization("acme").await;
    let key = limited(&server, &acme, 1, 60).await;
    let elsewhere = json!({ "allowed_ip_cidrs": ["192.0.2.0/24"] });
    edit(&server, &acme, &key, elsewhere).await;
    for _ in 0..3 {
        let refused = server.exchange(&key, &[]).await;
        refused.refuses(403, "access_denied");
        assert_eq!(told(&refused), "403");
    }
    let thief = Key {
        id: key.id.clone(),
        secret: key.secret.replace("tmsk_", "tmskx_"),
    };
    let refused = server.exchange(&thief, &[]).await;
    assert_eq!(told(refused.refuses(401, "invalid_client")), "401");
    let here = json!({ "allowed_ip_cidrs": ["127.0.0.0/8"] });
    edit(&server, &acme, &key, here).await;
    assert_eq!(passed(&server, &key, 2).await, 1);
}

async fn what_passed_the_network_spends(server: Server) {
    let acme = server.organization("acme").await;
    let key = limited(&server, &acme, 3, 60).await;
    for (parameter, error) in [
        (("scope", "write"), "invalid_scope"),
        (("scope", "%"), "invalid_scope"),
        (("resource", "urn:other"), "invalid_target"),
    ] {
        let refused = server.exchange(&key, &[parameter]).await;
        refused.refuses(400, error);
        assert!(refused.header("ratelimit").is_some());
    }
    // Being over spends nothing: it comes back as if nobody had asked.
    assert_eq!(passed(&server, &key, 9).await, 0);
    server.advance(20);
    assert_eq!(passed(&server, &key, 9).await, 1);
}

async fn of_many_clients_at_once_no_more_pass_than_may(server: Server) {
    let acme = server.organization("acme").await;
    let key = limited(&server, &acme, 10, 3_600).await;
    let replies = at_once((0..50).map(|_| {
        server
            .request(Method::POST, "/oauth/token")
            .basic_auth(&key.id, Some(&key.secret))
            .form(&[("grant_type", "client_credentials")])
    }))
    .await;
    let ok = replies
        .iter()
        .filter(|reply| reply.status == StatusCode::OK);
    assert_eq!(ok.count(), 10);
}

async fn an_edited_limit_counts_at_once(server: Server) {
    let acme = server.organization("acme").await;
    let key = limited(&server, &acme, 2, 60).await;
    assert_eq!(passed(&server, &key, 3).await, 2);
    let more = json!({ "rate_limit": { "limit": 5, "window_seconds": 60 } });
    edit(&server, &acme, &key, more).await;
    assert_eq!(passed(&server, &key, 9).await, 3);
    edit(&server, &acme, &key, json!({ "rate_limit": null })).await;
    assert_eq!(passed(&server, &key, 9).await, 9);
}

async fn a_policy_gives_a_limit_and_caps_it(server: Server) {
    let acme = server.organization("acme").await;
    let own = limited(&server, &acme, 8, 60).await;
    let without = server.key_with(&acme, &["read"]).await;
    assert_eq!(passed(&server, &without, 9).await, 9);
    let policy = async |rule: &str, limit: Value| {
        let body = json!({ "policy": { rule: limit } });
        let path = "/v1/organization";
        let edited = server.call(&acme.secret, Method::PATCH, path, body).await;
        edited.expect(StatusCode::OK);
    };
    let of = |limit: u32| json!({ "limit": limit, "window_seconds": 60 });
    policy("default_rate_limit", of(3)).await;
    assert_eq!(passed(&server, &without, 9).await, 3);
    assert_eq!(passed(&server, &own, 9).await, 8);
    server.advance(60);
    policy("max_rate_limit", of(2)).await;
    assert_eq!(passed(&server, &without, 9).await, 2);
    assert_eq!(passed(&server, &own, 9).await, 2);
    server.advance(60);
    // Where nothing else is said, the greatest is what every key has.
    policy("default_rate_limit", Value::Null).await;
    assert_eq!(passed(&server, &without, 9).await, 2);
    let body = json!({ "name": "x", "scopes": ["read"], "rate_limit": of(3) });
    let refused = server
        .call(&acme.secret, Method::POST, "/v1/api-keys", body)
        .await;
    refused.refuses(422, "policy_violation");
    assert_eq!(refused.body["rule"], "max_rate_limit");
    assert_eq!(refused.body["pointer"], "/rate_limit");
}
