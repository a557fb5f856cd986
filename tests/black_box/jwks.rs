//! JWKS documents: what resource servers validate with, and nothing more.

use reqwest::{Method, StatusCode};
use ring::digest;
use serde_json::{Value, json};

use crate::support::postgres::server_of_its_own;
use crate::support::server::{Place, Reply, Server, header};
use crate::support::verbatim::{from_base64url, verbatim};
use crate::{assert_verbatim, on_both_engines};

on_both_engines!(
    a_jwks_is_answered_in_these_words,
    a_kid_is_the_rfc_7638_thumbprint_of_its_key,
    no_member_of_a_private_key_is_published,
    the_deployment_has_one_key_however_many_organizations,
    an_issuer_that_is_not_there_yet_has_no_jwks,
    a_jwks_held_already_is_not_sent_again,
    only_get_and_head_are_answered,
    a_suspended_organizations_tokens_can_still_be_validated,
);

const DEPLOYMENT: &str = "/.well-known/jwks.json";

fn path(organization: &str) -> String {
    format!("/orgs/{organization}/.well-known/jwks.json")
}

async fn keys(server: &Server, path: &str) -> Vec<Value> {
    let reply = server.get(path).await;
    let keys = reply.expect(StatusCode::OK).body["keys"].as_array();
    keys.unwrap().clone()
}

async fn a_jwks_is_answered_in_these_words(server: Server) {
    server.organization_signing_with("ed", "EdDSA").await;
    server.organization_signing_with("rsa", "RS256").await;
    assert_verbatim!(verbatim(&server, &server.get(DEPLOYMENT).await), @r#"
    200
    access-control-allow-origin: *
    cache-control: public, max-age=300
    content-type: application/json
    etag: "[…]"
    x-content-type-options: nosniff

    {"keys":[{"kty":"EC","crv":"P-256","x":"[…]","y":"[…]","use":"sig","alg":"ES256","kid":"[…]"}]}
    "#);
    assert_verbatim!(verbatim(&server, &server.get(&path("ed")).await), @r#"
    200
    access-control-allow-origin: *
    cache-control: public, max-age=300
    content-type: application/json
    etag: "[…]"
    x-content-type-options: nosniff

    {"keys":[{"kty":"OKP","crv":"Ed25519","x":"[…]","use":"sig","alg":"EdDSA","kid":"[…]"}]}
    "#);
    assert_verbatim!(verbatim(&server, &server.get(&path("rsa")).await), @r#"
    200
    access-control-allow-origin: *
    cache-control: public, max-age=300
    content-type: application/json
    etag: "[…]"
    x-content-type-options: nosniff

    {"keys":[{"kty":"RSA","n":"[…]","e":"AQAB","use":"sig","alg":"RS256","kid":"[…]"}]}
    "#);
    assert_verbatim!(verbatim(&server, &server.get(&path("nobody")).await), @r#"
    404
    cache-control: no-store
    content-type: application/problem+json
    x-content-type-options: nosniff
    x-request-id: req_[…]

    {"type":"urn:tenmint:problem:not_found","title":"Not found","status":404,"detail":"there is no such issuer, or its organization is not bootstrapped yet","code":"not_found","request_id":"req_[…]"}
    "#);
}

async fn a_kid_is_the_rfc_7638_thumbprint_of_its_key(server: Server) {
    let acme = server.organization("acme").await;
    server.organization_signing_with("ed", "EdDSA").await;
    server.organization_signing_with("rsa", "RS256").await;
    for path in [DEPLOYMENT.to_owned(), path("acme"), path("ed"), path("rsa")] {
        for jwk in keys(&server, &path).await {
            // RFC 7638 §3.2 and RFC 8037 §2: the required members, in the order of their
            // names, without white space.
            let member = |name: &str| jwk[name].as_str().unwrap();
            let canonical = match member("kty") {
                "EC" => format!(
                    r#"{{"crv":"{}","kty":"EC","x":"{}","y":"{}"}}"#,
                    member("crv"),
                    member("x"),
                    member("y")
                ),
                "OKP" => format!(
                    r#"{{"crv":"{}","kty":"OKP","x":"{}"}}"#,
                    member("crv"),
                    member("x")
                ),
                "RSA" => format!(
                    r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#,
                    member("e"),
                    member("n")
                ),
                other => panic!("{other}"),
            };
            let digest = digest::digest(&digest::SHA256, canonical.as_bytes());
            assert_eq!(from_base64url(member("kid")), digest.as_ref());
        }
    }
    let token = server.token(&acme, &[]).await;
    assert_eq!(
        header(&token)["kid"],
        keys(&server, DEPLOYMENT).await[0]["kid"]
    );
}

async fn no_member_of_a_private_key_is_published(server: Server) {
    server.organization("acme").await;
    server.organization_signing_with("ed", "EdDSA").await;
    server.organization_signing_with("rsa", "RS256").await;
    for (path, kty, members) in [
        (DEPLOYMENT.to_owned(), "EC", "alg crv kid kty use x y"),
        (path("acme"), "EC", "alg crv kid kty use x y"),
        (path("ed"), "OKP", "alg crv kid kty use x"),
        (path("rsa"), "RSA", "alg e kid kty n use"),
    ] {
        for jwk in keys(&server, &path).await {
            let names: Vec<_> = jwk.as_object().unwrap().keys().cloned().collect();
            let mut names = names;
            names.sort();
            assert_eq!(names.join(" "), members);
            assert_eq!(jwk["kty"], kty);
            assert_eq!(jwk["use"], "sig");
            if let Some(modulus) = jwk["n"].as_str() {
                let modulus = from_base64url(modulus);
                assert_eq!(modulus.len(), 256);
                assert_ne!(modulus[0], 0, "RFC 7518 §6.3.1.1");
            }
            for coordinate in ["x", "y"] {
                if let Some(text) = jwk[coordinate].as_str() {
                    assert_eq!(from_base64url(text).len(), 32, "RFC 7518 §6.2.1.2");
                }
            }
        }
    }
}

async fn the_deployment_has_one_key_however_many_organizations(server: Server) {
    let before = server.get(DEPLOYMENT).await;
    let mut kids = vec![before.body["keys"][0]["kid"].clone()];
    for id in ["a", "b", "c", "d"] {
        server.organization(id).await;
        let own = keys(&server, &path(id)).await;
        assert_eq!(own.len(), 1);
        assert!(!kids.contains(&own[0]["kid"]), "a key of its own");
        kids.push(own[0]["kid"].clone());
    }
    let after = server.get(DEPLOYMENT).await;
    assert_eq!(after.text, before.text);
    assert_eq!(after.body["keys"].as_array().unwrap().len(), 1);
}

async fn an_issuer_that_is_not_there_yet_has_no_jwks(server: Server) {
    let bare = server
        .operate(Method::POST, "/v1/organizations", json!({ "id": "bare" }))
        .await;
    bare.expect(StatusCode::CREATED);
    let mut answers = Vec::new();
    for id in [
        "bare",
        "nobody",
        "BARE",
        "..%2foperator",
        "%00",
        "%ff",
        "a'--",
        "org_0",
    ] {
        let reply = server.get(&path(id)).await;
        reply.refuses(404, "not_found");
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        answers.push(reply.text.split("req_").next().unwrap().to_owned());
    }
    // That an organization is there is no secret, but nothing here tells it.
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    // A refusal is not remembered: the document appears with the key.
    let boot = server
        .operate(Method::POST, "/v1/organizations/bare/bootstrap", json!({}))
        .await;
    boot.expect(StatusCode::CREATED);
    let kid = &boot.body["signing_key"]["kid"];
    assert_eq!(keys(&server, &path("bare")).await[0]["kid"], *kid);
}

async fn a_jwks_held_already_is_not_sent_again(server: Server) {
    server.organization("acme").await;
    for path in [DEPLOYMENT.to_owned(), path("acme")] {
        let whole = server.get(&path).await;
        let etag = whole.header("etag").unwrap().to_owned();
        assert_eq!(whole.header("cache-control"), Some("public, max-age=300"));
        let asks = |method: Method, held: &str| {
            let request = server.request(method, &path).header("if-none-match", held);
            Reply::of(request)
        };
        for held in [
            etag.clone(),
            format!("W/{etag}"),
            format!("\"another\", {etag}"),
            "*".to_owned(),
        ] {
            for method in [Method::GET, Method::HEAD] {
                let reply = asks(method, &held).await;
                reply.expect(StatusCode::NOT_MODIFIED);
                assert_eq!(reply.text, "");
                // RFC 9110 §15.4.5: what a 200 would have said of the document.
                for name in ["etag", "cache-control"] {
                    assert_eq!(reply.header(name), whole.header(name));
                }
            }
        }
        let changed = asks(Method::GET, "\"another\"").await;
        assert_eq!(changed.expect(StatusCode::OK).text, whole.text);
        let head = Reply::of(server.request(Method::HEAD, &path)).await;
        assert_eq!(head.expect(StatusCode::OK).text, "");
        for name in ["etag", "content-type", "content-length", "cache-control"] {
            assert_eq!(head.header(name), whole.header(name), "{name}");
        }
    }
}

async fn only_get_and_head_are_answered(server: Server) {
    server.organization("acme").await;
    for path in [DEPLOYMENT.to_owned(), path("acme")] {
        for method in [Method::POST, Method::PUT, Method::DELETE] {
            let reply = Reply::of(server.request(method, &path)).await;
            reply.refuses(405, "method_not_allowed");
            assert_eq!(reply.header("allow"), Some("GET,HEAD"));
        }
    }
}

async fn a_suspended_organizations_tokens_can_still_be_validated(server: Server) {
    server.organization("acme").await;
    let before = server.get(&path("acme")).await;
    let suspended = "/v1/organizations/acme/suspend";
    let done = server.operate(Method::POST, suspended, json!(null)).await;
    done.expect(StatusCode::OK);
    // Its last tokens live for minutes; resource servers must not fail on all of them.
    let after = server.get(&path("acme")).await;
    assert_eq!(after.expect(StatusCode::OK).text, before.text);
}

/// While the database is silent, a key may be withdrawn on another node.
#[tokio::test(flavor = "multi_thread")]
async fn what_may_be_out_of_date_is_to_be_asked_for_again_soon() {
    let started = tokio::task::spawn_blocking(server_of_its_own).await;
    let Some(mut postgres) = started.unwrap() else {
        return;
    };
    let database = tokio::task::block_in_place(|| postgres.fresh_database());
    let server = Place::on(database).start().await;
    let metadata = "/.well-known/oauth-authorization-server";
    let until = async |cache_control: &str| {
        for path in [DEPLOYMENT, metadata] {
            for attempt in 0.. {
                let reply = server.get(path).await;
                let reply = reply.expect(StatusCode::OK);
                if reply.header("cache-control") == Some(cache_control) {
                    break;
                }
                assert!(attempt < 200, "{path}: {:?}", reply.headers);
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    };
    until("public, max-age=300").await;
    tokio::task::block_in_place(|| postgres.stop());
    until("public, max-age=5").await;
    tokio::task::block_in_place(|| postgres.start());
    until("public, max-age=300").await;
}
