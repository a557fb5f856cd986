//! What the token endpoints say, to the byte.

use reqwest::{Method, RequestBuilder};
use serde_json::json;

use crate::support::server::{Key, Reply, Server};
use crate::support::verbatim::{steady, verbatim};
use crate::{assert_verbatim, on_both_engines};

on_both_engines!(
    a_token_is_answered_in_these_words,
    a_bad_client_is_answered_in_these_words,
    what_is_no_token_request_is_answered_in_these_words,
    what_a_key_cannot_have_is_answered_in_these_words,
    other_methods_and_the_endpoint_that_is_not_there_are_answered_in_these_words,
);

const GRANT: (&str, &str) = ("grant_type", "client_credentials");

fn post(server: &Server) -> RequestBuilder {
    server.request(Method::POST, "/oauth/token")
}

/// One line for each refusal: what was wrong, the status, the body. Their headers are the
/// same but for what is asserted elsewhere.
async fn refusals<const N: usize>(
    server: &Server,
    requests: [(&str, RequestBuilder); N],
) -> String {
    let mut lines = Vec::new();
    for (what, request) in requests {
        let reply = Reply::of(request).await;
        assert_eq!(reply.header("content-type"), Some("application/json"));
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        assert_eq!(reply.header("pragma"), Some("no-cache"));
        assert_eq!(reply.header("www-authenticate"), None);
        lines.push(format!("{what}: {} {}", reply.status.as_u16(), reply.text));
    }
    steady(server, &lines.join("\n"))
}

async fn a_token_is_answered_in_these_words(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read:a/**", "write"]).await;
    let reply = server.exchange(&key, &[("scope", "read:a/b write")]).await;
    assert_verbatim!(verbatim(&server, &reply), @r#"
    200
    cache-control: no-store
    content-type: application/json
    pragma: no-cache

    {"access_token":"[…]","token_type":"Bearer","expires_in":600,"scope":"read:a/b write"}
    "#);
}

async fn a_bad_client_is_answered_in_these_words(server: Server) {
    let nobody = post(&server).form(&[GRANT]);
    assert_verbatim!(verbatim(&server, &Reply::of(nobody).await), @r#"
    401
    cache-control: no-store
    content-type: application/json
    pragma: no-cache
    www-authenticate: Basic realm="tenmint", charset="UTF-8"
    x-content-type-options: nosniff
    x-request-id: req_[…]

    {"error":"invalid_client","error_description":"client authentication failed: check the API key, and that it is still in force"}
    "#);
    let bearer = post(&server).bearer_auth("x").form(&[GRANT]);
    assert_verbatim!(verbatim(&server, &Reply::of(bearer).await), @r#"
    401
    cache-control: no-store
    content-type: application/json
    pragma: no-cache
    www-authenticate: Bearer realm="tenmint"
    x-content-type-options: nosniff
    x-request-id: req_[…]

    {"error":"invalid_client","error_description":"client authentication failed: check the API key, and that it is still in force"}
    "#);
}

async fn what_is_no_token_request_is_answered_in_these_words(server: Server) {
    let key = server.organization("acme").await;
    let known = || post(&server).basic_auth(&key.id, Some(&key.secret));
    let pair = [("client_id", &*key.id), ("client_secret", &*key.secret)];
    let many = vec![("x", ""); 65];
    let requests = [
        (
            "query",
            server.request(Method::POST, "/oauth/token?grant_type=client_credentials"),
        ),
        (
            "content type",
            known().json(&json!({ "grant_type": "client_credentials" })),
        ),
        ("repeated", known().form(&[GRANT, GRANT])),
        ("too many", known().form(&many)),
        ("two ways", known().form(&[GRANT, pair[0], pair[1]])),
        (
            "two headers",
            known().bearer_auth(&key.secret).form(&[GRANT]),
        ),
        (
            "other client_id",
            known().form(&[GRANT, ("client_id", "x")]),
        ),
        ("no grant_type", known().form(&[("scope", "read")])),
        (
            "other grant_type",
            known().form(&[("grant_type", "password")]),
        ),
        ("nothing", post(&server)),
    ];
    assert_verbatim!(refusals(&server, requests).await, @r#"
    query: 400 {"error":"invalid_request","error_description":"send parameters in the request body, never in the URL; treat a secret sent there as leaked"}
    content type: 400 {"error":"invalid_request","error_description":"send the parameters as application/x-www-form-urlencoded"}
    repeated: 400 {"error":"invalid_request","error_description":"a parameter is given more than once"}
    too many: 400 {"error":"invalid_request","error_description":"too many parameters"}
    two ways: 400 {"error":"invalid_request","error_description":"present the client credentials in one way only: Basic, body, or Bearer"}
    two headers: 400 {"error":"invalid_request","error_description":"send one Authorization header only"}
    other client_id: 400 {"error":"invalid_request","error_description":"client_id in the body differs from the client that authenticates"}
    no grant_type: 400 {"error":"invalid_request","error_description":"grant_type is missing; send grant_type=client_credentials"}
    other grant_type: 400 {"error":"unsupported_grant_type","error_description":"the only grant_type here is client_credentials"}
    nothing: 400 {"error":"invalid_request","error_description":"grant_type is missing; send grant_type=client_credentials"}
    "#);
    let large = known().form(&[GRANT, ("scope", &"x".repeat(33_000))]);
    assert_verbatim!(verbatim(&server, &Reply::of(large).await), @r#"
    413
    cache-control: no-store
    content-type: application/json
    pragma: no-cache
    x-content-type-options: nosniff
    x-request-id: req_[…]

    {"error":"invalid_request","error_description":"the request body is too large"}
    "#);
}

async fn what_a_key_cannot_have_is_answered_in_these_words(server: Server) {
    let acme = server.organization("acme").await;
    let away = json!({ "name": "away", "scopes": ["read"], "allowed_ip_cidrs": ["203.0.113.9"] });
    let (key, away) = (
        server.key_with(&acme, &["read:a/**"]).await,
        server.key(&acme, away).await,
    );
    let created = json!({ "id": "bare" });
    let created = server
        .operate(Method::POST, "/v1/organizations", created)
        .await;
    created.expect(reqwest::StatusCode::CREATED);
    let bare = json!({ "name": "bare", "scopes": ["read"] });
    let path = "/v1/organizations/bare/api-keys";
    let bare = server.operate(Method::POST, path, bare).await;
    let bare = Key::of(&bare.expect(reqwest::StatusCode::CREATED).body);

    let asks = |issuer: &str, key: &Key, more: &[(&str, &str)]| {
        let path = format!("{issuer}/oauth/token");
        let request = server.request(Method::POST, &path);
        let form = [&[GRANT], more].concat();
        request.basic_auth(&key.id, Some(&key.secret)).form(&form)
    };
    let scope = |scope| asks("", &key, &[("scope", scope)]);
    let resource = |resource| asks("", &key, &[("resource", resource)]);
    let base = ("resource", &*server.base);
    let requests = [
        ("network", asks("", &away, &[])),
        ("scope beyond", scope("read:a/b read:b")),
        ("two spaces", scope("read:a  read:b")),
        ("a quote", scope("\"read\"")),
        ("a backslash", scope("re\\ad")),
        ("no ASCII", scope("r\u{e9}ad")),
        ("capitals", scope("READ")),
        ("a secret", scope(&format!("x{}", key.secret))),
        ("unknown", resource("https://elsewhere.example")),
        ("relative", resource("/api")),
        (
            "not alone",
            asks("", &acme, &[base, ("resource", &format!("{}/api", base.1))]),
        ),
        ("elsewhere", asks("/orgs/acme", &acme, &[base])),
        ("no signing key", asks("/orgs/bare", &bare, &[])),
    ];
    assert_verbatim!(refusals(&server, requests).await, @r#"
    network: 403 {"error":"access_denied","error_description":"this API key cannot be used from this network address"}
    scope beyond: 400 {"error":"invalid_scope","error_description":"the scope read:b is beyond this API key: ask for less, or for none to get all it holds"}
    two spaces: 400 {"error":"invalid_scope","error_description":"scopes are separated by exactly one space: remove the others, also at either end"}
    a quote: 400 {"error":"invalid_scope","error_description":"the character U+0022 does not belong here: write an action such as `files.read`, or with one colon a resource filter after it, such as `files.read:projects/42/**`"}
    a backslash: 400 {"error":"invalid_scope","error_description":"the character U+005C does not belong here: write an action such as `files.read`, or with one colon a resource filter after it, such as `files.read:projects/42/**`"}
    no ASCII: 400 {"error":"invalid_scope","error_description":"the character U+00E9 does not belong here: write an action such as `files.read`, or with one colon a resource filter after it, such as `files.read:projects/42/**`"}
    capitals: 400 {"error":"invalid_scope","error_description":"`READ` is not an action: write words of a-z, 0-9, `_` and `-` joined by dots, such as `chats.completion`"}
    a secret: 400 {"error":"invalid_scope","error_description":"this scope holds what looks like an API key: write an action such as `read`, and replace that key if anyone may have seen it"}
    unknown: 400 {"error":"invalid_target","error_description":"this resource is not one that tokens are issued for here"}
    relative: 400 {"error":"invalid_target","error_description":"resource must be an absolute URI without a fragment"}
    not alone: 400 {"error":"invalid_target","error_description":"ask for the management plane's resource alone"}
    elsewhere: 400 {"error":"invalid_target","error_description":"tokens for the management plane come from the deployment's token endpoint"}
    no signing key: 400 {"error":"invalid_request","error_description":"this issuer has no signing key yet: its organization must be bootstrapped"}
    "#);
}

async fn other_methods_and_the_endpoint_that_is_not_there_are_answered_in_these_words(
    server: Server,
) {
    let method = server.request(Method::PUT, "/oauth/token");
    assert_verbatim!(verbatim(&server, &Reply::of(method).await), @r#"
    405
    allow: POST
    cache-control: no-store
    content-type: application/json
    pragma: no-cache
    x-content-type-options: nosniff
    x-request-id: req_[…]

    {"error":"invalid_request","error_description":"use POST at the token endpoint"}
    "#);
    let authorize =
        "/oauth/authorize?response_type=code&client_id=x&redirect_uri=https://x.example";
    let get = Reply::of(server.request(Method::GET, authorize)).await;
    assert_verbatim!(verbatim(&server, &get), @r#"
    400
    cache-control: no-store
    content-type: application/json
    pragma: no-cache
    x-content-type-options: nosniff
    x-request-id: req_[…]

    {"error":"unsupported_response_type","error_description":"there is no sign-in here: obtain a token by the client_credentials grant"}
    "#);
    let post = Reply::of(server.request(Method::POST, authorize)).await;
    assert_eq!((get.status, get.text), (post.status, post.text));
}
