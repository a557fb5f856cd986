//! What strangers can make the program hold in memory, measured on the program itself.
#![cfg(target_os = "linux")]

use reqwest::{Client, RequestBuilder};

use crate::support::crowd::at_once;
use crate::support::forged::with_genuine_tag;
use crate::support::process::Process;
use crate::support::server::Place;

/// In MiB. Less than the bodies of one wave would take if they were held, or the Argon2 runs
/// if they did not take turns.
const ROOM: u64 = 64;

/// The most memory that a process ever held, in MiB.
fn peak_of(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.unwrap().trim().strip_suffix(" kB").unwrap();
    kib.parse::<u64>().unwrap() / 1024
}

/// Sends so many of these at once; each must be answered with one of these statuses.
async fn wave(count: usize, request: impl Fn() -> RequestBuilder, statuses: &[u16]) {
    for reply in at_once((0..count).map(|_| request())).await {
        let status = reply.status.as_u16();
        assert!(statuses.contains(&status), "{status} {}", reply.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_strangers_send_is_not_held() {
    let server = Place::sqlite().start().await;
    let operator = server.operator_key();
    let wrong = |_| with_genuine_tag(&server, &operator.id).secret;
    let wrong: Vec<_> = (0..500).map(wrong).collect();
    let place = server.stop().await;
    let program = Process::serve(&place, &["serve"], &[]);

    let client = Client::new();
    let endpoint = format!("{}/oauth/token", program.base);
    let post = |secret: &str, body: &str| {
        client
            .post(&endpoint)
            .bearer_auth(secret)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body.to_owned())
    };
    let grant = "grant_type=client_credentials";
    let genuine = || post(&operator.secret, grant);
    // As much as it takes to serve a crowd.
    for _ in 0..5 {
        wave(100, genuine, &[200]).await;
    }
    let before = peak_of(&program);
    let grown = || peak_of(&program).saturating_sub(before);

    // By a stranger and by the holder of a key.
    let large = "x".repeat(1_000_000);
    wave(100, || post("nonsense", &large), &[413]).await;
    wave(100, || post(&operator.secret, &large), &[413]).await;
    assert!(grown() < ROOM, "{} MiB after large bodies", grown());

    let many = format!("{grant}{}", "&a=b".repeat(10_000));
    wave(200, || post(&operator.secret, &many), &[413]).await;
    let scopes = format!("{grant}&scope=x{}", "+x".repeat(15_000));
    wave(200, || post(&operator.secret, &scopes), &[400]).await;
    assert!(grown() < ROOM, "{} MiB after many parameters", grown());

    // Each is a run of Argon2 over a mebibyte. A busy machine may put some off.
    for reply in at_once(wrong.iter().map(|secret| post(secret, grant))).await {
        assert!([401, 503].contains(&reply.status.as_u16()), "{reply:?}");
    }
    assert!(grown() < ROOM, "{} MiB after wrong secrets", grown());
    wave(1, genuine, &[200]).await;
}
