//! The layer on the wire: RFC 6750 answers, RFC 9728 metadata, and what handlers are given.

use std::net::{IpAddr, SocketAddr};

use axum::Router;
use axum::extract::Path;
use axum::http::request::Parts;
use axum::routing::get;
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tenmint::verifier::{Refused, Scopes, Verified, Verifier};
use tokio::net::TcpListener;

use crate::issuer::{AUDIENCE, Issuer};
use crate::support::server::Reply;

/// A resource server with a route that needs nothing, one that needs scopes, one whose path says
/// what it needs, and one that forgot the layer.
pub async fn resource_server(verifier: &Verifier, behind_proxy: bool) -> String {
    let mut layer = verifier.layer();
    if behind_proxy {
        layer = layer.address(|parts: &Parts| -> Option<IpAddr> {
            let line = parts.headers.get("x-real-ip")?;
            line.to_str().ok()?.parse().ok()
        });
    }
    let needs = Scopes::require("files.read").and("files.list:public");
    let files = get(async || "files").route_layer(needs);
    let mut router = Router::new()
        .route("/whoami", get(whoami))
        .route("/files", files)
        .route("/projects/{id}", get(project))
        .layer(layer)
        .route("/open", get(whoami))
        .route("/open/files", get("files").layer(Scopes::require("read")));
    if let Some(metadata) = verifier.resource_metadata() {
        router = router.route(metadata.path(), get(metadata.clone()));
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    url
}

async fn whoami(caller: Verified) -> String {
    format!("{} of {}", caller.key_id(), caller.organization())
}

async fn project(caller: Verified, Path(id): Path<String>) -> Result<String, Refused> {
    caller.require(&format!("read:projects/{id}"))?;
    Ok(format!("project {id}"))
}

fn request(url: &str, path: &str) -> RequestBuilder {
    Client::new().get(format!("{url}{path}"))
}

async fn with(url: &str, path: &str, token: &str) -> Reply {
    Reply::of(request(url, path).bearer_auth(token)).await
}

const METADATA: &str = "https://api.example/.well-known/oauth-protected-resource";

#[tokio::test]
async fn a_good_token_reaches_the_handler() {
    let issuer = Issuer::start().await;
    let url = resource_server(&issuer.verifier(), false).await;
    let token = issuer.token(&json!({ "scope": "read:projects/42/** files.*" }));
    let reply = with(&url, "/whoami", &token).await;
    assert_eq!(reply.expect(StatusCode::OK).text, "key_1 of acme");
    with(&url, "/files", &token).await.expect(StatusCode::OK);
    let reply = with(&url, "/projects/42", &token).await;
    assert_eq!(reply.expect(StatusCode::OK).text, "project 42");
}

#[tokio::test]
async fn who_shows_nothing_is_told_where_to_obtain_a_token() {
    let issuer = Issuer::start().await;
    let url = resource_server(&issuer.verifier(), false).await;
    let token = issuer.token(&json!({}));
    let expected = format!(r#"Bearer realm="{AUDIENCE}", resource_metadata="{METADATA}""#);
    for asked in [
        request(&url, "/whoami"),
        // Neither the query string nor a form is looked at, nor another header.
        request(&url, &format!("/whoami?access_token={token}")),
        request(&url, "/whoami").form(&[("access_token", &token)]),
        request(&url, "/whoami").header("x-api-key", &token),
        request(&url, "/whoami").header("proxy-authorization", format!("Bearer {token}")),
        request(&url, "/whoami").header("cookie", format!("access_token={token}")),
        request(&url, "/whoami").basic_auth("key_1", Some(&token)),
    ] {
        let reply = Reply::of(asked).await;
        reply.expect(StatusCode::UNAUTHORIZED);
        assert_eq!(reply.header("www-authenticate"), Some(&*expected));
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        assert_eq!(reply.body.get("error"), None);
    }
}

#[tokio::test]
async fn a_bad_token_is_named_so_and_never_repeated() {
    let issuer = Issuer::start().await;
    let url = resource_server(&issuer.verifier(), false).await;
    let expired = issuer.token(&json!({ "exp": 1 }));
    for token in [&*expired, "a.b.c", "tmsk_01ARZ3NDEKTSV4RRFFQ69G5FAV_x"] {
        let reply = with(&url, "/whoami", token).await;
        reply.refuses(401, "invalid_token");
        let challenge = reply.header("www-authenticate").unwrap();
        let beginning = format!(r#"Bearer realm="{AUDIENCE}", error="invalid_token", "#);
        assert!(challenge.starts_with(&beginning), "{challenge}");
        assert!(challenge.contains(METADATA));
        assert!(!reply.text.contains(token) && !challenge.contains(token));
    }
}

#[tokio::test]
async fn which_of_two_headers_counts_is_not_guessed() {
    let issuer = Issuer::start().await;
    let url = resource_server(&issuer.verifier(), false).await;
    let token = issuer.token(&json!({}));
    let bearer = format!("Bearer {token}");
    let twice = |other: &str| {
        let first = request(&url, "/whoami").header("authorization", &bearer);
        first.header("authorization", other)
    };
    for asked in [
        twice(&bearer),
        twice("Basic YTpi"),
        twice(""),
        request(&url, "/whoami").header("authorization", format!("{bearer}, {bearer}")),
        request(&url, "/whoami").header("authorization", "Bearer"),
    ] {
        let reply = Reply::of(asked).await;
        reply.refuses(400, "invalid_request");
        let challenge = reply.header("www-authenticate").unwrap();
        assert!(challenge.contains(r#"error="invalid_request""#));
    }
}

#[tokio::test]
async fn a_missing_scope_is_named() {
    let issuer = Issuer::start().await;
    let url = resource_server(&issuer.verifier(), false).await;
    let token = issuer.token(&json!({ "scope": "read:projects/42/** files.read" }));
    for (path, scope) in [
        ("/files", "files.list:public"),
        ("/projects/43", "read:projects/43"),
    ] {
        let reply = with(&url, path, &token).await;
        reply.refuses(403, "insufficient_scope");
        let challenge = reply.header("www-authenticate").unwrap();
        assert!(
            challenge.contains(&format!(r#"scope="{scope}""#)),
            "{challenge}"
        );
    }
    // What no scope can name is nobody's.
    for path in [
        "/projects/..%2F43",
        "/projects/%22",
        "/projects/%C3%A9",
        "/projects/*",
    ] {
        let reply = with(&url, path, &token).await;
        reply.refuses(403, "insufficient_scope");
    }
}

#[tokio::test]
async fn a_route_that_forgot_the_layer_lets_nobody_through() {
    let issuer = Issuer::start().await;
    let url = resource_server(&issuer.verifier(), false).await;
    let token = issuer.token(&json!({}));
    for path in ["/open", "/open/files"] {
        let reply = with(&url, path, &token).await;
        reply.refuses(500, "server_error");
    }
}

#[tokio::test]
async fn addresses_are_the_peers_and_no_header_is_believed() {
    let issuer = Issuer::start().await;
    let verifier = issuer.verifier();
    let url = resource_server(&verifier, false).await;
    let theirs = issuer.token(&json!({ "allowed_ip_cidrs": ["203.0.113.7"] }));
    let ours = issuer.token(&json!({ "allowed_ip_cidrs": ["127.0.0.1"] }));
    with(&url, "/whoami", &ours).await.expect(StatusCode::OK);
    let lie = |url: &str, token: &str| {
        let asked = request(url, "/whoami").bearer_auth(token);
        [
            "x-forwarded-for",
            "x-real-ip",
            "forwarded",
            "cf-connecting-ip",
            "true-client-ip",
        ]
        .into_iter()
        .fold(asked, |asked, name| asked.header(name, "203.0.113.7"))
    };
    let reply = Reply::of(lie(&url, &theirs)).await;
    reply.refuses(403, "access_denied");
    assert_eq!(reply.header("www-authenticate"), None);

    // Behind a proxy of the platform's own, what the platform says counts.
    let url = resource_server(&verifier, true).await;
    Reply::of(lie(&url, &theirs)).await.expect(StatusCode::OK);
    let reply = with(&url, "/whoami", &ours).await;
    reply.refuses(403, "access_denied");
}

#[tokio::test]
async fn an_issuer_out_of_reach_is_no_fault_of_the_token() {
    let issuer = Issuer::start().await;
    issuer.answer(StatusCode::BAD_GATEWAY);
    let url = resource_server(&issuer.verifier(), false).await;
    let reply = with(&url, "/whoami", &issuer.token(&json!({}))).await;
    reply.refuses(503, "temporarily_unavailable");
    assert!(reply.header("retry-after").is_some());
    assert_eq!(reply.header("www-authenticate"), None);
}

#[tokio::test]
async fn the_metadata_are_for_those_who_have_no_token() {
    let issuer = Issuer::start().await;
    let verifier = issuer.builder().scopes_supported(["read", "files.read"]);
    let url = resource_server(&verifier.build().unwrap(), false).await;
    let path = "/.well-known/oauth-protected-resource";
    let reply = Reply::of(request(&url, path)).await;
    reply.expect(StatusCode::OK);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let expected: Value = json!({
        "resource": AUDIENCE,
        "authorization_servers": [issuer.url],
        "bearer_methods_supported": ["header"],
        "scopes_supported": ["read", "files.read"],
    });
    assert_eq!(reply.body, expected);
}

#[test]
#[should_panic(expected = "a scope is required that is none")]
fn a_scope_that_is_none_is_noticed_at_the_start() {
    let _ = Scopes::require("Read projects");
}
