//! How a credential is presented to the management plane: in one header, from the right network.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::on_both_engines;
use crate::support::server::{Place, Reply, Server};

on_both_engines!(
    a_credential_in_a_url_is_refused,
    one_credential_is_one_header
);

async fn a_credential_in_a_url_is_refused(server: Server) {
    let acme = server.organization("acme").await;
    let token = server.management_token(&acme, &[]).await;
    let shown = format!("/v1/api-keys/{}", acme.id);
    for credential in [&token, &acme.secret] {
        for path in ["/v1/api-keys", &shown] {
            for query in [
                format!("access_token={credential}"),
                format!("x=y&access%5Ftoken={credential}"),
            ] {
                let path = format!("{path}?{query}");
                let alone = server.get(&path).await;
                alone.refuses(400, "credential_in_url");
                assert!(!alone.text.contains(&**credential));
                // Not even beside a credential where it belongs: it is in every log on its way.
                let beside = server.call(&token, Method::GET, &path, Value::Null).await;
                beside.refuses(400, "credential_in_url");
            }
        }
    }
    let path = format!("{shown}?key={}", acme.secret);
    let named_otherwise = server.call(&token, Method::GET, &path, Value::Null).await;
    named_otherwise.refuses(400, "credential_in_url");
}

async fn one_credential_is_one_header(server: Server) {
    let acme = server.organization("acme").await;
    let token = server.management_token(&acme, &[]).await;
    let request = || server.request(Method::GET, "/v1/api-keys");
    let (bearer, key) = (format!("Bearer {token}"), format!("Bearer {}", acme.secret));
    let header = |value: &str| request().header("authorization", value);
    for accepted in [&bearer, &key, &bearer.replace("Bearer", "bEARER")] {
        let reply = Reply::of(header(accepted)).await;
        reply.expect(StatusCode::OK);
    }
    for several in [
        header(&bearer).header("authorization", &bearer),
        header(&bearer).header("authorization", &key),
        header(&bearer).header("authorization", "Basic eDp5"),
        header(&format!("{bearer}, {bearer}")),
        header(&format!("{bearer} {token}")),
    ] {
        Reply::of(several).await.refuses(401, "unauthenticated");
    }
    for other in [
        request(),
        request().basic_auth(&acme.id, Some(&acme.secret)),
        header(&token),
        header(&acme.secret),
        header("Bearer"),
        header("Bearer "),
        header(&bearer.replace("Bearer", "DPoP")),
        request().header("cookie", format!("access_token={token}")),
        request().header("x-api-key", &acme.secret),
        request().header("proxy-authorization", &bearer),
    ] {
        let refused = Reply::of(other).await;
        refused.refuses(401, "unauthenticated");
        assert!(refused.header("www-authenticate").is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_from_outside_its_keys_networks_manages_nothing() {
    let server = Place::sqlite().with(&["--trusted-proxies", "127.0.0.1"]);
    let server = server.start().await;
    let acme = server.organization("acme").await;
    let body = json!({ "name": "office", "scopes": ["api_keys.*"],
        "allowed_ip_cidrs": ["203.0.113.0/24"] });
    let office = server.key(&acme, body).await;
    let resource = [
        ("grant_type", "client_credentials"),
        ("resource", &server.base),
    ];
    let exchange = server
        .request(Method::POST, "/oauth/token")
        .basic_auth(&office.id, Some(&office.secret))
        .header("x-forwarded-for", "203.0.113.7")
        .form(&resource);
    let issued = Reply::of(exchange).await;
    let token = issued.expect(StatusCode::OK).body["access_token"].as_str();
    for bearer in [&office.secret, token.unwrap()] {
        for (address, allowed) in [
            ("203.0.113.9", true),
            ("198.51.100.7, 203.0.113.9", true),
            ("203.0.113.9, 198.51.100.7", false),
            ("198.51.100.7", false),
            ("127.0.0.1", false),
            ("unknown", false),
            ("", false),
        ] {
            let request = server.request(Method::GET, "/v1/api-keys");
            let request = request
                .bearer_auth(bearer)
                .header("x-forwarded-for", address);
            let reply = Reply::of(request).await;
            if allowed {
                reply.expect(StatusCode::OK);
            } else {
                reply.refuses(403, "network_denied");
            }
        }
    }
}
