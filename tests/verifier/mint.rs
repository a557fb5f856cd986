//! The verifier against the mint: with nothing but issuer and audience, at each of its issuers.

use reqwest::StatusCode;
use serde_json::{Value, json};
use tenmint::verifier::{Cause, Request, Verified, Verifier};

use crate::answers::resource_server;
use crate::issuer::AUDIENCE;
use crate::on_both_engines;
use crate::support::server::{Key, Reply, Server};

on_both_engines!(
    each_issuers_tokens_count_with_its_verifier_and_no_other,
    a_mint_below_a_path_is_discovered,
    a_mint_that_says_jwt_is_trusted_when_that_is_switched,
    networks_and_scopes_of_a_key_hold_at_the_resource_server,
    nothing_but_a_token_for_this_resource_is_let_through,
);

async fn restarted(server: Server, flags: &[&str], path: &str) -> Server {
    let flags = [&["--audience", AUDIENCE], flags].concat();
    server.stop().await.with(&flags).below(path).start().await
}

fn verifier(server: &Server, issuer: &str) -> Verifier {
    let builder = Verifier::builder(&format!("{}{issuer}", server.base)).audience(AUDIENCE);
    builder.clock(server.clock.clone()).build().unwrap()
}

async fn token(server: &Server, issuer: &str, key: &Key, parameters: &[(&str, &str)]) -> String {
    let reply = server.exchange_at(issuer, key, parameters).await;
    reply.expect(StatusCode::OK);
    reply.body["access_token"].as_str().unwrap().to_owned()
}

async fn verify(verifier: &Verifier, token: &str) -> Result<Verified, Cause> {
    let verified = verifier.verify(token, &Request::default()).await;
    verified.map_err(|refused| refused.cause().clone())
}

async fn each_issuers_tokens_count_with_its_verifier_and_no_other(server: Server) {
    let server = restarted(server, &[], "").await;
    let acme = server.organization("acme").await;
    let globex = server.organization_signing_with("globex", "EdDSA").await;
    let initech = server.organization_signing_with("initech", "RS256").await;
    let issuers = [
        ("", &acme),
        ("/orgs/acme", &acme),
        ("/orgs/globex", &globex),
        ("/orgs/initech", &initech),
    ];
    for (issuer, manager) in issuers {
        let key = server.key_with(manager, &["read:projects/**"]).await;
        let token = token(&server, issuer, &key, &[]).await;
        for (trusted, _) in issuers {
            let verdict = verify(&verifier(&server, trusted), &token).await;
            if trusted == issuer {
                let verified = verdict.unwrap();
                assert_eq!(verified.key_id(), key.id);
                verified.require("read:projects/42").unwrap();
                verified.require("read").unwrap_err();
            } else {
                assert_eq!(verdict.unwrap_err(), Cause::UnknownKey);
            }
        }
    }
}

async fn a_mint_below_a_path_is_discovered(server: Server) {
    let server = restarted(server, &[], "/mint").await;
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    for issuer in ["", "/orgs/acme"] {
        let token = token(&server, issuer, &key, &[]).await;
        verify(&verifier(&server, issuer), &token).await.unwrap();
    }
}

async fn a_mint_that_says_jwt_is_trusted_when_that_is_switched(server: Server) {
    let server = restarted(server, &["--token-typ", "JWT"], "").await;
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let token = token(&server, "", &key, &[]).await;
    let verdict = verify(&verifier(&server, ""), &token).await;
    assert_eq!(verdict.unwrap_err(), Cause::Type);
    let lenient = Verifier::builder(&server.base).audience(AUDIENCE);
    let lenient = lenient.allow_typ_jwt().clock(server.clock.clone());
    verify(&lenient.build().unwrap(), &token).await.unwrap();
}

async fn networks_and_scopes_of_a_key_hold_at_the_resource_server(server: Server) {
    let server = restarted(server, &[], "").await;
    let acme = server.organization("acme").await;
    let url = resource_server(&verifier(&server, ""), false).await;
    let behind_proxy = resource_server(&verifier(&server, ""), true).await;
    let key = json!({
        "name": "ci", "scopes": ["read:projects/42/**"], "allowed_ip_cidrs": ["127.0.0.0/8"],
    });
    let key = server.key(&acme, key).await;
    let token = token(&server, "", &key, &[]).await;
    let ask = async |url: &str, path: &str, ip: &str| {
        let asked = reqwest::Client::new().get(format!("{url}{path}"));
        Reply::of(asked.bearer_auth(&token).header("x-real-ip", ip)).await
    };
    let reply = ask(&url, "/projects/42", "203.0.113.7").await;
    assert_eq!(reply.expect(StatusCode::OK).text, "project 42");
    let reply = ask(&url, "/projects/43", "203.0.113.7").await;
    reply.refuses(403, "insufficient_scope");
    let reply = ask(&behind_proxy, "/projects/42", "127.1.2.3").await;
    reply.expect(StatusCode::OK);
    // A token that leaked is of no use elsewhere.
    for ip in ["203.0.113.7", "::1", "nobody"] {
        let reply = ask(&behind_proxy, "/projects/42", ip).await;
        reply.refuses(403, "access_denied");
    }
}

async fn nothing_but_a_token_for_this_resource_is_let_through(server: Server) {
    let server = restarted(server, &[], "").await;
    let acme = server.organization("acme").await;
    let verifier = verifier(&server, "");
    // For the management plane: it opens nothing here, and what is shown here nothing there.
    let management = server.management_token(&acme, &[]).await;
    let verdict = verify(&verifier, &management).await;
    assert_eq!(verdict.unwrap_err(), Cause::Audience);
    let ours = token(&server, "", &acme, &[]).await;
    verify(&verifier, &ours).await.unwrap();
    let path = "/v1/api-keys";
    let replayed = server
        .call(&ours, reqwest::Method::GET, path, Value::Null)
        .await;
    replayed.refuses(401, "unauthenticated");
    let verdict = verify(&verifier, &acme.secret).await;
    assert_eq!(verdict.unwrap_err(), Cause::Malformed);
    server.advance(605);
    assert_eq!(verify(&verifier, &ours).await.unwrap_err(), Cause::Expired);
}
