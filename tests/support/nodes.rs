//! Nodes as they are run, `tenmint serve` in processes of their own, and what their clients see.

use std::time::{Duration, Instant};

use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use super::operations::does;
use super::process::Process;
use super::server::{Key, Place, Reply};

/// How long a client waits for an answer: longer than a server takes over one.
const PATIENCE: Duration = Duration::from_secs(45);

/// One node.
pub struct Node {
    pub process: Process,
    http: Client,
}

/// Where a node runs.
pub struct Seat<'a> {
    /// The database, as the node reaches it.
    pub url: &'a str,
    /// The program that runs it, and becomes it.
    pub by: &'a [&'a str],
    pub listen: &'a str,
}

/// A deployment of several nodes with an organization, `acme`.
pub struct Nodes {
    pub all: Vec<Node>,
    pub operator: String,
    /// The management key of `acme`.
    pub acme: Key,
    /// Where they keep what is their own.
    places: Vec<Place>,
}

impl Node {
    pub fn of(process: Process) -> Self {
        let http = Client::builder().timeout(PATIENCE).build().unwrap();
        Self { process, http }
    }

    /// What came of an exchange; `None` if nothing came.
    pub async fn exchange(&self, key: &Key) -> Option<Reply> {
        answer(exchange(&self.http, &self.process.base, key)).await
    }

    /// What came of a management request; `None` if nothing came.
    pub async fn call(
        &self,
        bearer: &str,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Option<Reply> {
        let request = self
            .http
            .request(method, format!("{}{path}", self.process.base));
        let mut request = request.bearer_auth(bearer);
        if !body.is_null() {
            request = request.json(body);
        }
        answer(request).await
    }

    /// Makes a key, if that is acknowledged.
    pub async fn make(&self, manager: &Key) -> Option<Key> {
        let body = json!({ "name": "test", "scopes": ["read"] });
        let reply = self
            .call(&manager.secret, Method::POST, "/v1/api-keys", &body)
            .await?;
        (reply.status == StatusCode::CREATED).then(|| Key::of(&reply.body))
    }

    /// Does something to a key; whether that was acknowledged.
    pub async fn act(&self, manager: &Key, key: &Key, verb: &str) -> bool {
        let path = format!("/v1/api-keys/{}/{verb}", key.id);
        let reply = self.call(&manager.secret, Method::POST, &path, &Value::Null);
        reply
            .await
            .is_some_and(|reply| reply.status == StatusCode::OK)
    }

    /// Whether `/readyz` says so.
    pub async fn is_ready(&self) -> bool {
        let reply = self
            .http
            .get(format!("{}/readyz", self.process.base))
            .send();
        reply
            .await
            .is_ok_and(|reply| reply.status() == StatusCode::OK)
    }
}

/// Waits for what blocks.
pub fn block<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}

/// An exchange at a base URL.
pub fn exchange(http: &Client, base: &str, key: &Key) -> RequestBuilder {
    http.post(format!("{base}/oauth/token"))
        .basic_auth(&key.id, Some(&key.secret))
        .form(&[("grant_type", "client_credentials")])
}

/// What came of a request; `None` if the connection broke.
pub async fn answer(request: RequestBuilder) -> Option<Reply> {
    Some(Reply::read(request.send().await.ok()?).await)
}

impl Nodes {
    /// As many nodes as there are URLs of the database at a place, which is empty.
    pub async fn on(place: Place, urls: &[&str], flags: &[&str]) -> Self {
        let seats: Vec<_> = urls.iter().map(|url| Seat::here(url)).collect();
        Self::seated(place, &seats, flags).await
    }

    /// The same, each where it is told to be.
    pub async fn seated(place: Place, seats: &[Seat<'_>], flags: &[&str]) -> Self {
        let operator = block(|| does(&place, &["operator-key", "--quiet"]));
        let mut nodes = Self {
            all: Vec::new(),
            operator: operator.trim().to_owned(),
            acme: Key {
                id: String::new(),
                secret: String::new(),
            },
            places: seats.iter().map(|seat| place.beside(seat.url)).collect(),
        };
        nodes.places.push(place);
        for (place, seat) in nodes.places.iter().zip(seats) {
            let process = block(|| seat.serve(place, flags));
            nodes.all.push(Node::of(process));
        }
        nodes.acme = nodes.all[0].organization(&nodes.operator, "acme").await;
        nodes
    }

    /// Where what they share is.
    pub fn place(&self) -> &Place {
        self.places.last().unwrap()
    }

    /// Waits until every node holds a key, and has heard of its making.
    pub async fn warm(&self, key: &Key) {
        for _ in 0..5 {
            for node in &self.all {
                node.exchange(key).await.unwrap().expect(StatusCode::OK);
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    /// Waits until all is well again: each node makes keys, and hears of what the others do.
    pub async fn recover(&self) -> Duration {
        let began = Instant::now();
        while !self.are_well().await {
            assert!(
                began.elapsed() < Duration::from_mins(2),
                "it does not recover"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        began.elapsed()
    }

    async fn are_well(&self) -> bool {
        for node in &self.all {
            let Some(key) = node.make(&self.acme).await else {
                return false;
            };
            for other in &self.all {
                let reply = other.exchange(&key).await;
                if !other.is_ready().await
                    || reply.is_none_or(|reply| reply.status != StatusCode::OK)
                {
                    return false;
                }
            }
        }
        true
    }
}

impl Node {
    /// Makes and bootstraps an organization; gives its management key.
    pub async fn organization(&self, operator: &str, id: &str) -> Key {
        let (path, body) = ("/v1/organizations", json!({ "id": id }));
        let made = self.call(operator, Method::POST, path, &body).await;
        made.unwrap().expect(StatusCode::CREATED);
        let (path, body) = (format!("{path}/{id}/bootstrap"), json!({ "alg": "ES256" }));
        let done = self.call(operator, Method::POST, &path, &body).await;
        Key::of(&done.unwrap().expect(StatusCode::CREATED).body["management_key"])
    }
}

/// A node at a place. All of a deployment have one issuer, wherever they listen.
pub fn serve(place: &Place, flags: &[&str]) -> Process {
    Seat::here(&place.database_url()).serve(place, flags)
}

impl<'a> Seat<'a> {
    /// On this machine, as it is.
    pub fn here(url: &'a str) -> Self {
        Self {
            url,
            by: &[],
            listen: "127.0.0.1:0",
        }
    }

    fn serve(&self, place: &Place, flags: &[&str]) -> Process {
        let arguments = [&["serve"], flags].concat();
        let environment = [
            ("TENMINT_ISSUER", "https://mint.example"),
            ("TENMINT_LISTEN", self.listen),
        ];
        Process::serve_under(self.by, place, &arguments, &environment)
    }
}
