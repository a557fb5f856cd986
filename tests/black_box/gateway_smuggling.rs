//! What a client can write into a request that a gateway forwards: none of it lets it through, and
//! none of it reaches a service in tenmint's name.

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::json;

use crate::gateway::{CLIENT, behind_gateways, told, verify};
use crate::on_both_engines;
use crate::support::raw::talk;
use crate::support::server::{Reply, Server};

on_both_engines!(
    two_credentials_are_none,
    what_a_client_says_in_tenmints_name_is_not_repeated,
    a_client_can_only_demand_more,
    below_the_endpoint_the_query_is_the_clients,
    a_slash_too_many_lets_nobody_through,
    what_a_proxy_would_take_out_does_not_count,
);

async fn two_credentials_are_none(server: Server) {
    let server = behind_gateways(server, &[]).await;
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let token = server.token(&key, &[]).await;
    let (one, two) = (&*key.secret, &*acme.secret);
    let ask = || verify(&server, "?exchange=true");
    let confusing: Vec<RequestBuilder> = vec![
        ask().bearer_auth(one).bearer_auth(two),
        ask().bearer_auth(one).bearer_auth(one),
        ask().bearer_auth(one).basic_auth(&key.id, Some(one)),
        ask().bearer_auth(one).header("authorization", ""),
        ask().header("x-api-key", one).header("x-api-key", two),
        ask().header("x-api-key", one).header("x-api-key", one),
        ask().header("x-api-key", one).header("x-api-key", ""),
        ask().bearer_auth(one).header("x-api-key", two),
        ask().bearer_auth(two).header("x-api-key", one),
        ask().bearer_auth(&token).header("x-api-key", one),
        ask().bearer_auth(one).header("x-api-key", ""),
        ask().bearer_auth("garbage").header("x-api-key", one),
        ask()
            .basic_auth("user", Some("pass"))
            .header("x-api-key", one),
        ask()
            .header("authorization", "Digest x")
            .header("x-api-key", one),
        ask().header("authorization", "").header("x-api-key", one),
    ];
    for (n, request) in confusing.into_iter().enumerate() {
        let refused = Reply::of(request).await;
        assert_eq!(refused.status, 401, "{n}: {}", refused.text);
        refused.refuses(401, "invalid_request");
        let challenge = refused.header("www-authenticate");
        assert_eq!(
            challenge,
            Some(r#"Bearer realm="tenmint", error="invalid_request""#),
            "{n}"
        );
        assert_eq!(refused.header("authorization"), None);
    }
    // Nor are they made one of.
    for text in [
        format!("Bearer {one}, Bearer {two}"),
        format!("Bearer {one},{one}"),
        format!("Bearer {one} {one}"),
    ] {
        let refused = Reply::of(ask().header("authorization", text)).await;
        refused.refuses(401, "invalid_token");
    }
}

async fn what_a_client_says_in_tenmints_name_is_not_repeated(server: Server) {
    let server = behind_gateways(server, &[]).await;
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let names = [
        "Org",
        "Key-Id",
        "Credential",
        "Scope",
        "External-Id",
        "Other",
        "Require-Scope-",
    ];
    let lying = names.iter().fold(verify(&server, ""), |request, name| {
        request.header(format!("X-Tenmint-{name}"), "evil")
    });
    let reply = Reply::of(lying.bearer_auth(&key.secret)).await;
    assert_eq!(told(&reply), ["acme", &*key.id, "api_key", "read", ""]);
    let said = format!("{:?}", reply.headers);
    assert!(!said.contains("evil"), "{said}");
    // Each is there once, be it empty: a gateway that copies them overwrites the client's.
    for name in &names[..5] {
        let lines = reply
            .headers
            .get_all(format!("x-tenmint-{name}").to_lowercase());
        assert_eq!(lines.iter().count(), 1, "{name}");
    }
}

async fn a_client_can_only_demand_more(server: Server) {
    let [one, two] = ["https://one.example", "https://two.example"];
    let server = behind_gateways(server, &["--audience", &format!("{one},{two}")]).await;
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let for_two = server.token(&key, &[("resource", two)]).await;
    for line in ["read", "", "*", "write"] {
        let request = verify(&server, "?scope=write").header("x-tenmint-require-scope", line);
        let refused = Reply::of(request.bearer_auth(&key.secret)).await;
        refused.refuses(403, "insufficient_scope");
    }
    // What is no scope at all is a mistake of whoever set the gateway up, or the client's own.
    for line in ["%", "read  read"] {
        let request = verify(&server, "").header("x-tenmint-require-scope", line);
        Reply::of(request.bearer_auth(&key.secret))
            .await
            .refuses(400, "invalid_request");
    }
    // The others count where the query string cannot be the gateway's, and nowhere else.
    let request =
        verify(&server, "?audience=https://one.example").header("x-tenmint-audience", two);
    Reply::of(request.bearer_auth(&for_two))
        .await
        .refuses(401, "invalid_token");
    for (query, exchange, given) in [("", "true", false), ("?exchange=true", "false", true)] {
        let request = verify(&server, query).header("x-tenmint-exchange", exchange);
        let reply = Reply::of(request.bearer_auth(&key.secret)).await;
        told(&reply);
        assert_eq!(reply.header("authorization").is_some(), given);
    }
}

async fn below_the_endpoint_the_query_is_the_clients(server: Server) {
    let [one, two] = ["https://one.example", "https://two.example"];
    let server = behind_gateways(server, &["--audience", &format!("{one},{two}")]).await;
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let for_one = server.token(&key, &[("resource", one)]).await;
    let below = |path: &str, headers: &[(&'static str, &'static str)], bearer: &str| {
        let path = format!("/gateway/verify/{path}");
        let request = server
            .request(Method::POST, &path)
            .header("x-forwarded-for", CLIENT);
        let request = headers.iter().fold(request, |request, (name, value)| {
            request.header(*name, *value)
        });
        let scope = "x-tenmint-require-scope";
        let request = if headers.iter().any(|(name, _)| *name == scope) {
            request
        } else {
            request.header(scope, "")
        };
        Reply::of(request.bearer_auth(bearer))
    };
    let theirs = "orders/7?scope=x&exchange=true&audience=nonsense&%00=%ff";
    for path in ["", "orders", theirs, "a%2f..%2fb", "a//b/"] {
        let reply = below(path, &[], &key.secret).await;
        told(&reply);
        assert_eq!(reply.header("authorization"), None, "{path}");
        let headers = [("x-tenmint-exchange", "true"), ("x-tenmint-audience", two)];
        let reply = below(path, &headers, &key.secret).await;
        told(&reply);
        assert!(reply.header("authorization").is_some());
        let refused = below(path, &[("x-tenmint-require-scope", "write")], &key.secret).await;
        refused.refuses(403, "insufficient_scope");
        let refused = below(path, &[("x-tenmint-audience", two)], &for_one).await;
        refused.refuses(401, "invalid_token");
        for twice in ["x-tenmint-exchange", "x-tenmint-audience"] {
            let value = if twice == "x-tenmint-audience" {
                one
            } else {
                "true"
            };
            let refused = below(path, &[(twice, value), (twice, value)], &key.secret).await;
            refused.refuses(400, "invalid_request");
        }
    }
}

async fn a_slash_too_many_lets_nobody_through(server: Server) {
    let server = behind_gateways(server, &[]).await;
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let token = server.token(&key, &[]).await;
    let ask = |path: &str, bearer: &str| {
        let request = server
            .request(Method::GET, path)
            .header("x-forwarded-for", CLIENT);
        request.bearer_auth(bearer)
    };
    for bearer in [&*key.secret, &token, "nonsense"] {
        for path in [
            "/gateway/verify/?scope=write",
            "/gateway/verify/?scope=read",
            "/gateway/verify/orders?scope=write&exchange=true",
            "/gateway/verify/",
        ] {
            let reply = Reply::of(ask(path, bearer)).await;
            reply.refuses(400, "invalid_request");
            let said = reply.body["error_description"].as_str().unwrap();
            assert!(said.contains("X-Tenmint-Require-Scope"), "{said}");
            assert_eq!(reply.header("authorization"), None);
        }
    }
    let wanted =
        |scope| ask("/gateway/verify/", &key.secret).header("x-tenmint-require-scope", scope);
    for scope in ["", "read"] {
        told(&Reply::of(wanted(scope)).await);
    }
    let refused = Reply::of(wanted("write")).await;
    refused.refuses(403, "insufficient_scope");
}

async fn what_a_proxy_would_take_out_does_not_count(server: Server) {
    let server = behind_gateways(server, &[]).await;
    let acme = server.organization("acme").await;
    let body = json!({ "name": "x", "scopes": ["read"] });
    let key = server.key(&acme, body).await;
    let ask = async |connection: &str, more: &str| {
        let request = format!(
            "GET /gateway/verify?scope=read HTTP/1.1\r\nHost: gateway\r\nConnection: close{connection}\r\n\
             X-Forwarded-For: {CLIENT}\r\nAuthorization: Bearer {}\r\n{more}\r\n",
            key.secret
        );
        talk(server.address(), request.as_bytes()).await
    };
    assert_eq!(ask("", "").await.statuses(), [200]);
    assert_eq!(ask(", x-other", "").await.statuses(), [200]);
    for named in [
        "authorization",
        "Authorization",
        "X-API-Key",
        "x-forwarded-for",
        "X-Tenmint-Require-Scope",
        "x,AUTHORIZATION ,y",
    ] {
        assert_eq!(
            ask(&format!(", {named}"), "").await.statuses(),
            [401],
            "{named}"
        );
        let line = format!("Connection: {named}\r\n");
        assert_eq!(ask("", &line).await.statuses(), [401], "{named}");
    }
    let status = StatusCode::OK.as_u16();
    assert_eq!(
        ask("", "X-Connection: authorization\r\n").await.statuses(),
        [status]
    );
}
