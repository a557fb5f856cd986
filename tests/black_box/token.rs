//! `POST /oauth/token`: the exchange, by every way a client may take.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::json;

use crate::on_both_engines;
use crate::support::server::{Key, Reply, Server, claims, header};

on_both_engines!(
    a_key_obtains_a_token_that_says_what_it_must,
    basic_halves_count_raw_and_form_encoded,
    credentials_may_be_in_the_body_or_be_the_api_key_alone,
    a_client_id_beside_the_credentials_must_be_the_same,
    empty_and_unknown_parameters_count_as_left_out,
    the_exchange_works_over_http_2_as_well,
    each_exchange_gives_another_token,
);

/// A request to the token endpoint without credentials.
fn post(server: &Server) -> RequestBuilder {
    server.request(Method::POST, "/oauth/token")
}

async fn key(server: &Server) -> Key {
    let acme = server.organization("acme").await;
    server.key_with(&acme, &["read", "write:notes"]).await
}

async fn a_key_obtains_a_token_that_says_what_it_must(server: Server) {
    let acme = server.organization("acme").await;
    let key = server
        .key(
            &acme,
            json!({ "name": "ci", "scopes": ["read:projects/**", "inference"],
            "allowed_ip_cidrs": ["127.0.0.0/8"] }),
        )
        .await;
    let reply = server.exchange(&key, &[]).await;
    reply.expect(StatusCode::OK);
    assert_eq!(reply.body["token_type"], "Bearer");
    assert_eq!(reply.body["expires_in"], 600);
    assert_eq!(reply.body["scope"], "read:projects/** inference");
    assert_eq!(reply.header("cache-control"), Some("no-store"));

    let token = reply.body["access_token"].as_str().unwrap();
    let now = server.clock.now().unix();
    let mut claims = claims(token);
    assert!(claims["jti"].take().as_str().unwrap().len() >= 22);
    assert_eq!(
        claims,
        json!({
            "iss": server.base, "sub": key.id, "client_id": key.id,
            "aud": format!("{}/api", server.base), "iat": now, "nbf": now, "exp": now + 600,
            "jti": null, "scope": "read:projects/** inference", "org": "acme",
            "allowed_ip_cidrs": ["127.0.0.0/8"],
        })
    );
    assert_eq!(header(token)["typ"], "at+jwt");
}

async fn basic_halves_count_raw_and_form_encoded(server: Server) {
    let key = key(&server).await;
    let escape = |b: &u8| format!("%{b:02X}");
    let escaped = |text: &str| {
        text.as_bytes()
            .iter()
            .map(escape)
            .collect::<Vec<_>>()
            .concat()
    };
    let lower = |text: &str| escaped(text).to_lowercase();
    for pair in [
        format!("{}:{}", key.id, key.secret),
        // RFC 6749 §2.3.1: both halves form-encoded, needed or not.
        format!("{}:{}", escaped(&key.id), escaped(&key.secret)),
        format!("{}:{}", lower(&key.id), key.secret),
        format!("{}:{}", key.id.replace('_', "%5F"), key.secret),
    ] {
        for scheme in ["Basic", "basic", "BASIC"] {
            let line = format!("{scheme} {}", STANDARD.encode(&pair));
            let request = post(&server)
                .header("authorization", line)
                .form(&[("grant_type", "client_credentials")]);
            Reply::of(request).await.expect(StatusCode::OK);
        }
    }
}

async fn credentials_may_be_in_the_body_or_be_the_api_key_alone(server: Server) {
    let key = key(&server).await;
    let grant = ("grant_type", "client_credentials");
    let (id, secret) = (("client_id", &*key.id), ("client_secret", &*key.secret));
    let in_body = Reply::of(post(&server).form(&[grant, id, secret])).await;
    in_body.expect(StatusCode::OK);
    let reordered = Reply::of(post(&server).form(&[secret, grant, id])).await;
    reordered.expect(StatusCode::OK);
    let bearer = post(&server).bearer_auth(&key.secret).form(&[grant]);
    let bearer = Reply::of(bearer).await;
    bearer.expect(StatusCode::OK);
    for reply in [in_body, bearer] {
        let token = reply.body["access_token"].as_str().unwrap();
        assert_eq!(claims(token)["sub"], *key.id);
    }
}

async fn a_client_id_beside_the_credentials_must_be_the_same(server: Server) {
    let key = key(&server).await;
    let with_id = |id: &str| {
        let form = [("grant_type", "client_credentials"), ("client_id", id)];
        [
            post(&server)
                .basic_auth(&key.id, Some(&key.secret))
                .form(&form),
            post(&server).bearer_auth(&key.secret).form(&form),
        ]
    };
    for request in with_id(&key.id) {
        Reply::of(request).await.expect(StatusCode::OK);
    }
    for other in ["key_01ARZ3NDEKTSV4RRFFQ69G5FAV", "someone", "KEY"] {
        for request in with_id(other) {
            Reply::of(request).await.refuses(400, "invalid_request");
        }
    }
}

async fn empty_and_unknown_parameters_count_as_left_out(server: Server) {
    let key = key(&server).await;
    // RFC 6749 §3.2, and clients that send every field of a form.
    let empty = [
        ("scope", ""),
        ("resource", ""),
        ("client_id", ""),
        ("client_secret", ""),
        ("audience", "https://elsewhere.example"),
        ("audience", "https://another.example"),
        ("", ""),
    ];
    let reply = server.exchange(&key, &empty).await;
    reply.expect(StatusCode::OK);
    assert_eq!(reply.body["scope"], "read write:notes");
    let token = reply.body["access_token"].as_str().unwrap();
    assert_eq!(claims(token)["aud"], format!("{}/api", server.base));

    for body in [
        "grant_type=client_credentials&",
        "&&grant_type=client%5Fcredentials&&",
        "grant_type=client_credentials&scope",
    ] {
        let request = post(&server)
            .basic_auth(&key.id, Some(&key.secret))
            .header(
                "content-type",
                "Application/X-WWW-Form-URLencoded; charset=UTF-8",
            )
            .body(body);
        Reply::of(request).await.expect(StatusCode::OK);
    }
}

async fn the_exchange_works_over_http_2_as_well(server: Server) {
    let key = key(&server).await;
    let client = Client::builder().http2_prior_knowledge().build().unwrap();
    let request = client
        .post(format!("{}/oauth/token", server.base))
        .basic_auth(&key.id, Some(&key.secret))
        .form(&[("grant_type", "client_credentials")]);
    let response = request.send().await.unwrap();
    assert_eq!(response.version(), reqwest::Version::HTTP_2);
    Reply::read(response).await.expect(StatusCode::OK);
}

async fn each_exchange_gives_another_token(server: Server) {
    let key = key(&server).await;
    let (one, two) = (server.token(&key, &[]).await, server.token(&key, &[]).await);
    assert_ne!(claims(&one)["jti"], claims(&two)["jti"]);
    assert_ne!(one, two);
}
