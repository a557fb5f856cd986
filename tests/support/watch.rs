//! What clients see while something happens: each asks again and again, and notes every answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reqwest::{Client, RequestBuilder};
use serde_json::json;
use tokio::task::JoinHandle;

use super::nodes::{Node, answer, exchange};
use super::server::{Key, Reply};

/// What came of one request.
#[derive(Clone, Debug)]
pub struct Seen {
    pub asked: Instant,
    pub took: Duration,
    /// 0 if the connection broke.
    pub status: u16,
    /// What it was told, if it was refused.
    pub refusal: Option<Refusal>,
    /// The key that was made.
    pub made: Option<Key>,
}

/// What a refusal must have, so that a client knows what to do.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub retry_after: bool,
    /// RFC 6749's form, or RFC 9457's.
    pub has_form: bool,
}

/// One client.
pub struct Watch {
    stop: Arc<AtomicBool>,
    running: JoinHandle<Vec<Seen>>,
}

impl Watch {
    /// A client that exchanges a key at a node.
    pub fn exchanges(node: &Node, key: &Key) -> Self {
        let (base, key) = (node.process.base.clone(), key.clone());
        Self::of(move |http| exchange(http, &base, &key))
    }

    /// A client that makes keys at a node.
    pub fn makes(node: &Node, manager: &Key) -> Self {
        let (url, manager) = (
            format!("{}/v1/api-keys", node.process.base),
            manager.clone(),
        );
        let body = json!({ "name": "watch", "scopes": ["read"] });
        Self::of(move |http| http.post(&url).bearer_auth(&manager.secret).json(&body))
    }

    fn of(request: impl Fn(&Client) -> RequestBuilder + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let running = tokio::spawn(async move {
            let http = Client::new();
            let mut seen = Vec::new();
            while !stopped.load(Ordering::SeqCst) {
                let asked = Instant::now();
                let reply = answer(request(&http)).await;
                seen.push(Seen::of(asked, reply.as_ref()));
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            seen
        });
        Self { stop, running }
    }

    /// All that was seen.
    pub async fn end(self) -> Vec<Seen> {
        self.stop.store(true, Ordering::SeqCst);
        self.running.await.unwrap()
    }
}

impl Seen {
    fn of(asked: Instant, reply: Option<&Reply>) -> Self {
        let took = asked.elapsed();
        let refusal = reply.filter(|reply| !reply.status.is_success());
        let refusal = refusal.map(|reply| Refusal {
            retry_after: reply.headers.contains_key("retry-after"),
            has_form: reply.body["error"].is_string() || reply.body["code"].is_string(),
        });
        let made = reply.filter(|reply| reply.status == 201);
        Self {
            asked,
            took,
            status: reply.map_or(0, |reply| reply.status.as_u16()),
            refusal,
            made: made.map(|reply| Key::of(&reply.body)),
        }
    }
}

/// The keys whose making was acknowledged.
pub fn made(seen: &[Seen]) -> Vec<Key> {
    seen.iter().filter_map(|seen| seen.made.clone()).collect()
}

/// Which answers came, one after the other, and until when after an instant: `200 to 4.9 s, 503 to
/// 8.0 s (5.0 s), 200`; in brackets the longest that anybody waited, where that was long.
pub fn story(seen: &[Seen], since: Instant) -> String {
    let mut parts: Vec<(u16, Duration, Duration)> = Vec::new();
    for one in seen {
        let at = one.asked.saturating_duration_since(since);
        match parts.last_mut() {
            Some(part) if part.0 == one.status => {
                part.1 = at;
                part.2 = part.2.max(one.took);
            }
            _ => parts.push((one.status, at, one.took)),
        }
    }
    let told = parts.iter().map(|(status, until, longest)| {
        let waited = if *longest > Duration::from_millis(900) {
            format!(" (up to {:.1} s each)", longest.as_secs_f32())
        } else {
            String::new()
        };
        format!("{status} to {:.1} s{waited}", until.as_secs_f32())
    });
    told.collect::<Vec<_>>().join(", ")
}
