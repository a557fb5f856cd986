//! No peer keeps a slot for nothing, and none that tries disturbs the others.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

use super::fixture::{AGES, Client, GET, HELD, HTTP2_HELLO, Server};
use crate::serve::Limits;

const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_hours(1);

/// Limits in which nothing passes but what a test sets.
fn patient() -> Limits {
    Limits {
        first_request_timeout: LONG,
        header_timeout: LONG,
        request_timeout: LONG,
        io_timeout: LONG,
        ..Limits::default()
    }
}

/// Writes `bytes` one by one until the server has had enough; panics if it never does.
async fn drip(client: Client, bytes: &[u8]) {
    let (mut reader, mut writer) = client.0.into_split();
    let dripping = async {
        for byte in bytes.iter().cycle() {
            if writer.write_all(&[*byte]).await.is_err() {
                return;
            }
            sleep(SHORT / 20).await;
        }
    };
    let mut buffer = [0; 4096];
    let listening = async { while !matches!(reader.read(&mut buffer).await, Ok(0) | Err(_)) {} };
    timeout(AGES, async {
        tokio::select! {
            () = dripping => {}
            () = listening => {}
        }
    })
    .await
    .expect("the server ends the connection");
}

#[tokio::test]
async fn a_slow_header_is_cut_off_and_others_are_served_meanwhile() {
    let limits = Limits {
        first_request_timeout: SHORT,
        ..patient()
    };
    let server = Server::start(limits).await;
    let start = Instant::now();
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\nhost: te").await;
    assert!(server.serves().await);
    client.ended().await;
    assert!(start.elapsed() >= SHORT);
    assert!(server.serves().await);
}

#[tokio::test]
async fn dripping_bytes_do_not_extend_the_time_for_the_first_request() {
    let limits = Limits {
        first_request_timeout: SHORT,
        ..patient()
    };
    let server = Server::start(limits).await;
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\nx: ").await;
    drip(client, b"a").await;
    drip(server.connect().await, b"\r\n").await;
    assert!(server.serves().await);
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_cut() {
    let limits = Limits {
        first_request_timeout: SHORT,
        ..patient()
    };
    let server = Server::start(limits).await;
    server.connect().await.ended().await;
    let mut http2 = server.connect().await;
    http2.send(HTTP2_HELLO).await;
    http2.ended().await;
}

#[tokio::test]
async fn silent_connections_give_their_slots_to_others() {
    let limits = Limits {
        max_connections: 2,
        first_request_timeout: SHORT,
        ..patient()
    };
    let server = Server::start(limits).await;
    let _silent = [server.connect().await, server.connect().await];
    assert!(server.serves().await);
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_an_active_one_is_not() {
    let limits = Limits {
        header_timeout: SHORT * 6,
        ..patient()
    };
    let server = Server::start(limits).await;
    let (mut idle, mut active) = (server.connect().await, server.connect().await);
    assert!(idle.ask(GET).await.ends_with("hello"));
    let start = Instant::now();
    while idle.is_open().await {
        assert!(start.elapsed() < AGES, "never closed");
        assert!(active.ask(GET).await.ends_with("hello"));
    }
    assert!(active.ask(GET).await.ends_with("hello"));
}

#[tokio::test]
async fn a_later_header_that_drips_is_cut_off() {
    let limits = Limits {
        header_timeout: SHORT,
        io_timeout: SHORT,
        ..patient()
    };
    let server = Server::start(limits).await;
    let mut client = server.connect().await;
    assert!(client.ask(GET).await.ends_with("hello"));
    client.send("GET / HTTP/1.1\r\nx: ").await;
    drip(client, b"a").await;
}

#[tokio::test]
async fn idle_connections_make_room_when_slots_run_out() {
    let limits = Limits {
        max_connections: 2,
        first_request_timeout: SHORT,
        ..patient()
    };
    let server = Server::start(limits).await;
    let mut idle = [server.connect().await, server.connect().await];
    for client in &mut idle {
        assert!(client.ask(GET).await.ends_with("hello"));
    }
    assert!(server.serves().await);
}

#[tokio::test]
async fn a_body_that_stalls_is_cut_off_and_others_are_served_meanwhile() {
    let limits = Limits {
        io_timeout: SHORT,
        ..patient()
    };
    let server = Server::start(limits).await;
    let mut client = server.connect().await;
    client
        .send("POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: 9\r\n\r\nbo")
        .await;
    assert!(server.serves().await);
    client.ended().await;
}

#[tokio::test]
async fn a_body_that_drips_is_cut_off() {
    let limits = Limits {
        request_timeout: SHORT,
        ..patient()
    };
    let server = Server::start(limits).await;
    let mut client = server.connect().await;
    client
        .send("POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: 999999\r\n\r\n")
        .await;
    drip(client, b"a").await;
}

#[tokio::test]
async fn a_slow_handler_is_not_taken_for_a_stalled_peer() {
    let limits = Limits {
        first_request_timeout: SHORT,
        header_timeout: SHORT,
        io_timeout: SHORT,
        ..patient()
    };
    let server = Server::start(limits).await;
    let mut client = server.connect().await;
    client.send(HELD).await;
    let (http2, ()) = tokio::join!(server.http2("/held"), async {
        server.holds(2).await;
        sleep(SHORT * 3).await;
        server.release(2);
    });
    assert!(client.answer().await.ends_with("at last"));
    assert_eq!(http2.unwrap(), "at last");
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_cut_off() {
    let limits = Limits {
        request_timeout: SHORT,
        ..patient()
    };
    let server = Server::start(limits).await;
    assert_eq!(server.connect().await.ask(HELD).await, "");
    assert!(server.http2("/held").await.is_err());
}

#[tokio::test]
async fn a_peer_that_takes_no_answers_is_cut() {
    let limits = Limits {
        io_timeout: SHORT,
        ..patient()
    };
    let server = Server::start(limits).await;
    let (_unread, mut writer) = server.connect().await.0.into_split();
    let requests = GET.repeat(1000);
    let flood = async { while writer.write_all(requests.as_bytes()).await.is_ok() {} };
    timeout(AGES, flood)
        .await
        .expect("the server ends the connection");
    assert!(server.serves().await);
}

#[tokio::test]
async fn an_idle_http2_connection_is_told_to_go_and_cut_when_it_stays() {
    let limits = Limits {
        header_timeout: SHORT,
        io_timeout: SHORT,
        ..patient()
    };
    let server = Server::start(limits).await;
    let mut client = server.connect().await;
    client.send(HTTP2_HELLO).await;
    // HEADERS of a whole request on stream 1: GET, http, / from the static table, `host: a`.
    client
        .send(b"\0\0\x06\x01\x05\0\0\0\x01\x82\x86\x84\x41\x01a")
        .await;
    let mut seen = Vec::new();
    timeout(AGES, client.0.read_to_end(&mut seen))
        .await
        .unwrap()
        .unwrap_or_default();
    assert!(seen.windows(5).any(|bytes| bytes == b"hello"), "answered");
    // A GOAWAY frame (type 7) on stream 0, before the end.
    assert!(
        seen.windows(6).any(|bytes| bytes == b"\x07\0\0\0\0\0"),
        "told to go"
    );
}
