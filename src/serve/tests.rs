//! What a peer sees of the server: answers, refusals, the cap.

mod deadlines;
mod drain;
mod fixture;

use super::Limits;
use fixture::{GET, Server};

#[tokio::test]
async fn one_connection_carries_many_requests() {
    let server = Server::start(Limits::default()).await;
    let mut client = server.connect().await;
    for _ in 0..3 {
        let answer = client.ask(GET).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with("hello"), "{answer}");
    }
    let echo = "POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: 4\r\n\r\nbody";
    assert!(client.ask(echo).await.ends_with("\r\n\r\nbody"));
    let mut answers = client.ask(&GET.repeat(2)).await;
    while answers.matches("hello").count() < 2 {
        answers += &client.answer().await;
    }
}

#[tokio::test]
async fn http2_is_served_on_the_same_port() {
    let server = Server::start(Limits::default()).await;
    assert_eq!(server.http2("/").await.unwrap(), "hello");
    assert!(server.serves().await);
}

#[tokio::test]
async fn a_request_carries_its_peers_address() {
    let server = Server::start(Limits::default()).await;
    let mut client = server.connect().await;
    let address = client.0.local_addr().unwrap().to_string();
    let answer = client.ask("GET /peer HTTP/1.1\r\nhost: test\r\n\r\n").await;
    assert!(answer.ends_with(&address), "{answer}");
    assert!(
        server
            .http2("/peer")
            .await
            .unwrap()
            .starts_with("127.0.0.1:")
    );
}

#[tokio::test]
async fn a_head_too_large_is_refused_and_others_are_served() {
    let server = Server::start(Limits::default()).await;
    let mut client = server.connect().await;
    let fits = format!(
        "GET / HTTP/1.1\r\nhost: test\r\nx: {}\r\n\r\n",
        "a".repeat(15_000)
    );
    assert!(client.ask(&fits).await.ends_with("hello"));
    let too_large = format!("GET / HTTP/1.1\r\nhost: test\r\nx: {}", "a".repeat(17_000));
    let answer = client.ask(&too_large).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    client.ended().await;
    assert!(server.serves().await);
}

#[tokio::test]
async fn too_many_headers_are_refused_and_others_are_served() {
    for max_headers in [Limits::default().max_headers, 20, 200] {
        let limits = Limits {
            max_headers,
            ..Limits::default()
        };
        let server = Server::start(limits).await;
        let lines = |count: usize| {
            let others = "x: y\r\n".repeat(count - 1);
            format!("GET / HTTP/1.1\r\nhost: test\r\n{others}\r\n")
        };
        assert!(
            server
                .connect()
                .await
                .ask(&lines(max_headers))
                .await
                .ends_with("hello")
        );
        let answer = server.connect().await.ask(&lines(max_headers + 1)).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
        assert!(server.serves().await);
    }
}

#[tokio::test]
async fn bytes_that_are_no_http_are_refused_and_others_are_served() {
    let server = Server::start(Limits::default()).await;
    let mut client = server.connect().await;
    let answer = client.ask("\0\x01 not at all\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    client.ended().await;
    assert!(server.serves().await);
}

#[tokio::test]
async fn a_panic_in_a_handler_ends_its_connection_alone() {
    // One slot beyond the one the probe needs: a panic that kept its slot would soon be noticed.
    let limits = Limits {
        max_connections: 2,
        ..Limits::default()
    };
    let server = Server::start(limits).await;
    for _ in 0..3 {
        let mut client = server.connect().await;
        assert_eq!(
            client
                .ask("GET /panic HTTP/1.1\r\nhost: test\r\n\r\n")
                .await,
            ""
        );
        assert!(server.http2("/panic").await.is_err());
        assert!(server.serves().await);
    }
}

#[tokio::test]
async fn the_cap_holds_newcomers_back_until_a_slot_is_free() {
    let limits = Limits {
        max_connections: 2,
        ..Limits::default()
    };
    let server = Server::start(limits).await;
    let (mut one, mut two) = (server.connect().await, server.connect().await);
    assert!(one.ask(GET).await.ends_with("hello"));
    assert!(two.ask(GET).await.ends_with("hello"));

    let mut waiting = server.connect().await;
    waiting.send(GET).await;
    assert!(waiting.is_open().await, "answered beyond the cap");
    assert!(
        one.ask(GET).await.ends_with("hello"),
        "those inside are served on"
    );
    drop(two);
    assert!(waiting.answer().await.ends_with("hello"));
}
