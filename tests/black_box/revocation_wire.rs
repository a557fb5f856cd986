//! Revocation requests as they go over the wire, and what is no such request.

use reqwest::{Method, RequestBuilder};
use serde_json::json;

use crate::on_both_engines;
use crate::support::server::{Key, Reply, Server};

on_both_engines!(
    what_is_no_revocation_request_is_refused_and_ends_nothing,
    a_token_without_its_client_is_refused,
    what_can_be_nobodys_key_changes_nothing,
    any_other_method_is_told_to_post,
);

const ENDPOINTS: [&str; 2] = ["/oauth/revoke", "/orgs/acme/oauth/revoke"];

fn body(server: &Server, endpoint: &str, body: &str) -> RequestBuilder {
    server
        .request(Method::POST, endpoint)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body.to_owned())
}

async fn what_is_no_revocation_request_is_refused_and_ends_nothing(server: Server) {
    let acme = server.organization("acme").await;
    let Key { id, secret } = &acme;
    let more = "&p=x".repeat(64);
    for endpoint in ENDPOINTS {
        let form = |text: &str| body(&server, endpoint, text);
        let token = format!("token={secret}");
        let malformed = [
            form(""),
            form("token="),
            form("token_type_hint=access_token"),
            form(&format!("{token}&{token}")),
            form(&format!("{token}&token=")),
            form(&format!("{token}&token_type_hint=a&token_type_hint=b")),
            form(&format!("{token}&client_id={id}&client_id={id}")),
            form(&format!("{token}&client_secret=a&client_secret=b")),
            form(&format!("{token}{more}")),
            form(&format!("{token}&client_id={id}&client_secret={secret}")).bearer_auth(secret),
            form(&format!("{token}&client_id=key_x")).basic_auth(id, Some(secret)),
            form(&token).bearer_auth(secret).bearer_auth(secret),
            form(&token).query(&[("token", secret)]),
            form("").query(&[("token", secret)]),
            server.request(Method::POST, endpoint),
            server.request(Method::POST, endpoint).body(token.clone()),
            server
                .request(Method::POST, endpoint)
                .json(&json!({ "token": secret })),
        ];
        for (n, request) in malformed.into_iter().enumerate() {
            let refused = Reply::of(request).await;
            assert_eq!(refused.status, 400, "{n}: {}", refused.text);
            refused.refuses(400, "invalid_request");
            assert_eq!(refused.header("cache-control"), Some("no-store"));
            assert!(!refused.text.contains(&secret[40..]));
        }
        let long = format!("{token}&x={}", "x".repeat(33_000));
        let refused = Reply::of(form(&long)).await;
        refused.refuses(413, "invalid_request");
    }
    server
        .exchange(&acme, &[])
        .await
        .expect(reqwest::StatusCode::OK);
}

async fn a_token_without_its_client_is_refused(server: Server) {
    let acme = server.organization("acme").await;
    let token = server.management_token(&acme, &[]).await;
    for endpoint in ENDPOINTS {
        for text in [token.as_str(), "x.y.z"] {
            let refused = Reply::of(body(&server, endpoint, &format!("token={text}"))).await;
            refused.refuses(401, "invalid_client");
            let challenge = refused.header("www-authenticate");
            assert_eq!(challenge, Some(r#"Basic realm="tenmint", charset="UTF-8""#));
        }
    }
}

async fn what_can_be_nobodys_key_changes_nothing(server: Server) {
    let acme = server.organization("acme").await;
    let cut_off = &acme.secret[..acme.secret.len() - 1];
    let mistyped = format!("{cut_off}_");
    for endpoint in ENDPOINTS {
        for text in ["opaque", cut_off, &mistyped] {
            let told = Reply::of(body(&server, endpoint, &format!("token={text}"))).await;
            assert_eq!(told.expect(reqwest::StatusCode::OK).text, "");
        }
    }
    server
        .exchange(&acme, &[])
        .await
        .expect(reqwest::StatusCode::OK);
}

async fn any_other_method_is_told_to_post(server: Server) {
    for endpoint in ENDPOINTS {
        for method in [Method::GET, Method::PUT, Method::DELETE, Method::OPTIONS] {
            let refused = Reply::of(server.request(method, endpoint)).await;
            refused.refuses(405, "invalid_request");
            assert_eq!(refused.header("allow"), Some("POST"));
        }
    }
}
