//! A server to try, and a peer that writes its own bytes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Extension;
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::http::Peer;
use crate::serve::{Drained, Limits, run};

/// Far beyond anything a test waits for, however busy the machine.
pub(super) const AGES: Duration = Duration::from_secs(30);

pub(super) const GET: &str = "GET / HTTP/1.1\r\nhost: test\r\n\r\n";

/// Answered when the test says so.
pub(super) const HELD: &str = "GET /held HTTP/1.1\r\nhost: test\r\n\r\n";

/// The beginning of an HTTP/2 connection: the preface and an empty SETTINGS frame.
pub(super) const HTTP2_HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A server under test.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    stop: Arc<Notify>,
    end: JoinHandle<Drained>,
    /// One permit for each request that `/held` has received so far.
    arrived: Arc<Semaphore>,
    /// One permit for each request that `/held` may answer.
    released: Arc<Semaphore>,
}

impl Server {
    pub(super) async fn start(limits: Limits) -> Self {
        let arrived = Arc::new(Semaphore::new(0));
        let released = Arc::new(Semaphore::new(0));
        let (arrivals, releases) = (Arc::clone(&arrived), Arc::clone(&released));
        let held = || async move {
            arrivals.add_permits(1);
            releases.acquire_owned().await.unwrap().forget();
            "at last"
        };
        let router = Router::new()
            .route("/", get(|| async { "hello" }))
            .route("/peer", get(peer))
            .route("/echo", post(|body: String| async { body }))
            .route("/panic", get(panics))
            .route("/held", get(held));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(Notify::new());
        let stopped = Arc::clone(&stop).notified_owned();
        let end = tokio::spawn(run(listener, router, limits, stopped));
        Self {
            address,
            stop,
            end,
            arrived,
            released,
        }
    }

    /// Asks the server to shut down.
    pub(super) fn stop(&self) {
        self.stop.notify_one();
    }

    /// Drops the server without asking.
    pub(super) fn drop_it(&self) {
        self.end.abort();
    }

    /// How the server ended, once it has.
    pub(super) async fn ended(self) -> Drained {
        timeout(AGES, self.end).await.unwrap().unwrap()
    }

    /// Waits until `count` more requests have reached `/held`.
    pub(super) async fn holds(&self, count: u32) {
        let arrived = timeout(AGES, self.arrived.acquire_many(count)).await;
        arrived.unwrap().unwrap().forget();
    }

    /// Lets `/held` answer `count` requests.
    pub(super) fn release(&self, count: usize) {
        self.released.add_permits(count);
    }

    pub(super) async fn connect(&self) -> Client {
        Client(TcpStream::connect(self.address).await.unwrap())
    }

    /// Whether a fresh connection is answered.
    pub(super) async fn serves(&self) -> bool {
        self.connect().await.ask(GET).await.ends_with("hello")
    }

    /// The same over HTTP/2, as another client on another connection.
    pub(super) async fn http2(&self, path: &str) -> reqwest::Result<String> {
        let client = reqwest::Client::builder().http2_prior_knowledge().build()?;
        let url = format!("http://{}{path}", self.address);
        client.get(url).send().await?.text().await
    }
}

/// A peer that writes its own bytes.
pub(super) struct Client(pub(super) TcpStream);

impl Client {
    pub(super) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// What comes back to a request, once it is complete.
    pub(super) async fn ask(&mut self, request: &str) -> String {
        self.send(request).await;
        self.answer().await
    }

    /// One answer with its `content-length`, or what there was of it when the connection ended.
    pub(super) async fn answer(&mut self) -> String {
        let mut text = String::new();
        let complete = async {
            let mut buffer = [0; 4096];
            while !is_complete(&text) {
                match self.0.read(&mut buffer).await {
                    Ok(0) | Err(_) => return,
                    Ok(count) => text.push_str(str::from_utf8(&buffer[..count]).unwrap()),
                }
            }
        };
        timeout(AGES, complete).await.unwrap();
        text
    }

    /// Waits for the server to end the connection, by a close or by a reset.
    pub(super) async fn ended(&mut self) {
        let mut buffer = [0; 4096];
        let end = async { while !matches!(self.0.read(&mut buffer).await, Ok(0) | Err(_)) {} };
        timeout(AGES, end).await.unwrap();
    }

    /// Whether the server still leaves the connection open, after a moment to close it in.
    pub(super) async fn is_open(&mut self) -> bool {
        let mut buffer = [0; 4096];
        timeout(Duration::from_millis(50), self.0.read(&mut buffer))
            .await
            .is_err()
    }
}

async fn peer(Extension(peer): Extension<Peer>) -> String {
    peer.0.to_string()
}

async fn panics() -> &'static str {
    panic!("a handler's panic, on purpose")
}

fn is_complete(answer: &str) -> bool {
    let Some((head, body)) = answer.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.parse().unwrap());
    body.len() >= length
}
