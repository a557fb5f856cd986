//! Metadata of the issuers (RFC 8414, OpenID Connect Discovery), in all its spellings.

use reqwest::header::{HOST, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::server::{Place, Reply, Server, claims};
use crate::support::verbatim::verbatim;
use crate::{assert_verbatim, on_both_engines};

on_both_engines!(
    metadata_is_answered_in_these_words,
    all_spellings_of_an_issuer_give_one_document,
    what_a_client_is_told_to_use_is_there,
    the_issuer_is_what_was_set_whatever_a_request_says,
    an_issuer_that_is_not_there_yet_has_no_metadata,
    metadata_held_already_is_not_sent_again,
);

const DEPLOYMENT: [&str; 2] = [
    "/.well-known/oauth-authorization-server",
    "/.well-known/openid-configuration",
];

/// The spellings for an organization: by RFC 8414 §3.1, before the issuer's path, and as
/// OpenID Connect Discovery 1.0 §4 appends it.
fn of_organization(id: &str) -> [String; 4] {
    [
        format!("/.well-known/oauth-authorization-server/orgs/{id}"),
        format!("/.well-known/openid-configuration/orgs/{id}"),
        format!("/orgs/{id}/.well-known/openid-configuration"),
        format!("/orgs/{id}/.well-known/oauth-authorization-server"),
    ]
}

async fn metadata_is_answered_in_these_words(server: Server) {
    server.organization_signing_with("ed", "EdDSA").await;
    let [path, ..] = DEPLOYMENT;
    assert_verbatim!(verbatim(&server, &server.get(path).await), @r#"
    200
    access-control-allow-origin: *
    cache-control: public, max-age=300
    content-type: application/json
    etag: "[…]"
    x-content-type-options: nosniff

    {"issuer":"{base}","token_endpoint":"{base}/oauth/token","revocation_endpoint":"{base}/oauth/revoke","introspection_endpoint":"{base}/oauth/introspect","jwks_uri":"{base}/.well-known/jwks.json","tenmint_revocations_uri":"{base}/.well-known/revocations","authorization_endpoint":"{base}/oauth/authorize","response_types_supported":[],"grant_types_supported":["client_credentials"],"token_endpoint_auth_methods_supported":["client_secret_basic","client_secret_post"],"revocation_endpoint_auth_methods_supported":["client_secret_basic","client_secret_post"],"introspection_endpoint_auth_methods_supported":["client_secret_basic","client_secret_post"],"subject_types_supported":["public"],"id_token_signing_alg_values_supported":["ES256"]}
    "#);
    let [path, ..] = of_organization("ed");
    assert_verbatim!(verbatim(&server, &server.get(&path).await), @r#"
    200
    access-control-allow-origin: *
    cache-control: public, max-age=300
    content-type: application/json
    etag: "[…]"
    x-content-type-options: nosniff

    {"issuer":"{base}/orgs/ed","token_endpoint":"{base}/orgs/ed/oauth/token","revocation_endpoint":"{base}/orgs/ed/oauth/revoke","introspection_endpoint":"{base}/orgs/ed/oauth/introspect","jwks_uri":"{base}/orgs/ed/.well-known/jwks.json","tenmint_revocations_uri":"{base}/orgs/ed/.well-known/revocations","authorization_endpoint":"{base}/oauth/authorize","response_types_supported":[],"grant_types_supported":["client_credentials"],"token_endpoint_auth_methods_supported":["client_secret_basic","client_secret_post"],"revocation_endpoint_auth_methods_supported":["client_secret_basic","client_secret_post"],"introspection_endpoint_auth_methods_supported":["client_secret_basic","client_secret_post"],"subject_types_supported":["public"],"id_token_signing_alg_values_supported":["EdDSA"]}
    "#);
    let [path, ..] = of_organization("nobody");
    assert_verbatim!(verbatim(&server, &server.get(&path).await), @r#"
    404
    cache-control: no-store
    content-type: application/problem+json
    x-content-type-options: nosniff
    x-request-id: req_[…]

    {"type":"urn:tenmint:problem:not_found","title":"Not found","status":404,"detail":"there is no such issuer, or its organization is not bootstrapped yet","code":"not_found","request_id":"req_[…]"}
    "#);
}

async fn all_spellings_of_an_issuer_give_one_document(server: Server) {
    server.organization("acme").await;
    let acme = of_organization("acme");
    for spellings in [DEPLOYMENT.map(str::to_owned).to_vec(), acme.to_vec()] {
        let first = server.get(&spellings[0]).await;
        first.expect(StatusCode::OK);
        for path in &spellings[1..] {
            let reply = server.get(path).await;
            assert_eq!(reply.text, first.text, "{path}");
            assert_eq!(reply.header("etag"), first.header("etag"));
        }
    }
}

async fn what_a_client_is_told_to_use_is_there(server: Server) {
    let acme = server.organization("acme").await;
    for (path, issuer) in [
        (DEPLOYMENT[1].to_owned(), server.base.clone()),
        (
            of_organization("acme")[2].clone(),
            format!("{}/orgs/acme", server.base),
        ),
    ] {
        let metadata = server.get(&path).await.body;
        assert_eq!(metadata["issuer"], issuer);
        let at = |member: &str| {
            let url = metadata[member].as_str().unwrap();
            url.strip_prefix(&*server.base).unwrap().to_owned()
        };
        let token = server
            .request(Method::POST, &at("token_endpoint"))
            .basic_auth(&acme.id, Some(&acme.secret))
            .form(&[("grant_type", "client_credentials")]);
        let token = Reply::of(token).await;
        let token = token.expect(StatusCode::OK).body["access_token"].as_str();
        // RFC 8414 §3.3 and RFC 9068 §4: the issuer's name is one, to the byte.
        assert_eq!(claims(token.unwrap())["iss"], issuer);
        server.get(&at("jwks_uri")).await.expect(StatusCode::OK);
        // This one is named because clients want it so, and says why it is of no use.
        let authorize = server.get(&at("authorization_endpoint")).await;
        authorize.refuses(400, "unsupported_response_type");
    }
}

async fn the_issuer_is_what_was_set_whatever_a_request_says(server: Server) {
    server.organization("acme").await;
    let acme = of_organization("acme");
    for path in DEPLOYMENT
        .into_iter()
        .chain(acme.iter().map(|path| &**path))
    {
        let plain = server.get(path).await;
        let mut lies = server.request(Method::GET, path);
        for (name, value) in [
            (HOST, "evil.example"),
            (HeaderName::from_static("x-forwarded-host"), "evil.example"),
            (HeaderName::from_static("x-forwarded-proto"), "https"),
            (HeaderName::from_static("x-forwarded-port"), "1"),
            (HeaderName::from_static("x-forwarded-prefix"), "/evil"),
            (HeaderName::from_static("x-original-url"), "/evil"),
            (
                HeaderName::from_static("forwarded"),
                "host=evil.example;proto=https",
            ),
        ] {
            lies = lies.header(name, HeaderValue::from_static(value));
        }
        let reply = Reply::of(lies).await;
        assert_eq!(reply.expect(StatusCode::OK).text, plain.text);
        assert_eq!(reply.header("etag"), plain.header("etag"));
        // Nor does a query make another document.
        let query = server
            .get(&format!("{path}?issuer=https://evil.example"))
            .await;
        assert_eq!(query.expect(StatusCode::OK).text, plain.text);
    }
}

async fn an_issuer_that_is_not_there_yet_has_no_metadata(server: Server) {
    let body = json!({ "id": "bare" });
    let bare = server
        .operate(Method::POST, "/v1/organizations", body)
        .await;
    bare.expect(StatusCode::CREATED);
    for id in ["bare", "nobody", "BARE", "..%2foperator", "%ff"] {
        for path in of_organization(id) {
            server.get(&path).await.refuses(404, "not_found");
        }
    }
    let path = "/v1/organizations/bare/bootstrap";
    let done = server.operate(Method::POST, path, json!({})).await;
    done.expect(StatusCode::CREATED);
    for path in of_organization("bare") {
        server.get(&path).await.expect(StatusCode::OK);
    }
}

async fn metadata_held_already_is_not_sent_again(server: Server) {
    let path = DEPLOYMENT[0];
    let whole = server.get(path).await;
    assert_eq!(whole.header("cache-control"), Some("public, max-age=300"));
    let etag = whole.header("etag").unwrap();
    let request = server
        .request(Method::GET, path)
        .header("if-none-match", etag);
    let again = Reply::of(request).await;
    assert_eq!(again.expect(StatusCode::NOT_MODIFIED).text, "");
    let head = Reply::of(server.request(Method::HEAD, path)).await;
    assert_eq!(head.expect(StatusCode::OK).text, "");
    assert_eq!(
        head.header("content-length"),
        whole.header("content-length")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_url_with_a_path_is_reached_with_it_and_without_it() {
    let issuer = "https://auth.example.com/mint/v1.0";
    let server = Place::sqlite().with(&["--issuer", issuer]).start().await;
    assert_eq!(server.base, issuer);
    let acme = server.organization("acme").await;
    let path = "/mint/v1.0";
    // As clients of each standard find it, and as a proxy that strips the path asks for it.
    let (rfc, oidc) = (DEPLOYMENT[0], DEPLOYMENT[1]);
    let deployment = [
        format!("{rfc}{path}"),
        format!("{oidc}{path}"),
        format!("{path}{oidc}"),
        format!("{path}{rfc}"),
        rfc.to_owned(),
        oidc.to_owned(),
    ];
    let organization = [
        format!("{rfc}{path}/orgs/acme"),
        format!("{oidc}{path}/orgs/acme"),
        format!("{path}/orgs/acme{oidc}"),
        format!("{path}/orgs/acme{rfc}"),
        format!("/orgs/acme{oidc}"),
        format!("{rfc}/orgs/acme"),
    ];
    for (spellings, issuer) in [
        (deployment, issuer.to_owned()),
        (organization, format!("{issuer}/orgs/acme")),
    ] {
        for spelling in spellings {
            let reply = server.get(&spelling).await;
            let body = &reply.expect(StatusCode::OK).body;
            assert_eq!(body["issuer"], issuer, "{spelling}");
            assert_eq!(body["token_endpoint"], format!("{issuer}/oauth/token"));
        }
    }
    for before in ["", path] {
        for issuer in ["", "/orgs/acme"] {
            let at = format!("{before}{issuer}");
            let reply = server.exchange_at(&at, &acme, &[]).await;
            let token = reply.expect(StatusCode::OK).body["access_token"].as_str();
            let iss = format!("{}{issuer}", server.base);
            assert_eq!(claims(token.unwrap())["iss"], iss);
            let jwks = server.get(&format!("{at}/.well-known/jwks.json")).await;
            jwks.expect(StatusCode::OK);
        }
        let authorize = server.get(&format!("{before}/oauth/authorize")).await;
        authorize.refuses(400, "unsupported_response_type");
        let get = server.get(&format!("{before}/oauth/token")).await;
        get.refuses(405, "invalid_request");
    }
    for nowhere in [
        "/mint",
        "/mint/v1.0/mint/v1.0/oauth/token",
        "/mintx/oauth/token",
    ] {
        server.get(nowhere).await.refuses(404, "not_found");
    }
}
