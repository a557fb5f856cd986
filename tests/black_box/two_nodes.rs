//! Two nodes under load: what was taken away at the one is granted there no more once that is
//! answered, and at the other not beyond `STALE_LIMIT`; how much sooner is measured.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::revocation_feed::{alias, feed_path};
use crate::support::left_out::say;
use crate::support::server::{Key, Place, Reply, Server, claims, header};

/// `STALE_LIMIT` where nothing is set: how late another node may hear of anything.
const BOUND: Duration = Duration::from_secs(10);

/// How often each act is done.
const ROUNDS: usize = 10;

/// How many clients each node has.
const CLIENTS: usize = 2;

/// Asks a node for what is about to be taken away.
type Ask = Arc<dyn Fn(&Server) -> RequestBuilder + Send + Sync>;

/// Whether that was granted.
type Granted = Arc<dyn Fn(&Reply) -> bool + Send + Sync>;

struct Nodes {
    near: Arc<Server>,
    far: Arc<Server>,
    acme: Key,
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_from_a_key_is_soon_granted_nowhere() {
    let Some(nodes) = Nodes::start().await else {
        return;
    };
    for what in ["revoke", "disable"] {
        let mut told = Told::of(what);
        for _ in 0..ROUNDS {
            let key = nodes.near.key_with(&nodes.acme, &["read"]).await;
            let path = format!("/v1/api-keys/{}/{what}", key.id);
            let act = nodes.post(&path, &json!({}));
            told.add(nodes.round(exchange(&key, ""), is_ok(), act).await);
        }
    }
    let edits = [
        ("edit of scopes", json!({ "scopes": ["read:a"] }), "read:b"),
        (
            "edit of networks",
            json!({ "allowed_ip_cidrs": ["203.0.113.0/24"] }),
            "read",
        ),
    ];
    for (what, edit, scope) in edits {
        let mut told = Told::of(what);
        for _ in 0..ROUNDS {
            let key = nodes.near.key_with(&nodes.acme, &["read"]).await;
            let path = format!("/v1/api-keys/{}", key.id);
            let act = nodes.near.request(Method::PATCH, &path).json(&edit);
            let act = act.bearer_auth(&nodes.acme.secret);
            told.add(nodes.round(exchange(&key, scope), is_ok(), act).await);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_from_many_keys_is_soon_granted_nowhere() {
    let Some(nodes) = Nodes::start().await else {
        return;
    };
    let acme = &nodes.acme;
    let body = json!({ "name": "reader", "scopes": ["read"] });
    let made = nodes
        .near
        .call(&acme.secret, Method::POST, "/v1/roles", body);
    made.await.expect(StatusCode::CREATED);
    let body = json!({ "name": "holder", "roles": ["reader"] });
    let key = nodes.near.key(acme, body).await;
    let mut told = Told::of("edit of a role");
    for _ in 0..ROUNDS {
        let set = |scope| {
            let edit = nodes.near.request(Method::PATCH, "/v1/roles/reader");
            edit.bearer_auth(&acme.secret)
                .json(&json!({ "scopes": [scope] }))
        };
        Reply::of(set("read")).await.expect(StatusCode::OK);
        let round = nodes.round(exchange(&key, "read:x"), is_ok(), set("write"));
        told.add(round.await);
    }
    let mut told = Told::of("suspension");
    let key = nodes.near.key_with(acme, &["read"]).await;
    for _ in 0..ROUNDS {
        let act = |verb| {
            let path = format!("/v1/organizations/acme/{verb}");
            let request = nodes.near.request(Method::POST, &path);
            request.bearer_auth(&nodes.near.operator)
        };
        let round = nodes.round(exchange(&key, ""), is_ok(), act("suspend"));
        told.add(round.await);
        Reply::of(act("resume")).await.expect(StatusCode::OK);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_withdrawn_soon_counts_nowhere() {
    let Some(nodes) = Nodes::start().await else {
        return;
    };
    let mut told = Told::of("withdrawal of a signing key");
    let key = nodes.near.key_with(&nodes.acme, &["read"]).await;
    for _ in 0..ROUNDS {
        let signed = nodes.near.exchange_at("/orgs/acme", &key, &[]).await;
        let kid = kid_of(&signed);
        let act = nodes.post(&format!("/v1/signing-keys/{kid}/revoke"), &json!({}));
        let ask: Ask = Arc::new({
            let key = key.clone();
            move |server| token_request(server, "/orgs/acme", &key, "")
        });
        let granted: Granted = Arc::new(move |reply| reply.status == 200 && kid_of(reply) == kid);
        told.add(nodes.round(ask, granted, act).await);
    }
    let mut told = Told::of("denial of a token");
    for _ in 0..ROUNDS {
        let token = nodes.near.management_token(&nodes.acme, &[]).await;
        let deny = nodes.near.request(Method::POST, "/oauth/revoke");
        let deny = deny
            .form(&[("token", &token)])
            .bearer_auth(&nodes.acme.secret);
        let ask: Ask = Arc::new(move |server| {
            let request = server.request(Method::GET, "/v1/api-keys?limit=1");
            request.bearer_auth(&token)
        });
        told.add(nodes.round(ask, is_ok(), deny).await);
    }
    let mut told = Told::of("revocation feed");
    for _ in 0..ROUNDS {
        let key = nodes.near.key_with(&nodes.acme, &["read"]).await;
        let act = nodes.post(&format!("/v1/api-keys/{}/revoke", key.id), &json!({}));
        let ask: Ask = Arc::new(|server| server.request(Method::GET, &feed_path("")));
        let name = alias(&key.id);
        let granted: Granted = Arc::new(move |reply| {
            reply.status == 200 && claims(&reply.text)["revoked"]["keys"][&name].is_null()
        });
        told.add(nodes.round(ask, granted, act).await);
    }
}

impl Nodes {
    async fn start() -> Option<Self> {
        // As behind a load balancer: one issuer, whichever answers.
        let flags = ["--issuer", "https://mint.example"];
        let near = Place::postgres().await?.with(&flags).start().await;
        let url = near.place().database_url();
        let far = Arc::new(near.another_node_by(&url, &flags).await);
        let acme = near.organization("acme").await;
        let near = Arc::new(near);
        Some(Self { near, far, acme })
    }

    fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        let request = self.near.request(Method::POST, path).json(body);
        request.bearer_auth(&self.acme.secret)
    }

    /// Does one act at the near node while clients of both ask for what it takes away. How late the
    /// other still granted it: the last of it arrived so long after the act was answered.
    async fn round(&self, ask: Ask, granted: Granted, act: RequestBuilder) -> Duration {
        for server in [&self.near, &self.far] {
            let began = Instant::now();
            // It may not have heard of the making yet.
            while !granted(&Reply::of(ask(server)).await) {
                assert!(began.elapsed() < BOUND, "it is not granted to begin with");
            }
        }
        let near = Load::of(&self.near, &ask, &granted);
        let far = Load::of(&self.far, &ask, &granted);
        tokio::time::sleep(Duration::from_millis(30)).await;
        let reply = Reply::of(act).await;
        let answered = Instant::now();
        assert!(reply.status.is_success(), "{}", reply.text);
        while granted(&Reply::of(ask(&self.far)).await) {
            assert!(answered.elapsed() < 3 * BOUND, "it never heard");
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
        let late = near.end().await;
        let late = late.iter().filter(|(asked, _)| *asked > answered);
        assert_eq!(late.count(), 0, "granted where it was taken away");
        let there = far.end().await;
        let late = there.iter().filter(|(asked, _)| *asked > answered + BOUND);
        assert_eq!(late.count(), 0, "granted long after it was taken away");
        let last = there.iter().map(|(_, arrived)| *arrived).max();
        last.unwrap_or(answered).saturating_duration_since(answered)
    }
}

/// Clients of one node.
struct Load {
    stop: Arc<AtomicBool>,
    running: Vec<JoinHandle<Vec<(Instant, Instant)>>>,
}

impl Load {
    fn of(server: &Arc<Server>, ask: &Ask, granted: &Granted) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let client = |_| {
            let (server, stop) = (Arc::clone(server), Arc::clone(&stop));
            let (ask, granted) = (Arc::clone(ask), Arc::clone(granted));
            tokio::spawn(async move {
                let mut times = Vec::new();
                while !stop.load(Ordering::SeqCst) {
                    let asked = Instant::now();
                    if granted(&Reply::of(ask(&server)).await) {
                        times.push((asked, Instant::now()));
                    }
                }
                times
            })
        };
        let running = (0..CLIENTS).map(client).collect();
        Self { stop, running }
    }

    /// When that was asked, and answered, which was granted.
    async fn end(self) -> Vec<(Instant, Instant)> {
        self.stop.store(true, Ordering::SeqCst);
        let mut times = Vec::new();
        for client in self.running {
            times.extend(client.await.unwrap());
        }
        assert!(!times.is_empty(), "there was no load");
        times
    }
}

/// The delays of one kind of act, told when all were added.
struct Told {
    what: &'static str,
    delays: Vec<Duration>,
}

impl Told {
    fn of(what: &'static str) -> Self {
        let delays = Vec::new();
        Self { what, delays }
    }

    fn add(&mut self, delay: Duration) {
        self.delays.push(delay);
        if self.delays.len() < ROUNDS {
            return;
        }
        self.delays.sort();
        // The delay that so many per cent are not above.
        let at = |part: usize| {
            let rank = (part * ROUNDS).div_ceil(100);
            self.delays[rank - 1].as_secs_f64() * 1_000.0
        };
        say(&format!(
            "{}: granted elsewhere for another {:.1} ms (median), {:.1} ms (p99), {:.1} ms (greatest) \
             of {ROUNDS}; where it was done, never",
            self.what,
            at(50),
            at(99),
            at(100)
        ));
    }
}

fn exchange(key: &Key, scope: &'static str) -> Ask {
    let key = key.clone();
    Arc::new(move |server| token_request(server, "", &key, scope))
}

fn token_request(server: &Server, issuer: &str, key: &Key, scope: &str) -> RequestBuilder {
    let scope = Some(("scope", scope)).filter(|_| !scope.is_empty());
    server.exchange_request(issuer, key, scope.as_slice())
}

fn is_ok() -> Granted {
    Arc::new(|reply| reply.status == StatusCode::OK)
}

fn kid_of(reply: &Reply) -> String {
    let token = reply.expect(StatusCode::OK).body["access_token"].as_str();
    header(token.unwrap())["kid"].as_str().unwrap().to_owned()
}
