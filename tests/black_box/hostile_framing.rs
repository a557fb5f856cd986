//! Bytes on the wire that one server reads one way and another otherwise: request smuggling,
//! and clients that keep a connection without using it.

use reqwest::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::raw::{AGES, Answers, talk};
use crate::support::server::{Place, Server};
use crate::support::verbatim::steady;
use crate::{assert_verbatim, on_both_engines};

on_both_engines!(
    a_request_framed_two_ways_is_one_request_at_most,
    a_request_hidden_in_a_body_stays_a_body,
    a_request_names_one_host,
);

const FORM: &str = "application/x-www-form-urlencoded";
/// Comes after each request here. Where it is answered, the server took the connection to be
/// in order; it also makes it close.
const NEXT: &str = "GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

async fn a_request_framed_two_ways_is_one_request_at_most(server: Server) {
    let body = "grant_type=client_credentials";
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let length = format!("content-length: {}", body.len());
    let both = format!("content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n{chunked}");
    for (what, rest) in [
        ("length, then chunked", both),
        (
            "chunked, then length",
            format!("transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n{chunked}"),
        ),
        (
            "two lengths",
            format!("{length}\r\ncontent-length: 5\r\n\r\n{body}"),
        ),
        (
            "a list of lengths",
            format!("content-length: 5, {}\r\n\r\n{body}", body.len()),
        ),
        (
            "a signed length",
            format!("content-length: +{}\r\n\r\n{body}", body.len()),
        ),
        (
            "a length below zero",
            format!("content-length: -1\r\n\r\n{body}"),
        ),
        (
            "a length in hex",
            format!("content-length: 0x1d\r\n\r\n{body}"),
        ),
        (
            "a length too long",
            format!("content-length: 99999999999999999999\r\n\r\n{body}"),
        ),
        (
            "a space before the colon",
            format!("content-length : 29\r\n\r\n{body}"),
        ),
        (
            "a folded line",
            format!("x: a\r\n content-length: 5\r\n{length}\r\n\r\n{body}"),
        ),
        (
            "a bare carriage return",
            format!("x: a\rcontent-length: 5\r\n\r\n{body}"),
        ),
        ("a NUL", format!("x: a\0b\r\n{length}\r\n\r\n{body}")),
        (
            "an unknown encoding",
            format!("transfer-encoding: xchunked\r\n\r\n{chunked}"),
        ),
        (
            "an encoding after chunked",
            format!("transfer-encoding: chunked, identity\r\n\r\n{chunked}"),
        ),
        (
            "two encodings",
            format!(
                "transfer-encoding: identity\r\ntransfer-encoding: chunked\r\ntransfer-encoding: x\r\n\r\n{chunked}"
            ),
        ),
        (
            "a chunk size too long",
            format!(
                "transfer-encoding: chunked\r\n\r\n{}1d\r\n{body}\r\n0\r\n\r\n",
                "f".repeat(17)
            ),
        ),
        (
            "a chunk size with a sign",
            format!("transfer-encoding: chunked\r\n\r\n+1d\r\n{body}\r\n0\r\n\r\n"),
        ),
        (
            "a chunk ended by LF",
            format!("transfer-encoding: chunked\r\n\r\n1d\n{body}\n0\n\n"),
        ),
        (
            "a chunk longer than it says",
            format!("transfer-encoding: chunked\r\n\r\n5\r\n{body}\r\n0\r\n\r\n"),
        ),
    ] {
        let request = format!(
            "POST /oauth/token HTTP/1.1\r\nhost: x\r\ncontent-type: {FORM}\r\n{rest}{NEXT}"
        );
        let answers = talk(server.address(), request.as_bytes()).await;
        // One answer at most, and then the end: what follows could be read two ways.
        let statuses = answers.statuses();
        assert_eq!(statuses.len(), 1, "{what}: {answers:?}");
        assert!((400..500).contains(&statuses[0]), "{what}: {answers:?}");
    }
}

async fn a_request_hidden_in_a_body_stays_a_body(server: Server) {
    for framing in [
        format!("content-length: {}\r\n\r\n{NEXT}", NEXT.len()),
        format!(
            "transfer-encoding: chunked\r\n\r\n{:x}\r\n{NEXT}\r\n0\r\n\r\n",
            NEXT.len()
        ),
    ] {
        let request = format!(
            "POST /oauth/token HTTP/1.1\r\nhost: x\r\ncontent-type: {FORM}\r\n{framing}{NEXT}"
        );
        let answers = talk(server.address(), request.as_bytes()).await;
        assert_eq!(answers.statuses(), [400, 200], "{answers:?}");
    }
}

async fn a_request_names_one_host(server: Server) {
    for (what, request, status) in [
        ("none", "GET /healthz HTTP/1.1\r\n\r\n", 400),
        (
            "two",
            "GET /healthz HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n",
            400,
        ),
        (
            "one twice",
            "GET /healthz HTTP/1.1\r\nhost: x\r\nHost: x\r\n\r\n",
            400,
        ),
        (
            "an empty one",
            "GET /healthz HTTP/1.1\r\nhost:\r\n\r\n",
            200,
        ),
        (
            "another in the target",
            "GET http://y/healthz HTTP/1.1\r\nhost: x\r\n\r\n",
            200,
        ),
        // Health checks of old load balancers.
        (
            "none in 1.0",
            "GET /healthz HTTP/1.0\r\nconnection: keep-alive\r\n\r\n",
            200,
        ),
        (
            "two in 1.0",
            "GET /healthz HTTP/1.0\r\nhost: x\r\nhost: y\r\nconnection: keep-alive\r\n\r\n",
            400,
        ),
    ] {
        let answers = talk(server.address(), format!("{request}{NEXT}").as_bytes()).await;
        assert_eq!(answers.statuses(), [status, 200], "{what}: {answers:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_send_slowly_are_cut_off_and_others_served_meanwhile() {
    let limits = ["--first-request-timeout", "1s", "--request-timeout", "1s"];
    let server = Place::sqlite().with(&limits).start().await;
    let acme = server.organization("acme").await;
    let half_a_head = format!("POST /oauth/token HTTP/1.1\r\nhost: x\r\ncontent-type: {FORM}\r\n");
    let half_a_body = format!("{half_a_head}content-length: 29\r\n\r\ngrant_type=");
    let half_a_chunk = format!("{half_a_head}transfer-encoding: chunked\r\n\r\n1d\r\ngrant");
    let mut clients = Vec::new();
    for bytes in [&half_a_head, &half_a_body, &half_a_chunk] {
        for _ in 0..50 {
            let mut client = TcpStream::connect(server.address()).await.unwrap();
            client.write_all(bytes.as_bytes()).await.unwrap();
            clients.push(client);
        }
    }
    for _ in 0..20 {
        server.exchange(&acme, &[]).await.expect(StatusCode::OK);
    }
    for mut client in clients {
        let mut rest = Vec::new();
        let _ = timeout(AGES, client.read_to_end(&mut rest))
            .await
            .expect("the server closes");
        assert!(!rest.starts_with(b"HTTP/1.1 200"));
    }
    server.exchange(&acme, &[]).await.expect(StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_arrive_is_answered_in_these_words() {
    let server = Place::sqlite().start().await;
    let head = format!("POST /oauth/token HTTP/1.1\r\nhost: x\r\ncontent-type: {FORM}\r\n");
    let stalled = format!("{head}content-length: 29\r\n\r\ngrant_type=");
    let answers = talk(server.address(), stalled.as_bytes()).await;
    assert_eq!(answers.statuses(), [408]);
    assert_verbatim!(steady(&server, answers.body()), @r#"{"error":"invalid_request","error_description":"the request body came too slowly"}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_breaks_off_is_answered_in_these_words() {
    let server = Place::sqlite().start().await;
    let head = format!("POST /oauth/token HTTP/1.1\r\nhost: x\r\ncontent-type: {FORM}\r\n");
    let mut client = TcpStream::connect(server.address()).await.unwrap();
    let bytes = format!("{head}content-length: 29\r\n\r\ngrant_type=");
    client.write_all(bytes.as_bytes()).await.unwrap();
    client.shutdown().await.unwrap();
    let mut text = String::new();
    let read = client.read_to_string(&mut text);
    timeout(AGES, read)
        .await
        .expect("the server closes")
        .unwrap();
    let answers = Answers(text);
    assert_eq!(answers.statuses(), [400]);
    assert_verbatim!(steady(&server, answers.body()), @r#"{"error":"invalid_request","error_description":"the request body broke off"}"#);
}
