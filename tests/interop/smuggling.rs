//! What a client might slip past a gateway: names that are tenmint's or the gateway's to use, two
//! credentials, headers that are called hop-by-hop.

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::gateways::Gateway;
use crate::support::server::{Key, Reply, Server};

/// The gateway wants the scope `read` for GET, and `write` for all else.
pub async fn nothing_is_smuggled(server: &Server, gateway: &Gateway, acme: &Key) {
    let key = server.key_with(acme, &["read"]).await;
    nobody_speaks_in_tenmints_name(gateway, &key).await;
    a_scope_is_the_gateways_to_want(gateway, &key).await;
    two_credentials_are_none(gateway, &key, acme).await;
    nothing_is_called_hop_by_hop(gateway, &key).await;

    // An address is the gateway's to tell.
    let body = json!({ "name": "n", "scopes": ["read"], "allowed_ip_cidrs": ["203.0.113.9"] });
    let elsewhere = server.key(acme, body).await;
    let spoofed = || gateway.request(Method::GET).bearer_auth(&elsewhere.secret);
    for name in ["x-forwarded-for", "forwarded", "x-real-ip"] {
        let request = spoofed().header(name, "203.0.113.9");
        Reply::of(request).await.expect(StatusCode::FORBIDDEN);
        let request = spoofed().header(name, "203.0.113.9");
        let hidden = Reply::of(request.header("connection", "x-forwarded-for")).await;
        assert!(hidden.status.is_client_error(), "{}", hidden.status);
    }
}

async fn nobody_speaks_in_tenmints_name(gateway: &Gateway, key: &Key) {
    let names = [
        "Org",
        "Key-Id",
        "Credential",
        "Scope",
        "External-Id",
        "Require-Scope",
        "Audience",
        "Exchange",
    ];
    let get = || gateway.request(Method::GET).bearer_auth(&key.secret);
    let lying = names.iter().fold(get(), |request, name| {
        request.header(format!("X-Tenmint-{name}"), "evil")
    });
    let reply = Reply::of(lying).await;
    assert!(
        !reply.expect(StatusCode::OK).text.contains("evil"),
        "{}",
        reply.text
    );
    assert_eq!(reply.body["headers"]["x-tenmint-org"], json!(["acme"]));

    // Services that put headers into an environment take these for the same. Some gateways refuse
    // them.
    for spelling in ["X_Tenmint_Org", "X-Tenmint_Org", "x_tenmint-org"] {
        let reply = Reply::of(get().header(spelling, "evil")).await;
        assert!(!reply.text.contains("evil"), "{spelling}: {}", reply.text);
    }
    // What is no header to one program, and is one to another.
    for line in [
        "X-Tenmint-Org : evil",
        "X-Tenmint-Org\t: evil",
        " X-Tenmint-Org: evil",
        "X-A: b\rX-Tenmint-Org: evil",
        "X-A: b\r\n X-Tenmint-Org: evil",
    ] {
        let seen = raw(gateway, key, line).await;
        let headers = seen.map_or(Value::Null, |body| body["headers"].clone());
        let is_as_told = headers.is_null() || headers["x-tenmint-org"] == json!(["acme"]);
        let mut all = headers.as_object().into_iter().flatten();
        let lies =
            all.any(|(name, value)| name.contains("tenmint") && value.to_string().contains("evil"));
        assert!(is_as_told && !lies, "{line:?}: {headers}");
    }
}

async fn a_scope_is_the_gateways_to_want(gateway: &Gateway, reader: &Key) {
    let post = || gateway.request(Method::POST).bearer_auth(&reader.secret);
    for (name, value) in [
        ("x-tenmint-require-scope", ""),
        ("x-tenmint-require-scope", "read"),
        ("x-forwarded-method", "GET"),
        ("x-original-method", "GET"),
        ("x-http-method-override", "GET"),
        ("x-forwarded-uri", "/gateway/verify?scope=read"),
        ("x-original-url", "/orders"),
    ] {
        let reply = Reply::of(post().header(name, value)).await;
        reply.expect(StatusCode::FORBIDDEN);
    }
    // The exchange is not the client's to turn off.
    let get = gateway.request(Method::GET).bearer_auth(&reader.secret);
    let reply = Reply::of(get.header("x-tenmint-exchange", "false")).await;
    let is_shown = reply.expect(StatusCode::OK).text.contains(&*reader.secret);
    assert!(!is_shown, "{}", reply.text);
}

/// Whichever the service would have read.
async fn two_credentials_are_none(gateway: &Gateway, one: &Key, other: &Key) {
    let get = || gateway.request(Method::GET);
    let once = || get().bearer_auth(&one.secret);
    let joined = format!("Bearer {}, Bearer {}", one.secret, other.secret);
    for request in [
        once().bearer_auth(&other.secret),
        once().header("x-api-key", &other.secret),
        get().header("authorization", joined),
        get()
            .header("authorization", "Basic eDp5")
            .bearer_auth(&one.secret),
        get()
            .header("x-api-key", &one.secret)
            .header("x-api-key", &other.secret),
    ] {
        let refused = Reply::of(request).await;
        assert!(
            [400, 401].contains(&refused.status.as_u16()),
            "{}",
            refused.status
        );
    }
}

/// A proxy takes out what `Connection` names, and so could be had to take out what tenmint said.
async fn nothing_is_called_hop_by_hop(gateway: &Gateway, key: &Key) {
    for name in [
        "authorization",
        "x-tenmint-org",
        "x-tenmint-scope",
        "x-tenmint-key-id",
        "x-tenmint-require-scope",
        "x-api-key",
    ] {
        let named =
            |request: RequestBuilder| request.header("connection", format!("close, {name}"));
        let get = gateway.request(Method::GET).bearer_auth(&key.secret);
        let reply = Reply::of(named(get)).await;
        if reply.status.is_success() {
            for told in ["authorization", "x-tenmint-org", "x-tenmint-scope"] {
                let seen = &reply.body["headers"][told][0];
                assert!(seen.is_string(), "{name}: {}", reply.text);
            }
            assert!(!reply.text.contains(&key.secret), "{name}: {}", reply.text);
        }
        let post = gateway.request(Method::POST).bearer_auth(&key.secret);
        let reply = Reply::of(named(post)).await;
        assert!(reply.status.is_client_error(), "{name}: {}", reply.status);
    }
}

/// What the service saw of a request with this line in its head; nothing if it saw none.
async fn raw(gateway: &Gateway, key: &Key, line: &str) -> Option<Value> {
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    let lines = [
        "GET /orders/7 HTTP/1.1",
        &format!("Host: {}", gateway.address),
        &format!("Authorization: Bearer {}", key.secret),
        line,
        "Connection: close",
        "\r\n",
    ];
    let request = lines.join("\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // It may have been hung up on.
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.starts_with("HTTP/1.1 200").then_some(())?;
    // Maybe in chunks.
    let body = &body[body.find('{')?..=body.rfind('}')?];
    Some(serde_json::from_str(body).unwrap())
}
