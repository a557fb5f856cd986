//! The gateway endpoint: what goes through to services, and what they are told of it.

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::on_both_engines;
use crate::rotation::post;
use crate::support::forged;
use crate::support::server::{Key, Reply, Server, claims};
use crate::support::verbatim::verbatim;

on_both_engines!(
    keys_and_tokens_are_let_through_by_any_method_and_told,
    what_is_demanded_must_be_held,
    whatever_is_not_in_force_is_answered_the_same,
    only_gateways_are_answered,
    the_address_is_the_clients_and_must_be_told,
    a_key_spends_of_its_rate_and_a_token_does_not,
    a_key_is_not_worth_more_than_its_tokens,
    a_key_that_is_let_through_was_used,
    warm_requests_need_no_database_and_forged_ones_never,
);

/// Where clients are, unless the test says otherwise.
pub const CLIENT: &str = "203.0.113.9";

/// The same server behind gateways on this machine, started with further settings.
pub async fn behind_gateways(server: Server, flags: &[&str]) -> Server {
    let place = server.stop().await.with(&["--gateway-peers", "127.0.0.1"]);
    place.with(flags).start().await
}

/// What a gateway sends, less the credential of the request that it holds.
pub fn verify(server: &Server, query: &str) -> RequestBuilder {
    let path = format!("/gateway/verify{query}");
    server
        .request(Method::GET, &path)
        .header("x-forwarded-for", CLIENT)
}

pub async fn verify_bearer(server: &Server, query: &str, bearer: &str) -> Reply {
    Reply::of(verify(server, query).bearer_auth(bearer)).await
}

/// What a service is told, in the order in which it is documented.
#[track_caller]
pub fn told(reply: &Reply) -> [String; 5] {
    reply.expect(StatusCode::OK);
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(reply.text, "");
    ["org", "key-id", "credential", "scope", "external-id"].map(|name| {
        reply
            .header(&format!("x-tenmint-{name}"))
            .unwrap()
            .to_owned()
    })
}

async fn keys_and_tokens_are_let_through_by_any_method_and_told(server: Server) {
    let server = behind_gateways(server, &[]).await;
    let acme = server.organization("acme").await;
    let body = json!({
        "name": "customer", "scopes": ["read:a/*", "write"], "external_id": "Käufer 7, \"x\"%",
    });
    let key = server.key(&acme, body).await;
    let external = "K%C3%A4ufer%207%2C%20%22x%22%25";
    let of_key = ["acme", &*key.id, "api_key", "read:a/* write", external];
    for request in [
        verify(&server, "").bearer_auth(&key.secret),
        verify(&server, "").header("authorization", format!("bearer  {}", key.secret)),
        verify(&server, "").header("x-api-key", &key.secret),
        verify(&server, "")
            .header("x-api-key", &key.secret)
            .bearer_auth(&key.secret),
    ] {
        assert_eq!(told(&Reply::of(request).await), of_key);
    }
    for issuer in ["", "/orgs/acme"] {
        let reply = server
            .exchange_at(issuer, &key, &[("scope", "write")])
            .await;
        let token = reply.expect(StatusCode::OK).body["access_token"].clone();
        let of_token = ["acme", &*key.id, "access_token", "write", external];
        for _ in 0..2 {
            let reply = verify_bearer(&server, "", token.as_str().unwrap()).await;
            assert_eq!(told(&reply), of_token);
            assert_eq!(reply.header("authorization"), None);
        }
    }
    let plain = server.key_with(&acme, &["*"]).await;
    for method in [
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW",
    ] {
        let request = server
            .request(method.parse().unwrap(), "/gateway/verify?scope=anything")
            .header("x-forwarded-for", CLIENT)
            .bearer_auth(&plain.secret)
            .body("x".repeat(if method == "POST" { 70_000 } else { 0 }));
        let expected = ["acme", &*plain.id, "api_key", "*", ""];
        assert_eq!(told(&Reply::of(request).await), expected, "{method}");
    }
}

async fn what_is_demanded_must_be_held(server: Server) {
    let server = behind_gateways(server, &[]).await;
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read:a/*", "write"]).await;
    let token = server.token(&key, &[("scope", "read:a/1")]).await;
    for (query, lines, of_key, of_token) in [
        ("?scope=read:a/1", &[][..], true, true),
        ("?scope=read:a/1", &[""], true, true),
        ("?scope=", &["read:a/1"], true, true),
        ("", &["read:a/1", "read:a/1"], true, true),
        ("?scope=read:a/2", &[], true, false),
        ("?scope=read:a/1%20write", &[], true, false),
        ("?scope=read:a/1&scope=write", &[], true, false),
        ("?scope=read:a/1", &["write"], true, false),
        ("?scope=read:a/1", &["read:a/1", "write"], true, false),
        ("?scope=read", &[], false, false),
        ("?scope=read", &["read:a/1"], false, false),
        ("?scope=read:a/1", &["read"], false, false),
        ("?scope=read&scope=read:a/1", &[], false, false),
        ("?scope=tokens.introspect", &[], false, false),
    ] {
        for (bearer, expected) in [(&key.secret, of_key), (&token, of_token)] {
            let mut request = verify(&server, query).bearer_auth(bearer);
            for line in lines {
                request = request.header("x-tenmint-require-scope", *line);
            }
            let reply = Reply::of(request).await;
            if expected {
                told(&reply);
                continue;
            }
            reply.refuses(403, "insufficient_scope");
            let challenge = reply.header("www-authenticate").unwrap();
            let start = r#"Bearer realm="tenmint", error="insufficient_scope", scope=""#;
            let wanted = challenge.strip_prefix(start).unwrap();
            assert!(wanted.len() > 1, "{challenge}");
            assert_eq!(reply.header("cache-control"), Some("no-store"));
        }
    }
    // Whoever set the gateway up has made a mistake. It lets nobody through.
    for query in [
        "?scop=read",
        "?scope=read%20%20write",
        "?scope=%25",
        "?scope=read&exchange=yes",
        "?exchange=true&exchange=true",
        "?audience=https://other.example",
        "?audience=/api",
        "?audience=",
        &format!("?audience={}", server.base),
    ] {
        let refused = verify_bearer(&server, query, &acme.secret).await;
        refused.refuses(400, "invalid_request");
    }
    let many: Vec<_> = (0..65).map(|n| format!("scope=s{n}")).collect();
    let refused = verify_bearer(&server, &format!("?{}", many.join("&")), &acme.secret).await;
    refused.refuses(400, "invalid_request");
}

async fn whatever_is_not_in_force_is_answered_the_same(server: Server) {
    let server = behind_gateways(server, &[]).await;
    let acme = server.organization("acme").await;
    let gone = server.organization("gone").await;
    let key = server.key_with(&acme, &["read"]).await;
    let (revoked, disabled) = (
        server.key_with(&acme, &["read"]).await,
        server.key_with(&acme, &["read"]).await,
    );
    let of_revoked = server.token(&revoked, &[]).await;
    for (key, verb) in [(&revoked, "revoke"), (&disabled, "disable")] {
        told(&verify_bearer(&server, "", &key.secret).await);
        post(&server, &acme, &key.id, verb)
            .await
            .expect(StatusCode::OK);
    }
    let of_gone = server.token(&gone, &[]).await;
    let path = "/v1/organizations/gone/suspend";
    let done = server.operate(Method::POST, path, Value::Null).await;
    done.expect(StatusCode::OK);
    let expired = server.token(&key, &[]).await;
    server.advance(600);
    let denied = server.token(&key, &[]).await;
    let revocation = server
        .request(Method::POST, "/oauth/revoke")
        .basic_auth(&key.id, Some(&key.secret))
        .form(&[("token", &denied)]);
    Reply::of(revocation).await.expect(StatusCode::OK);
    let management = server.management_token(&key, &[]).await;
    let genuine = server.token(&key, &[]).await;
    let bent = format!("{}x", &genuine[..genuine.len() - 1]);
    let wrong = forged::with_genuine_tag(&server, &key.id).secret;
    let unknown = forged::with_genuine_tag(&server, forged::NOBODY).secret;
    let foreign = forged::of_another_deployment(&key.id).secret;

    let expected = verify_bearer(&server, "", "garbage").await;
    expected.refuses(401, "invalid_token");
    let challenge = expected.header("www-authenticate");
    assert_eq!(
        challenge,
        Some(r#"Bearer realm="tenmint", error="invalid_token""#)
    );
    let expected = verbatim(&server, &expected);
    for bearer in [
        &revoked.secret,
        &disabled.secret,
        &gone.secret,
        &of_revoked,
        &of_gone,
        &expired,
        &denied,
        &management,
        &bent,
        &wrong,
        &unknown,
        &foreign,
        &key.id,
        "",
        "x.y.z",
        "..",
        "é",
    ] {
        // An address or a scope that would not do is not what it is told of.
        for query in ["", "?scope=nothing"] {
            let request =
                verify(&server, query).header("authorization", format!("Bearer {bearer}"));
            let reply = Reply::of(request).await;
            assert_eq!(verbatim(&server, &reply), expected, "{bearer}");
        }
    }
    // Tokens have one place.
    let in_the_wrong = verify(&server, "").header("x-api-key", &genuine);
    assert_eq!(verbatim(&server, &Reply::of(in_the_wrong).await), expected);
    // Whoever brings nothing is told what to bring, and of no error (RFC 6750 §3).
    for request in [
        verify(&server, ""),
        verify(&server, "").basic_auth(&key.id, Some(&key.secret)),
        verify(&server, "").header("authorization", "Digest x"),
    ] {
        let refused = Reply::of(request).await;
        refused.expect(StatusCode::UNAUTHORIZED);
        assert_eq!(
            refused.header("www-authenticate"),
            Some(r#"Bearer realm="tenmint""#)
        );
    }
}

async fn only_gateways_are_answered(server: Server) {
    let flags = [
        "--gateway-peers",
        "192.0.2.1",
        "--trusted-proxies",
        "127.0.0.1",
    ];
    let server = server.stop().await.with(&flags).start().await;
    let acme = server.organization("acme").await;
    let expected = Reply::of(verify(&server, "")).await;
    expected.refuses(403, "access_denied");
    for query in ["", "?scope=x", "?scop=x", "?exchange=true", "/below?x"] {
        for bearer in [&acme.secret, &server.operator, "garbage"] {
            let reply = verify_bearer(&server, query, bearer).await;
            assert_eq!(verbatim(&server, &reply), verbatim(&server, &expected));
        }
    }
    // Where no gateway is named, every trusted proxy is one.
    let server = server.stop().await.bare().start().await;
    let reply = verify_bearer(&server, "", &acme.secret).await;
    reply.refuses(403, "access_denied");
    let place = server
        .stop()
        .await
        .with(&["--trusted-proxies", "127.0.0.0/8"]);
    let server = place.start().await;
    told(&verify_bearer(&server, "", &acme.secret).await);
}

async fn the_address_is_the_clients_and_must_be_told(server: Server) {
    let server = behind_gateways(server, &[]).await;
    let acme = server.organization("acme").await;
    let body = |networks| json!({ "name": "n", "scopes": ["a"], "allowed_ip_cidrs": networks });
    let clients = server.key(&acme, body(json!(["203.0.113.0/24"]))).await;
    let gateways = server.key(&acme, body(json!(["127.0.0.0/8"]))).await;
    let anywhere = server.key_with(&acme, &["a"]).await;
    let bare = |key: &Key| {
        server
            .request(Method::GET, "/gateway/verify")
            .bearer_auth(&key.secret)
    };
    for (key, line, passes) in [
        (&clients, Some("203.0.113.7"), true),
        (&clients, Some("198.51.100.1, 203.0.113.7"), true),
        (&clients, Some("203.0.113.7, 198.51.100.1"), false),
        (&clients, Some("198.51.100.1"), false),
        (&gateways, Some("203.0.113.7"), false),
        // What the gateway does not say, its own address does not stand for.
        (&gateways, None, false),
        (&clients, None, false),
        (&anywhere, None, false),
        (&anywhere, Some("unknown"), false),
        (&anywhere, Some(""), false),
        (&anywhere, Some("2001:db8::1"), true),
    ] {
        let request = match line {
            Some(line) => bare(key).header("x-forwarded-for", line),
            None => bare(key),
        };
        let reply = Reply::of(request).await;
        if passes {
            told(&reply);
        } else {
            reply.refuses(403, "access_denied");
        }
    }
    // A token carries its key's networks.
    let place = json!({ "allowed_ip_cidrs": ["203.0.113.0/24", "127.0.0.1"] });
    let path = format!("/v1/api-keys/{}", clients.id);
    server
        .call(&acme.secret, Method::PATCH, &path, place)
        .await
        .expect(StatusCode::OK);
    let token = server.token(&clients, &[]).await;
    told(&verify_bearer(&server, "", &token).await);
    let elsewhere = server
        .request(Method::GET, "/gateway/verify")
        .bearer_auth(&token);
    let refused = Reply::of(elsewhere.header("x-forwarded-for", "198.51.100.1")).await;
    refused.refuses(403, "access_denied");
}

async fn a_key_spends_of_its_rate_and_a_token_does_not(server: Server) {
    let server = behind_gateways(server, &[]).await;
    let acme = server.organization("acme").await;
    let rate = json!({ "limit": 3, "window_seconds": 60 });
    let body = json!({ "name": "limited", "scopes": ["read"], "rate_limit": rate });
    let key = server.key(&acme, body).await;
    let token = server.token(&key, &[]).await;
    let elsewhere = server
        .request(Method::GET, "/gateway/verify")
        .bearer_auth(&key.secret);
    for left in ["1", "0"] {
        let reply = verify_bearer(&server, "?exchange=true", &key.secret).await;
        told(&reply);
        assert_eq!(reply.header("ratelimit-policy"), Some(r#""key";q=3;w=60"#));
        let now = reply.header("ratelimit").unwrap();
        assert!(now.starts_with(&format!(r#""key";r={left};"#)), "{now}");
    }
    let over = verify_bearer(&server, "", &key.secret).await;
    over.refuses(429, "rate_limited");
    assert_eq!(over.header("retry-after"), Some("20"));
    assert_eq!(over.header("ratelimit"), Some(r#""key";r=0;t=20"#));
    // At the token endpoint it is one and the same.
    server
        .exchange(&key, &[])
        .await
        .refuses(429, "rate_limited");
    for _ in 0..5 {
        let reply = verify_bearer(&server, "", &token).await;
        told(&reply);
        assert_eq!(reply.header("ratelimit"), None);
    }
    // What does not pass the network, or the secret, spends nothing and is told nothing.
    server.advance(20);
    let refused = Reply::of(elsewhere).await;
    assert_eq!(
        refused.refuses(403, "access_denied").header("ratelimit"),
        None
    );
    let wrong = forged::with_genuine_tag(&server, &key.id).secret;
    let refused = verify_bearer(&server, "", &wrong).await;
    assert_eq!(
        refused.refuses(401, "invalid_token").header("ratelimit"),
        None
    );
    told(&verify_bearer(&server, "", &key.secret).await);
}

async fn a_key_is_not_worth_more_than_its_tokens(server: Server) {
    let [one, two] = ["https://one.example", "https://two.example"];
    let server = behind_gateways(server, &["--audience", &format!("{one},{two}")]).await;
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let for_one = server.token(&key, &[("resource", one)]).await;
    let for_both = server
        .token(&key, &[("resource", one), ("resource", two)])
        .await;
    for (query, passes) in [
        ("", [true; 3]),
        ("?audience=https://one.example", [true; 3]),
        ("?audience=https://two.example", [true, false, true]),
    ] {
        for (bearer, passes) in [&key.secret, &for_one, &for_both].into_iter().zip(passes) {
            let reply = verify_bearer(&server, query, bearer).await;
            if passes {
                told(&reply);
            } else {
                reply.refuses(401, "invalid_token");
            }
        }
    }
    let body = json!({ "operator_policy": { "allowed_audiences": [two] } });
    let path = "/v1/organizations/acme";
    server
        .operate(Method::PATCH, path, body)
        .await
        .expect(StatusCode::OK);
    let refused = verify_bearer(&server, "?audience=https://one.example", &key.secret).await;
    refused.refuses(403, "access_denied");
    let reply = verify_bearer(&server, "?exchange=true", &key.secret).await;
    told(&reply);
    let token = reply
        .header("authorization")
        .unwrap()
        .strip_prefix("Bearer ")
        .unwrap();
    assert_eq!(claims(token)["aud"], two);
}

async fn a_key_that_is_let_through_was_used(server: Server) {
    let server = behind_gateways(server, &[]).await;
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let token = server.token(&key, &[]).await;
    server.advance(5);
    for query in ["", "?exchange=true"] {
        let request = verify(&server, query).header("user-agent", "client/7");
        told(&Reply::of(request.bearer_auth(&key.secret)).await);
    }
    told(&verify_bearer(&server, "", &token).await);
    let refused = verify_bearer(&server, "?scope=write", &key.secret).await;
    let request = refused
        .refuses(403, "insufficient_scope")
        .header("x-request-id")
        .unwrap();
    let read = async |path: String| {
        server
            .call(&acme.secret, Method::GET, &path, Value::Null)
            .await
    };
    let used = read(format!("/v1/api-keys/{}/usage", key.id)).await.body;
    let expected = json!({
        "issued": 1, "direct": 2, "checked": 0, "refused": { "invalid_scope": 1 },
    });
    assert_eq!(used["totals"], expected);
    assert_eq!(used["last_used_at"], server.clock.now().to_string());
    assert_eq!(used["last_used_address"], CLIENT);
    assert_eq!(used["last_used_user_agent"], "client/7");
    let found = read(format!("/v1/refusals?request_id={request}")).await;
    assert_eq!(
        found.body["data"][0]["cause"], "invalid_scope",
        "{}",
        found.text
    );
}

async fn warm_requests_need_no_database_and_forged_ones_never(server: Server) {
    let server = behind_gateways(server, &[]).await;
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let token = server.token(&key, &[]).await;
    let queries = ["?scope=read", "?scope=read&exchange=true"];
    for query in queries {
        for bearer in [&key.secret, &token] {
            told(&verify_bearer(&server, query, bearer).await);
        }
    }
    let foreign: Vec<_> = (0..200)
        .map(|_| forged::of_another_deployment(&key.id).secret)
        .collect();
    server.app.close().await;
    for query in queries {
        for bearer in [&key.secret, &token] {
            told(&verify_bearer(&server, query, bearer).await);
        }
    }
    for bearer in &foreign {
        verify_bearer(&server, "", bearer)
            .await
            .refuses(401, "invalid_token");
    }
    // Whatever had to be asked for is not there.
    let cold = forged::with_genuine_tag(&server, forged::NOBODY).secret;
    let refused = verify_bearer(&server, "", &cold).await;
    refused.refuses(503, "temporarily_unavailable");
    assert!(refused.header("retry-after").is_some());
}
