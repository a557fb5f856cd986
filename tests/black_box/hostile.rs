//! Hostile requests: too large, too many, too slow, or full of what is no text.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Method, RequestBuilder, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::on_both_engines;
use crate::support::raw::{AGES, talk};
use crate::support::server::{Reply, Server};

on_both_engines!(
    oversized_requests_are_refused_and_the_server_lives_on,
    what_is_no_text_in_an_id_or_a_secret_is_a_bad_client,
    nonsense_in_the_path_is_nobodys_issuer,
    a_megabyte_is_answered_and_not_merely_cut_off,
);

const FORM: &str = "application/x-www-form-urlencoded";

fn post(server: &Server) -> RequestBuilder {
    server
        .request(Method::POST, "/oauth/token")
        .header("content-type", FORM)
}

async fn oversized_requests_are_refused_and_the_server_lives_on(server: Server) {
    let key = server.organization("acme").await;
    let grant = "grant_type=client_credentials";
    for (what, body, status) in [
        ("parameters", "&a=b".repeat(2_000), 400),
        ("parameters", "&a=b".repeat(10_000), 413),
        ("resources", "&resource=urn:x".repeat(64), 400),
        ("nothings", "&".repeat(30_000), 200),
        ("scope", format!("&scope={}", "x".repeat(100_000)), 413),
        ("scope", format!("&scope={}", "x".repeat(30_000)), 400),
        ("scopes", format!("&scope=x{}", "+x".repeat(15_000)), 400),
        (
            "secret",
            format!("&client_secret={}", "x".repeat(30_000)),
            400,
        ),
        ("escapes", format!("&x={}", "%41".repeat(10_000)), 200),
    ] {
        let request = post(&server)
            .basic_auth(&key.id, Some(&key.secret))
            .body(format!("{grant}{body}"));
        let reply = Reply::of(request).await;
        assert_eq!(reply.status.as_u16(), status, "{what}: {}", reply.text);
        assert!(reply.text.len() < 2_000, "{what}: {}", reply.text.len());
    }
    let header = post(&server).bearer_auth("x".repeat(100_000)).body(grant);
    let status = header.send().await.unwrap().status();
    assert_eq!(status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    server.exchange(&key, &[]).await.expect(StatusCode::OK);
}

async fn what_is_no_text_in_an_id_or_a_secret_is_a_bad_client(server: Server) {
    let key = server.organization("acme").await;
    let sql = "' OR '1'='1'; DROP TABLE api_keys; --";
    let long = "x".repeat(2_000);
    let strange: [&[u8]; 10] = [
        b"\0",
        b"\xff\xfe",
        b"\xc3\x28",
        "\u{202e}\u{0}\u{1f511}".as_bytes(),
        sql.as_bytes(),
        b"../../keys/root.key",
        b"%00",
        b"\r\nx-injected: yes",
        b"${jndi:ldap://x}",
        long.as_bytes(),
    ];
    let escape = |b: &u8| format!("%{b:02x}");
    let escaped = |bytes: &[u8]| bytes.iter().map(escape).collect::<Vec<_>>().concat();
    for strange in strange {
        // Alone, and within what would be right without it.
        let (id, secret) = (key.id.as_bytes(), key.secret.as_bytes());
        for (id, secret) in [
            (strange, secret),
            (id, strange),
            (&[id, strange].concat(), secret),
            (id, &[secret, strange].concat()),
            (id, &[&secret[..40], strange, &secret[40..]].concat()),
        ] {
            let raw = STANDARD.encode([id, b":", secret].concat());
            let encoded = STANDARD.encode(format!("{}:{}", escaped(id), escaped(secret)));
            let (id, secret) = (escaped(id), escaped(secret));
            let body =
                format!("grant_type=client_credentials&client_id={id}&client_secret={secret}");
            let basic = |pair: &str| {
                let request = post(&server).header("authorization", format!("Basic {pair}"));
                request.body("grant_type=client_credentials")
            };
            for request in [basic(&raw), basic(&encoded), post(&server).body(body)] {
                let reply = Reply::of(request).await;
                reply.refuses(401, "invalid_client");
                assert!(reply.header("x-injected").is_none());
            }
        }
    }
    server.exchange(&key, &[]).await.expect(StatusCode::OK);
}

async fn nonsense_in_the_path_is_nobodys_issuer(server: Server) {
    let key = server.organization("acme").await;
    for id in [
        "%00",
        "%ff",
        "acme%00",
        "acme%20",
        "acme%2f",
        "ACME",
        "acme'--",
        "..%2facme",
        "%252e",
        "{org}",
        "*",
        &"a".repeat(65),
        &"a".repeat(5_000),
        &key.id,
    ] {
        let reply = server.exchange_at(&format!("/orgs/{id}"), &key, &[]).await;
        reply.refuses(401, "invalid_client");
    }
    // As bytes, for a library would tidy these up.
    for (path, status) in [
        ("/orgs/../oauth/token", 401),
        ("/orgs/%2e%2e/oauth/token", 401),
        ("/orgs/acme/../acme/oauth/token", 404),
        ("/orgs//oauth/token", 401),
        ("//oauth/token", 404),
        ("/oauth/token/", 404),
        ("/oauth//token", 404),
        ("/./oauth/token", 404),
        ("/OAUTH/TOKEN", 404),
        ("/oauth/token;x=y", 404),
        ("/oauth/token%2f", 404),
        ("/oauth%2ftoken", 404),
        ("/oauth/token%00", 404),
    ] {
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {FORM}\r\nconnection: close\r\n\
             authorization: Bearer {}\r\ncontent-length: 29\r\n\r\ngrant_type=client_credentials",
            key.secret
        );
        let answers = talk(server.address(), request.as_bytes()).await;
        assert_eq!(answers.statuses(), [status], "{path}: {answers:?}");
    }
}

async fn a_megabyte_is_answered_and_not_merely_cut_off(server: Server) {
    let large = "x".repeat(1_000_000);
    for _ in 0..20 {
        // A client that writes all of its body before it reads must find the answer still.
        let request = post(&server).body(large.clone());
        Reply::of(request).await.refuses(413, "invalid_request");
        let bytes = format!(
            "POST /oauth/token HTTP/1.1\r\nhost: x\r\ncontent-type: {FORM}\r\n\
             content-length: {}\r\n\r\n{large}",
            large.len()
        );
        let mut client = TcpStream::connect(server.address()).await.unwrap();
        let written = client.write_all(bytes.as_bytes()).await;
        let mut start = [0; 12];
        let read = timeout(AGES, client.read_exact(&mut start)).await.unwrap();
        assert!(read.is_ok(), "{read:?} {written:?}");
        assert_eq!(&start, b"HTTP/1.1 413");
    }
}
