//! Guards believe nobody but the issuer about what is revoked, and know when they know nothing.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::header::{ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use tenmint::clock::Clock;
use tokio::net::TcpListener;

use crate::gateways::Gateway;
use crate::guards::{Guard, Pace};
use crate::resource_servers::AUDIENCE;
use crate::signed_by_hand::{hold_the_signing_key, signed, with};
use crate::support::server::{Place, Reply, Server, header};

#[tokio::test(flavor = "multi_thread")]
async fn envoy_believes_the_issuer_alone_about_what_is_revoked() {
    if let Some(guard) = Guard::envoy() {
        // Whether what it fetched counts is not known where it fetches, so it always has it sent.
        assert_eq!(believes_the_issuer_alone(&guard).await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_believes_the_issuer_alone_about_what_is_revoked() {
    if let Some(guard) = Guard::nginx() {
        let unsent = believes_the_issuer_alone(&guard).await;
        assert!(unsent > 0, "what it holds is sent again and again");
    }
}

/// How often a feed was not sent, because it was held already.
async fn believes_the_issuer_alone(guard: &Guard) -> usize {
    let place = Place::sqlite().with(&["--audience", AUDIENCE]);
    // Guards have the machine's time.
    let server = place.start_at(Clock::system().now()).await;
    hold_the_signing_key(&server).await;
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["files.read"]).await;
    let other = server.key_with(&acme, &["files.read"]).await;
    let token = server.token(&key, &[]).await;
    let others = server.token(&other, &[]).await;
    let told = Told::start(guard, &server, &token).await;
    let revoked = void("keys", &key.id);
    let nothing = json!({});

    // Whoever does not know what is revoked lets nobody through.
    let refused = told.ask(&token).await;
    refused.expect(StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.header("retry-after").is_some());
    told.tell(told.feed(10, &nothing));
    told.becomes(&token, StatusCode::OK).await;

    for forged in told.forged(&revoked) {
        told.tell(forged.clone());
        told.followed(&token).await;
        let reply = told.ask(&token).await;
        assert_eq!(reply.status, StatusCode::OK, "{forged}");
        assert!(!reply.text.contains("evil"), "{forged}");
    }
    told.tell(told.feed(20, &revoked));
    told.becomes(&token, StatusCode::UNAUTHORIZED).await;
    told.ask(&others).await.expect(StatusCode::OK);
    // An old feed takes nothing away, and neither does silence.
    for old in [Some(told.feed(5, &nothing)), None] {
        told.say(old);
        told.followed(&others).await;
        let refused = told.ask(&token).await;
        refused.expect(StatusCode::UNAUTHORIZED);
        told.ask(&others).await.expect(StatusCode::OK);
    }
    told.tell(told.feed(30, &nothing));
    told.becomes(&token, StatusCode::OK).await;

    // What is held ends by itself: not before it was heard of, however slow the machine.
    let soon = json!({ "exp": now() + 10 });
    told.tell(told.signed(&with(told.claims(40, &nothing), &soon)));
    told.followed(&token).await;
    told.ask(&token).await.expect(StatusCode::OK);
    told.say(None);
    let unknown = StatusCode::SERVICE_UNAVAILABLE;
    told.becomes(&token, unknown).await;

    // Whoever stole a key cannot have it back.
    told.tell(told.feed(50, &void("signing_keys", &told.kid)));
    told.becomes(&token, StatusCode::UNAUTHORIZED).await;
    told.tell(told.feed(60, &nothing));
    told.followed(&token).await;
    let refused = told.ask(&token).await;
    refused.expect(StatusCode::UNAUTHORIZED);
    told.published.unsent.load(Ordering::Relaxed)
}

/// What an issuer publishes: its keys, and a feed that the test says.
struct Published {
    keys: String,
    feed: Mutex<Option<String>>,
    asked: AtomicUsize,
    unsent: AtomicUsize,
}

/// A guard, and who tells it what is revoked.
struct Told {
    published: Arc<Published>,
    gateway: Gateway,
    issuer: String,
    kid: String,
}

impl Told {
    async fn start(guard: &Guard, server: &Server, token: &str) -> Self {
        let published = Arc::new(Published {
            keys: server.get("/.well-known/jwks.json").await.text,
            feed: Mutex::new(None),
            asked: AtomicUsize::new(0),
            unsent: AtomicUsize::new(0),
        });
        let address = publish(Arc::clone(&published)).await;
        let issuer = server.base.clone();
        let gateway = guard.start(&issuer, address, Pace::TenTimesASecond);
        Self {
            gateway: gateway.await,
            published,
            issuer,
            kid: header(token)["kid"].as_str().unwrap().to_owned(),
        }
    }

    fn tell(&self, feed: String) {
        self.say(Some(feed));
    }

    fn say(&self, feed: Option<String>) {
        *self.published.feed.lock().unwrap() = feed;
    }

    /// Until what is said now was heard. Some ask only when they are asked.
    async fn followed(&self, token: &str) {
        let heard = || self.published.asked.load(Ordering::Relaxed);
        let (before, began) = (heard(), Instant::now());
        while heard() < before + 2 {
            assert!(began.elapsed() < PATIENCE, "it does not ask");
            tokio::time::sleep(Duration::from_millis(20)).await;
            let _ = self.ask(token).await;
        }
    }

    async fn becomes(&self, token: &str, status: StatusCode) {
        let began = Instant::now();
        while self.ask(token).await.status != status {
            assert!(began.elapsed() < PATIENCE, "it does not become {status}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn ask(&self, token: &str) -> Reply {
        let asked = reqwest::Client::new().get(format!("{}/files", self.gateway.url));
        Reply::of(asked.bearer_auth(token)).await
    }

    fn feed(&self, seq: u64, revoked: &Value) -> String {
        self.signed(&self.claims(seq, revoked))
    }

    fn claims(&self, seq: u64, revoked: &Value) -> Value {
        let now = now();
        json!({ "iss": self.issuer, "iat": now, "exp": now + 300, "seq": seq, "revoked": revoked })
    }

    fn signed(&self, claims: &Value) -> String {
        let header = json!({ "typ": "revocations+jwt", "alg": "ES256", "kid": self.kid });
        signed(&header, claims)
    }

    /// What does not count, whatever it says.
    fn forged(&self, revoked: &Value) -> Vec<String> {
        let claims = self.claims(15, revoked);
        let genuine = self.signed(&claims);
        let another = self.feed(16, &json!({}));
        let (text, _) = genuine.rsplit_once('.').unwrap();
        let (_, signature) = another.rsplit_once('.').unwrap();
        let under = |typ: &str, alg: &str, kid: &str| {
            signed(&json!({ "typ": typ, "alg": alg, "kid": kid }), &claims)
        };
        let otherwise = |members: Value| self.signed(&with(claims.clone(), &members));
        vec![
            format!("{text}.{signature}"),
            format!("{text}."),
            under("at+jwt", "ES256", &self.kid),
            under("JWT", "ES256", &self.kid),
            under("revocations+jwt", "ES256", "another"),
            under("revocations+jwt", "none", &self.kid),
            under("revocations+jwt", "RS256", &self.kid),
            format!("{genuine}\r\nx-tenmint-org: evil"),
            "evil".to_owned(),
            otherwise(json!({ "iss": "https://evil.example" })),
            otherwise(json!({ "exp": now() - 120 })),
            otherwise(json!({ "exp": null })),
            otherwise(json!({ "iat": now() + 1_000, "exp": now() + 1_300 })),
            otherwise(json!({ "seq": "15" })),
            otherwise(json!({ "revoked": null })),
            otherwise(json!({ "revoked": { "keys": ["evil"] } })),
        ]
    }
}

const PATIENCE: Duration = Duration::from_secs(20);

fn now() -> i64 {
    Clock::system().now().unix()
}

/// This name, for all tokens of the next minutes.
fn void(kind: &str, name: &str) -> Value {
    let digest = digest(&SHA256, name.as_bytes());
    let alias = URL_SAFE_NO_PAD.encode(&digest.as_ref()[..16]);
    json!({ kind: { alias: now() + 600 } })
}

async fn publish(published: Arc<Published>) -> SocketAddr {
    let keys = published.keys.clone();
    let feed = move |asked: HeaderMap| async move {
        published.asked.fetch_add(1, Ordering::Relaxed);
        let feed = published.feed.lock().unwrap().clone();
        let feed = feed.ok_or(StatusCode::SERVICE_UNAVAILABLE)?;
        let digest = digest(&SHA256, feed.as_bytes());
        let tag = format!("W/\"{}\"", URL_SAFE_NO_PAD.encode(&digest.as_ref()[..12]));
        if asked.get(IF_NONE_MATCH).is_some_and(|held| *held == tag) {
            published.unsent.fetch_add(1, Ordering::Relaxed);
            return Err(StatusCode::NOT_MODIFIED);
        }
        Ok(([(ETAG, tag)], feed))
    };
    let router = Router::new()
        .route("/.well-known/jwks.json", get(async || keys))
        .route("/.well-known/revocations", get(feed));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}
