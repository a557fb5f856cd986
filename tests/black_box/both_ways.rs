//! What is asked most is answered straight from its connection, what is rare by the router: the
//! answers are the same. Below a base URL with a path both can be reached, by the whole path and by
//! the one that a proxy stripped.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::{Method, RequestBuilder, StatusCode};

use crate::gateway::CLIENT;
use crate::support::forged;
use crate::support::server::{Place, Reply};

const BELOW: &str = "/mint";

const FORM: &str = "application/x-www-form-urlencoded";

/// An answer, less what is another each time: ids of requests, tokens, the time.
type Lasting = (StatusCode, BTreeMap<String, String>, String);

fn lasting(reply: &Reply) -> Lasting {
    let mut text = reply.text.clone();
    let mut headers = BTreeMap::new();
    for (name, value) in &reply.headers {
        let value = value.to_str().unwrap().to_owned();
        headers.insert(name.to_string(), value);
    }
    headers.remove("date");
    if let Some(token) = reply.body["access_token"].as_str() {
        text = text.replace(token, "a token");
    }
    if let Some(bearer) = headers.get_mut("authorization") {
        bearer.truncate("Bearer ".len());
    }
    for part in headers.values_mut().chain([&mut text]) {
        while let Some(at) = part.find("req_") {
            part.replace_range(at..at + "req_".len() + 26, "an id");
        }
    }
    (reply.status, headers, text)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_answered_straight_is_what_the_router_answers() {
    let issuer = format!("https://auth.example.com{BELOW}");
    let flags = ["--issuer", &issuer, "--gateway-peers", "127.0.0.1"];
    let server = Place::sqlite().with(&flags).start().await;
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read:projects/*", "write"]).await;
    let token = server.token(&key, &[]).await;
    let forged = forged::of_another_deployment(&key.id);
    let wrong = forged::with_genuine_tag(&server, &key.id);
    let too_long = format!("token={}", "x".repeat(100_000));
    let mut answered = BTreeSet::new();
    for (method, path) in [
        (Method::POST, "/oauth/token"),
        (Method::POST, "/oauth/introspect"),
        (Method::GET, "/oauth/token"),
        (Method::GET, "/gateway/verify"),
        (Method::GET, "/gateway/verify?scope=read:projects/7"),
        (Method::GET, "/gateway/verify?scope=delete"),
        (Method::GET, "/gateway/verify?exchange=true"),
        (Method::GET, "/gateway/verify?colour=red"),
        (Method::HEAD, "/gateway/verify"),
        (Method::POST, "/gateway/verify"),
    ] {
        for (who, authorize) in [
            ("nobody", None),
            ("a key", Some(&key)),
            ("a manager", Some(&acme)),
            ("a forged key", Some(&forged)),
            ("a wrong secret", Some(&wrong)),
        ] {
            let as_who = |request: RequestBuilder| match authorize {
                Some(key) if path.starts_with("/oauth") => {
                    request.basic_auth(&key.id, Some(&key.secret))
                }
                Some(key) => request.bearer_auth(&key.secret),
                None => request,
            };
            // With a body a request has to be waited for.
            let mut at_once = None;
            for body in [
                "",
                "grant_type=client_credentials",
                "grant_type=client_credentials&scope=write",
                "grant_type=client_credentials&scope=delete",
                "grant_type=password",
                &format!("token={token}"),
                "token=",
                &too_long,
            ] {
                // Whoever does not read a body to its end closes the connection on it.
                if body == too_long && !(method == Method::POST && path.starts_with("/oauth")) {
                    continue;
                }
                let ask = async |before: &str| {
                    let sent = server
                        .request(method.clone(), &format!("{before}{path}"))
                        .header("x-forwarded-for", CLIENT)
                        .header("content-type", FORM)
                        .header("connection", "close")
                        .body(body.to_owned());
                    lasting(&Reply::of(as_who(sent)).await)
                };
                let (straight, routed) = (ask(BELOW).await, ask("").await);
                let short = &body[..body.len().min(60)];
                assert_eq!(straight, routed, "{method} {path} by {who}: {short}");
                answered.insert(straight.0.as_u16());
                if path.starts_with("/gateway") {
                    let at_once = at_once.get_or_insert_with(|| straight.clone());
                    assert_eq!(straight, *at_once, "{method} {path} by {who}: {short}");
                }
            }
        }
    }
    for status in [200, 400, 401, 403, 405] {
        assert!(answered.contains(&status), "{answered:?}");
    }
}
