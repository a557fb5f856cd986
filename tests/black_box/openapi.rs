//! `GET /openapi.json`: the document is the router's, the committed one is the served one, and
//! answers are what it says.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use jsonschema::Validator;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::on_both_engines;
use crate::routes::routes;
use crate::support::server::{Reply, Server};

on_both_engines!(answers_are_what_the_document_says);

/// Routes of the OAuth plane and of operations.
const OTHERS: &str = "
POST /oauth/token
POST /orgs/{org}/oauth/token
POST /oauth/revoke
POST /orgs/{org}/oauth/revoke
POST /oauth/introspect
POST /orgs/{org}/oauth/introspect
GET  /gateway/verify
GET  /oauth/authorize
POST /oauth/authorize
GET  /.well-known/jwks.json
GET  /orgs/{org}/.well-known/jwks.json
GET  /.well-known/revocations
GET  /orgs/{org}/.well-known/revocations
GET  /.well-known/oauth-authorization-server
GET  /.well-known/openid-configuration
GET  /.well-known/oauth-authorization-server/orgs/{org}
GET  /.well-known/openid-configuration/orgs/{org}
GET  /orgs/{org}/.well-known/oauth-authorization-server
GET  /orgs/{org}/.well-known/openid-configuration
GET  /openapi.json
GET  /healthz
GET  /readyz
";

#[tokio::test(flavor = "multi_thread")]
async fn the_committed_document_is_the_served_one() {
    let served = served().await.text;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
    if std::env::var_os("TENMINT_WRITE_OPENAPI").is_some_and(|value| value == "1") {
        fs::write(&path, &served).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    let differs = committed
        .lines()
        .zip(served.lines())
        .position(|(one, other)| one != other);
    assert!(
        committed == served,
        "docs/openapi.json is not what is served (from line {} on): look at what changes for \
         callers, then write it anew by TENMINT_WRITE_OPENAPI=1 cargo test --test black_box \
         openapi, and commit it",
        differs.map_or(0, |line| line + 1),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_is_cached_by_its_entity_tag() {
    let server = Server::on_sqlite().await;
    let first = Reply::of(server.request(Method::GET, "/openapi.json")).await;
    assert_eq!(first.header("cache-control"), Some("public, max-age=300"));
    let tag = first.header("etag").unwrap();
    let request = server.request(Method::GET, "/openapi.json");
    let again = Reply::of(request.header("if-none-match", tag)).await;
    assert_eq!(again.status, StatusCode::NOT_MODIFIED);
    assert_eq!(again.text, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_is_described_and_every_description_is_a_route() {
    let document = served().await.body;
    let mut described = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (verb, operation) in item.as_object().unwrap() {
            described.insert(format!("{} {path}", verb.to_uppercase()));
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id), "{id} is the name of two operations");
        }
    }
    let others = OTHERS.lines().filter_map(|line| line.split_once(' '));
    let others = others.map(|(verb, path)| format!("{verb} {}", path.trim()));
    let served: BTreeSet<_> = routes()
        .map(|route| format!("{} {}", route.verb, route.path))
        .chain(others)
        .collect();
    assert_eq!(described, served);
}

/// The table of routes is held against the router by a test beside it; this does so for the rest.
#[test]
fn the_other_routes_are_the_router_s() {
    let router = include_str!("../../src/http.rs");
    let of = |name: &str| {
        let begin = router.find(&format!("fn {name}(")).unwrap();
        let end = router[begin..].find("\n}\n").unwrap() + begin;
        router[begin..end].split('"').skip(1).step_by(2)
    };
    let routed: BTreeSet<_> = of("oauth_plane")
        .chain(of("gateways"))
        .chain(of("operations"))
        .filter(|text| text.starts_with('/'))
        // Any path can follow there, which no document can say.
        .filter(|text| !text.starts_with("/gateway/verify/"))
        .collect();
    let paths = OTHERS.lines().filter_map(|line| line.split_once(' '));
    let listed: BTreeSet<_> = paths
        .map(|(_, path)| path.trim())
        // RFC 8414 spells these; the router puts them together.
        .filter(|path| !path.starts_with("/.well-known/o"))
        .collect();
    assert_eq!(listed, routed);
}

async fn answers_are_what_the_document_says(server: Server) {
    let document = Reply::of(server.request(Method::GET, "/openapi.json")).await;
    let holds = |verb: &str, path: &str, reply: &Reply| {
        is_described(&document.body, verb, path, reply);
    };
    let acme = server.organization("acme").await;
    let call = async |verb: Method, path: &str, body: Value| {
        server.call(&acme.secret, verb, path, body).await
    };
    let new = json!({ "name": "ci", "scopes": ["read:a/*"], "metadata": { "plan": "pro" } });
    let made = call(Method::POST, "/v1/api-keys", new).await;
    holds("post", "/v1/api-keys", made.expect(StatusCode::CREATED));
    let id = made.body["id"].as_str().unwrap();
    let one = format!("/v1/api-keys/{id}");
    for (verb, path, asked, body) in [
        (
            "get",
            "/v1/api-keys",
            "/v1/api-keys".to_owned(),
            Value::Null,
        ),
        ("get", "/v1/api-keys/{id}", one.clone(), Value::Null),
        (
            "patch",
            "/v1/api-keys/{id}",
            one.clone(),
            json!({ "expires_in_days": 9 }),
        ),
        (
            "patch",
            "/v1/api-keys/{id}",
            format!("{one}?dry_run=true"),
            json!({ "name": "b" }),
        ),
        (
            "post",
            "/v1/api-keys/{id}/rotate",
            format!("{one}/rotate"),
            Value::Null,
        ),
        (
            "post",
            "/v1/roles",
            "/v1/roles".to_owned(),
            json!({ "name": "a", "scopes": ["x"] }),
        ),
        ("get", "/v1/usage", "/v1/usage".to_owned(), Value::Null),
        (
            "get",
            "/v1/audit-events",
            "/v1/audit-events".to_owned(),
            Value::Null,
        ),
        (
            "get",
            "/v1/organization",
            "/v1/organization".to_owned(),
            Value::Null,
        ),
        (
            "patch",
            "/v1/organization",
            "/v1/organization".to_owned(),
            json!({ "policy": { "max_active_keys": 9, "allowed_audiences": ["https://a.example"] } }),
        ),
        (
            "post",
            "/v1/api-keys",
            "/v1/api-keys".to_owned(),
            json!({ "name": 1 }),
        ),
        (
            "get",
            "/v1/api-keys/{id}",
            "/v1/api-keys/nobody".to_owned(),
            Value::Null,
        ),
        (
            "get",
            "/v1/organizations",
            "/v1/organizations".to_owned(),
            Value::Null,
        ),
    ] {
        let verb_sent = verb.to_uppercase().parse().unwrap();
        holds(verb, path, &call(verb_sent, &asked, body).await);
    }
    let nobody = Reply::of(server.request(Method::GET, "/v1/api-keys")).await;
    holds(
        "get",
        "/v1/api-keys",
        nobody.expect(StatusCode::UNAUTHORIZED),
    );
    let token = server.exchange(&acme, &[]).await;
    holds("post", "/oauth/token", token.expect(StatusCode::OK));
    let refused = server.exchange(&acme, &[("scope", "%")]).await;
    holds(
        "post",
        "/oauth/token",
        refused.expect(StatusCode::BAD_REQUEST),
    );
}

/// That an answer has a status that its operation has, and a body of that schema.
fn is_described(document: &Value, verb: &str, path: &str, reply: &Reply) {
    let operation = &document["paths"][path][verb];
    let mut response = &operation["responses"][reply.status.as_str()];
    if let Some(shared) = response["$ref"].as_str() {
        response = document.pointer(shared.strip_prefix('#').unwrap()).unwrap();
    }
    let kind = reply.header("content-type").unwrap();
    let schema = &response["content"][kind]["schema"];
    assert!(schema.is_object(), "{verb} {path}: {} {kind}", reply.status);
    let mut schema = schema.clone();
    schema["components"] = document["components"].clone();
    let validator: Validator = jsonschema::draft202012::new(&schema).unwrap();
    let faults: Vec<_> = validator
        .iter_errors(&reply.body)
        .map(|fault| format!("{}: {fault}", fault.instance_path()))
        .collect();
    assert!(
        faults.is_empty(),
        "{verb} {path}: {faults:#?}\n{}",
        reply.text
    );
}

async fn served() -> Reply {
    let server = Server::on_sqlite().await;
    let reply = Reply::of(server.request(Method::GET, "/openapi.json")).await;
    reply.expect(StatusCode::OK);
    reply
}
