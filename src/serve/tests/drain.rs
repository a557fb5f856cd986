//! How a server ends.

use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::fixture::{AGES, GET, HELD, Server};
use crate::serve::{Drained, Limits};

#[tokio::test]
async fn a_request_under_way_is_answered_before_the_end() {
    let server = Server::start(Limits::default()).await;
    let mut client = server.connect().await;
    client.send(HELD).await;
    let (http2, ()) = tokio::join!(server.http2("/held"), async {
        server.holds(2).await;
        server.stop();
        // Newcomers are refused meanwhile.
        let start = Instant::now();
        while TcpStream::connect(server.address).await.is_ok() {
            assert!(start.elapsed() < AGES, "still accepting");
            sleep(Duration::from_millis(5)).await;
        }
        server.release(2);
    });
    assert_eq!(http2.unwrap(), "at last");
    let answer = client.answer().await;
    assert!(answer.ends_with("at last"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    client.ended().await;
    assert_eq!(server.ended().await, Drained { left: 0 });
}

#[tokio::test]
async fn idle_and_fresh_connections_end_at_once() {
    let limits = Limits {
        first_request_timeout: AGES * 10,
        header_timeout: AGES * 10,
        drain: AGES * 10,
        ..Limits::default()
    };
    let server = Server::start(limits).await;
    let mut idle = server.connect().await;
    assert!(idle.ask(GET).await.ends_with("hello"));
    let mut halfway = server.connect().await;
    assert!(halfway.ask(GET).await.ends_with("hello"));
    halfway.send("GET / HT").await;
    let mut fresh = server.connect().await;
    assert!(
        server.serves().await,
        "and so the fresh one is accepted too"
    );

    server.stop();
    idle.ended().await;
    fresh.ended().await;
    halfway.ended().await;
    assert_eq!(server.ended().await, Drained { left: 0 });
}

#[tokio::test]
async fn a_stuck_handler_is_cut_when_the_drain_is_over() {
    let limits = Limits {
        drain: Duration::from_millis(300),
        ..Limits::default()
    };
    let server = Server::start(limits).await;
    let (mut one, mut two) = (server.connect().await, server.connect().await);
    one.send(HELD).await;
    two.send(HELD).await;
    server.holds(2).await;

    server.stop();
    assert_eq!(server.ended().await, Drained { left: 2 });
    one.ended().await;
    two.ended().await;
}

#[tokio::test]
async fn a_stuck_http2_request_is_cut_when_the_drain_is_over() {
    let limits = Limits {
        drain: Duration::from_millis(300),
        ..Limits::default()
    };
    let server = Server::start(limits).await;
    let (http2, ()) = tokio::join!(server.http2("/held"), async {
        server.holds(1).await;
        server.stop();
    });
    assert!(http2.is_err());
    assert_eq!(server.ended().await, Drained { left: 1 });
}

#[tokio::test]
async fn shutdown_is_heard_when_every_slot_is_taken() {
    let limits = Limits {
        max_connections: 1,
        drain: Duration::ZERO,
        ..Limits::default()
    };
    let server = Server::start(limits).await;
    let mut only = server.connect().await;
    only.send(HELD).await;
    server.holds(1).await;

    server.stop();
    assert_eq!(server.ended().await, Drained { left: 1 });
}

#[tokio::test]
async fn dropping_the_server_cuts_its_connections() {
    let server = Server::start(Limits::default()).await;
    let mut client = server.connect().await;
    client.send(HELD).await;
    server.holds(1).await;
    server.drop_it();
    client.ended().await;
    timeout(AGES, async {
        while TcpStream::connect(server.address).await.is_ok() {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("the listener is closed");
}
