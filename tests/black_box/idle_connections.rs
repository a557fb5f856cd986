//! Ten thousand connections that ask for nothing: what they cost, and that others are served.

use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::support::left_out::left_out;
use crate::support::process::Process;
use crate::support::server::Place;
use crate::support::tls::{Authority, Channel, Files, read_answer};

/// How many at most.
const MANY: u64 = 10_000;

/// Files that this process needs besides, for what other tests do at the same time.
const BESIDES: u64 = 2_000;

/// What one may cost, in bytes. Futures are several times as large where nothing was optimised.
const DEAREST: u64 = if cfg!(debug_assertions) { 64 } else { 32 } * 1024;

/// The same where each holds the state of TLS too.
const DEAREST_BY_TLS: u64 = 2 * DEAREST;

/// How many connections this machine lets a process have, of those that are wanted.
fn allowed() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(MANY + BESIDES);
    let wanted = most.min(MANY + BESIDES);
    if limit.current.is_some_and(|current| current < wanted) {
        let raised = Rlimit {
            current: Some(wanted),
            ..limit
        };
        setrlimit(Resource::Nofile, raised).unwrap();
    }
    let allowed = wanted.saturating_sub(BESIDES);
    if allowed < 1_000 {
        left_out("a limit of open files above 3000", "raise `ulimit -Hn`");
        return None;
    }
    Some(allowed)
}

/// What a process holds in memory now, in bytes.
fn resident(process: &Process) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

const ASK: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: test\r\n\r\n";

async fn idle(address: String) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(ASK).await.unwrap();
    let answer = read_answer(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    stream
}

/// Opens so many, some at a time.
async fn open<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    count: u64,
    one: impl Fn() -> F,
) -> Vec<T> {
    let (mut open, mut opening) = (Vec::new(), JoinSet::new());
    for _ in 0..count {
        if opening.len() >= 64 {
            open.push(opening.join_next().await.unwrap().unwrap());
        }
        opening.spawn(one());
    }
    while let Some(one) = opening.join_next().await {
        open.push(one.unwrap());
    }
    open
}

/// What each of some connections costs.
#[expect(clippy::print_stderr, reason = "a measurement is to be seen")]
#[track_caller]
fn weigh(what: &str, process: &Process, before: Option<u64>, count: u64, dearest: u64) {
    let (Some(before), Some(after)) = (before, resident(process)) else {
        return left_out("/proc", "measure on Linux");
    };
    let each = after.saturating_sub(before) / count;
    eprintln!("{count} idle {what}: {each} bytes each, {after} bytes in all");
    assert!(
        each < dearest,
        "{each} bytes for each of {count} idle {what}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_idle_connections_cost_little_and_hold_nobody_up() {
    let Some(count) = allowed() else { return };
    let place = Place::sqlite();
    // What a process starts with, as a rule: the server allows itself more.
    let process = Process::serve_within(&place, "-Sn 1024", &[("TENMINT_IDLE_TIMEOUT", "10m")]);
    let address = process.base.strip_prefix("http://").unwrap().to_owned();
    // The first ones make what is made once.
    drop(open(64, || idle(address.clone())).await);
    let before = resident(&process);
    let mut connections = open(count, || idle(address.clone())).await;
    assert_eq!(connections.len() as u64, count);
    weigh("connections", &process, before, count, DEAREST);

    let began = Instant::now();
    for _ in 0..50 {
        idle(address.clone()).await;
    }
    let took = began.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?} for 50 requests");
    // None of those that idle was given up for it.
    let middle = connections.len() / 2;
    for index in [0, middle, connections.len() - 1] {
        let stream = &mut connections[index];
        stream.write_all(ASK).await.unwrap();
        assert!(read_answer(stream).await.starts_with("HTTP/1.1 200 "));
    }
    drop(connections);
    // As many as that are no crowd, without anybody having set anything.
    let log = process.log();
    assert!(!log.contains("every connection slot is taken"), "{log}");
    assert!(process.stop());
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_over_tls_cost_little_more() {
    let Some(count) = allowed() else { return };
    // A handshake costs both sides more than anything here.
    let count = count / 10;
    let (place, authority) = (Place::sqlite(), Authority::new());
    let files = Files::new(place.folder(), &authority, &authority.issue(30));
    let long = [("TENMINT_IDLE_TIMEOUT", "10m")];
    let (process, address) = files.serve(&place, &long);
    let client = authority.client(&["http/1.1"], rustls::ALL_VERSIONS);
    let connect = || {
        let (client, address) = (client.clone(), address.clone());
        async move {
            let stream = crate::support::tls::shake_hands(&client, &address).await;
            let mut channel = Channel(stream.unwrap());
            let answer = channel.get("/healthz").await;
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
            channel
        }
    };
    drop(open(64, connect).await);
    let before = resident(&process);
    let mut connections = open(count, connect).await;
    weigh(
        "connections over TLS",
        &process,
        before,
        count,
        DEAREST_BY_TLS,
    );
    let first = &mut connections[0];
    assert!(first.get("/healthz").await.starts_with("HTTP/1.1 200 "));
    drop(connections);
    assert!(process.stop());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_is_too_low_is_said_and_kept_to() {
    const SAID: &str = "lowers the cap on connections";
    let place = Place::sqlite();
    let process = Process::serve_within(&place, "-n 200", &[]);
    process.says(SAID, 1);
    let log = process.log();
    let line = log.lines().find(|line| line.contains(SAID)).unwrap();
    assert!(line.contains("\"granted\":72"), "{line}");
    let address = process.base.strip_prefix("http://").unwrap().to_owned();
    let held = open(60, || idle(address.clone())).await;
    idle(address).await;
    drop(held);
    assert!(process.stop());
}

/// Where files are few, whoever waits for news does not take them all: others want tokens.
#[tokio::test(flavor = "multi_thread")]
async fn of_few_connections_a_quarter_waits_for_the_feed() {
    let place = Place::sqlite();
    let process = Process::serve_within(&place, "-n 200", &[]);
    let feed = "/.well-known/revocations";
    let first = reqwest::get(format!("{}{feed}", process.base)).await;
    let tag = first.unwrap().headers()["etag"]
        .to_str()
        .unwrap()
        .to_owned();
    let ask = format!("GET {feed}?wait=20 HTTP/1.1\r\nhost: test\r\nif-none-match: {tag}\r\n\r\n");
    let address = process.base.strip_prefix("http://").unwrap().to_owned();
    let mut waiting = JoinSet::new();
    for _ in 0..30 {
        let (address, ask) = (address.clone(), ask.clone());
        waiting.spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(ask.as_bytes()).await.unwrap();
            let answered = read_answer(&mut stream);
            let at_once = tokio::time::timeout(Duration::from_secs(5), answered).await;
            (at_once.is_ok(), stream)
        });
    }
    let waited = waiting.join_all().await;
    let at_once = waited.iter().filter(|(at_once, _)| *at_once).count();
    // Of 72 that there can be, 18 wait.
    assert_eq!(at_once, 30 - 18);
    idle(address).await;
    assert!(process.stop());
}
