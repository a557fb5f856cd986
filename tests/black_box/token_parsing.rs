//! Requests at the token endpoints that are no token requests, or present no client.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Method, RequestBuilder, StatusCode};

use crate::on_both_engines;
use crate::support::server::{Key, Reply, Server};

on_both_engines!(
    basic_that_cannot_be_made_out_is_a_bad_client,
    credentials_in_two_places_are_refused,
    credentials_in_the_url_are_refused_and_not_repeated,
    parameters_given_twice_are_refused,
    the_grant_type_must_be_there_and_be_the_one_there_is,
    bodies_of_another_content_type_are_told_which_is_wanted,
    only_post_is_answered_at_a_token_endpoint,
    clients_that_present_nothing_are_bad_clients,
);

const FORM: &str = "application/x-www-form-urlencoded";

fn post(server: &Server) -> RequestBuilder {
    server.request(Method::POST, "/oauth/token")
}

/// A token request with a genuine key and this form, already encoded.
fn with_key(server: &Server, key: &Key, body: &str) -> RequestBuilder {
    post(server)
        .basic_auth(&key.id, Some(&key.secret))
        .header("content-type", FORM)
        .body(body.to_owned())
}

async fn basic_that_cannot_be_made_out_is_a_bad_client(server: Server) {
    let key = server.organization("acme").await;
    let encoded = |pair: &[u8]| format!("Basic {}", STANDARD.encode(pair));
    let pair = |separator: &str| format!("{}{separator}{}", key.id, key.secret).into_bytes();
    for line in [
        "Basic".to_owned(),
        "Basic !!!".to_owned(),
        "Basic a2V5OnNlY3JldA==, Basic a2V5OnNlY3JldA==".to_owned(),
        format!("Basic {}:{}", key.id, key.secret),
        encoded(b"nocolon"),
        encoded(b""),
        encoded(b":"),
        encoded(&pair("")),
        encoded(&pair("::")),
        encoded(&pair(": ")),
        encoded(&pair(":%")),
        encoded(&pair(":%zz")),
        encoded(&pair(":%0")),
        encoded(&pair(":%00")),
        encoded(&[pair(":").as_slice(), b"\n"].concat()),
        encoded(&[b"\xff", pair(":").as_slice()].concat()),
        // A form decoder makes a space of a plus.
        encoded(&[pair(":").as_slice(), b"+"].concat()),
    ] {
        let request = post(&server)
            .header("authorization", &line)
            .form(&[("grant_type", "client_credentials")]);
        let reply = Reply::of(request).await;
        reply.refuses(401, "invalid_client");
        let challenge = reply.header("www-authenticate").unwrap();
        assert!(challenge.starts_with("Basic realm="), "{challenge}");
    }
}

async fn credentials_in_two_places_are_refused(server: Server) {
    let key = server.organization("acme").await;
    let other = server.organization("beta").await;
    let secret_too = |key: &Key| {
        format!(
            "grant_type=client_credentials&client_id={}&client_secret={}",
            key.id, key.secret
        )
    };
    // RFC 6749 §2.3: one method for each request, be it the same key twice.
    for body in [secret_too(&key), secret_too(&other)] {
        let basic = with_key(&server, &key, &body);
        let bearer = post(&server)
            .bearer_auth(&key.secret)
            .header("content-type", FORM)
            .body(body.clone());
        let strange = post(&server)
            .header("authorization", "Digest username=\"a\"")
            .header("content-type", FORM)
            .body(body);
        for request in [basic, bearer, strange] {
            Reply::of(request).await.refuses(400, "invalid_request");
        }
    }
    let two_headers =
        with_key(&server, &key, "grant_type=client_credentials").bearer_auth(&key.secret);
    Reply::of(two_headers).await.refuses(400, "invalid_request");
}

async fn credentials_in_the_url_are_refused_and_not_repeated(server: Server) {
    let key = server.organization("acme").await;
    let all = format!(
        "grant_type=client_credentials&client_id={}&client_secret={}",
        key.id, key.secret
    );
    let path = format!("/oauth/token?{all}");
    let nothing_else = server.request(Method::POST, &path);
    let complete_besides = server
        .request(Method::POST, "/oauth/token?client_id=x")
        .basic_auth(&key.id, Some(&key.secret))
        .form(&[("grant_type", "client_credentials")]);
    let access_token = server
        .request(
            Method::POST,
            &format!("/oauth/token?access_token={}", key.secret),
        )
        .form(&[("grant_type", "client_credentials")]);
    for request in [nothing_else, complete_besides, access_token] {
        let reply = Reply::of(request).await;
        reply.refuses(400, "invalid_request");
        assert!(!reply.text.contains(&key.secret[..40]), "{}", reply.text);
    }
    let reply = Reply::of(server.request(Method::GET, &path)).await;
    reply.refuses(405, "invalid_request");
    assert!(!reply.text.contains("tmsk_"), "{}", reply.text);
    // An empty query is none.
    let request = server
        .request(Method::POST, "/oauth/token?")
        .bearer_auth(&key.secret)
        .form(&[("grant_type", "client_credentials")]);
    Reply::of(request).await.expect(StatusCode::OK);
}

async fn parameters_given_twice_are_refused(server: Server) {
    let key = server.organization("acme").await;
    let grant = "grant_type=client_credentials";
    for body in [
        format!("{grant}&{grant}"),
        format!("{grant}&grant_type="),
        format!("{grant}&scope=read&scope=read"),
        format!("{grant}&scope=&scope=read"),
        format!("{grant}&sc%6Fpe=read&scope=write"),
        format!("{grant}&client_id={0}&client_id={0}", key.id),
        format!("{grant}&client_secret=&client_secret="),
    ] {
        let reply = Reply::of(with_key(&server, &key, &body)).await;
        reply.refuses(400, "invalid_request");
    }
    // RFC 8707 §2: this one may.
    let resource = format!("resource={}/api", server.base);
    let body = format!("{grant}&{resource}&{resource}");
    Reply::of(with_key(&server, &key, &body))
        .await
        .expect(StatusCode::OK);
}

async fn the_grant_type_must_be_there_and_be_the_one_there_is(server: Server) {
    let key = server.organization("acme").await;
    for missing in [
        "",
        "grant_type=",
        "scope=read",
        "grant_type",
        "Grant_Type=x",
    ] {
        let reply = Reply::of(with_key(&server, &key, missing)).await;
        reply.refuses(400, "invalid_request");
    }
    for other in [
        "password",
        "authorization_code",
        "refresh_token",
        "Client_Credentials",
        "client_credentials%20",
        "client_credentials%00",
        "client_credentials%FF",
        "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer",
        "%3Cscript%3E",
    ] {
        let body = format!("grant_type={other}");
        let reply = Reply::of(with_key(&server, &key, &body)).await;
        reply.refuses(400, "unsupported_grant_type");
        assert!(!reply.text.contains('<'), "{}", reply.text);
    }
}

async fn bodies_of_another_content_type_are_told_which_is_wanted(server: Server) {
    let key = server.organization("acme").await;
    for kind in [
        "application/json",
        "multipart/form-data; boundary=x",
        "text/plain",
        "application/x-www-form-urlencoded-not",
        "",
        "\u{e9}",
    ] {
        let request = post(&server)
            .basic_auth(&key.id, Some(&key.secret))
            .header("content-type", kind)
            .body("grant_type=client_credentials");
        let reply = Reply::of(request).await;
        reply.refuses(400, "invalid_request");
        let why = reply.body["error_description"].as_str().unwrap();
        assert!(why.contains(FORM), "{why}");
    }
}

async fn only_post_is_answered_at_a_token_endpoint(server: Server) {
    let key = server.organization("acme").await;
    let methods = [
        "GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW",
    ];
    for path in [
        "/oauth/token",
        "/orgs/acme/oauth/token",
        "/orgs/none/oauth/token",
    ] {
        for method in methods {
            let request = server
                .request(method.parse().unwrap(), path)
                .bearer_auth(&key.secret);
            let reply = Reply::of(request).await;
            reply.expect(StatusCode::METHOD_NOT_ALLOWED);
            let allowed: Vec<_> = reply.headers.get_all("allow").iter().collect();
            assert_eq!(allowed, ["POST"], "{method}");
            assert_eq!(reply.header("cache-control"), Some("no-store"));
        }
    }
}

async fn clients_that_present_nothing_are_bad_clients(server: Server) {
    let key = server.organization("acme").await;
    let grant = ("grant_type", "client_credentials");
    let (id, secret) = (("client_id", &*key.id), ("client_secret", &*key.secret));
    for form in [vec![grant], vec![grant, id], vec![grant, secret]] {
        let reply = Reply::of(post(&server).form(&form)).await;
        reply.refuses(401, "invalid_client");
        let challenge = reply.header("www-authenticate").unwrap();
        assert!(challenge.starts_with("Basic realm="), "{challenge}");
    }
    // The scheme the client used is the one that is named to it.
    for line in ["Bearer", "Bearer x", "bearer \u{e9}", "BEARER  "] {
        let request = post(&server).header("authorization", line).form(&[grant]);
        let reply = Reply::of(request).await;
        reply.refuses(401, "invalid_client");
        let challenge = reply.header("www-authenticate");
        assert_eq!(challenge, Some("Bearer realm=\"tenmint\""), "{line}");
    }
}
