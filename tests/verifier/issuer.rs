//! An issuer whose keys and moods a test controls, and tokens of any kind.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tenmint::clock::Clock;
use tenmint::crypto::jose::jwks;
use tenmint::crypto::jose::key_pair::{KeyPair, thumbprint};
use tenmint::domain::signing_key::{Algorithm, Kid};
use tenmint::verifier::{Builder, Verifier};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// What tokens are for.
pub const AUDIENCE: &str = "https://api.example";

/// A running issuer.
pub struct Issuer {
    /// Its `iss`.
    pub url: String,
    /// The verifier's clock: it stands until the test moves it.
    pub clock: Clock,
    /// What it signs with at present.
    pub key: SigningKey,
    pub published: Arc<Published>,
}

/// What it answers.
pub struct Published {
    pub jwks: Mutex<String>,
    pub metadata: Mutex<Value>,
    pub cache_control: Mutex<Option<String>>,
    /// Of the JWKS.
    pub status: Mutex<StatusCode>,
    /// How often the JWKS were asked for.
    pub fetches: AtomicUsize,
    /// How often the metadata were.
    pub discoveries: AtomicUsize,
    /// The revocation feed, and how often it was asked for.
    pub feed: Mutex<Option<String>>,
    pub feed_fetches: AtomicUsize,
    /// Answers wait for a permit each: there are plenty unless a test takes them away.
    pub permits: Semaphore,
}

/// A signing key with its public half.
pub struct SigningKey {
    pub pair: KeyPair,
    pub kid: Kid,
    pub algorithm: Algorithm,
}

impl SigningKey {
    pub fn new(algorithm: Algorithm) -> Self {
        let pair = KeyPair::generate(algorithm.into()).pair;
        let kid = thumbprint(&pair.public());
        Self {
            pair,
            kid,
            algorithm,
        }
    }

    /// Signs whatever it is given.
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        let encode = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let signed = format!("{}.{}", encode(header), encode(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.pair.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    pub fn header(&self) -> Value {
        json!({ "typ": "at+jwt", "alg": self.algorithm, "kid": self.kid })
    }
}

impl Issuer {
    pub async fn start() -> Self {
        Self::below("").await
    }

    /// At `http://127.0.0.1:PORT{path}`.
    pub async fn below(path: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let url = format!("{origin}{path}");
        let metadata = json!({ "issuer": url, "jwks_uri": format!("{url}/keys") });
        let published = Arc::new(Published {
            jwks: Mutex::default(),
            metadata: Mutex::new(metadata),
            cache_control: Mutex::new(Some("max-age=300".to_owned())),
            status: Mutex::new(StatusCode::OK),
            fetches: AtomicUsize::new(0),
            discoveries: AtomicUsize::new(0),
            feed: Mutex::default(),
            feed_fetches: AtomicUsize::new(0),
            permits: Semaphore::new(Semaphore::MAX_PERMITS),
        });
        let well_known = format!("/.well-known/oauth-authorization-server{path}");
        let router = Router::new()
            .route(&format!("{path}/keys"), get(keys))
            .route(&well_known, get(metadata_of))
            .route(&format!("{path}/.well-known/revocations"), get(feed))
            .with_state(Arc::clone(&published));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let issuer = Self {
            url,
            clock: Clock::manual(Clock::system().now()),
            key: SigningKey::new(Algorithm::ES256),
            published,
        };
        issuer.publish(&[&issuer.key]);
        issuer
    }

    /// A verifier that trusts it, with the test's clock.
    pub fn builder(&self) -> Builder {
        Verifier::builder(&self.url)
            .audience(AUDIENCE)
            .clock(self.clock.clone())
    }

    pub fn verifier(&self) -> Verifier {
        self.builder().build().unwrap()
    }

    /// Publishes these keys and no others.
    pub fn publish(&self, keys: &[&SigningKey]) {
        let publics: Vec<_> = keys.iter().map(|key| key.pair.public()).collect();
        let listed: Vec<_> = keys
            .iter()
            .zip(&publics)
            .map(|(key, public)| (&key.kid, key.algorithm, public))
            .collect();
        *self.published.jwks.lock().unwrap() = jwks::document(&listed);
    }

    /// A feed of its own that voids these, as of this many seconds from now.
    pub fn feed(&self, seq: i64, revoked: &Value) -> String {
        self.feed_by(&self.key, seq, revoked)
    }

    pub fn feed_by(&self, key: &SigningKey, seq: i64, revoked: &Value) -> String {
        let now = self.clock.now().unix();
        let claims = json!({
            "iss": self.url, "iat": now, "exp": now + 300, "seq": seq, "revoked": revoked,
        });
        let header = json!({ "typ": "revocations+jwt", "alg": key.algorithm, "kid": key.kid });
        key.sign(&header, &claims)
    }

    /// Publishes this text as its feed, or none.
    pub fn tell(&self, feed: Option<String>) {
        *self.published.feed.lock().unwrap() = feed;
    }

    pub fn feed_fetches(&self) -> usize {
        self.published.feed_fetches.load(Ordering::SeqCst)
    }

    /// Answers for the keys with this status from now on.
    pub fn answer(&self, status: StatusCode) {
        *self.published.status.lock().unwrap() = status;
    }

    pub fn fetches(&self) -> usize {
        self.published.fetches.load(Ordering::SeqCst)
    }

    pub fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// Good claims, with these members put over them.
    pub fn claims(&self, over: &Value) -> Value {
        let now = self.clock.now().unix();
        let mut claims = json!({
            "iss": self.url, "sub": "key_1", "client_id": "key_1", "aud": AUDIENCE,
            "iat": now, "nbf": now, "exp": now + 600, "jti": "one", "scope": "read", "org": "acme",
        });
        let members = over.as_object().unwrap().clone();
        claims.as_object_mut().unwrap().extend(members);
        claims
    }

    /// A token of its own, with these claims put over good ones.
    pub fn token(&self, over: &Value) -> String {
        self.key.sign(&self.key.header(), &self.claims(over))
    }
}

async fn keys(State(published): State<Arc<Published>>) -> Response {
    published.fetches.fetch_add(1, Ordering::SeqCst);
    published.permits.acquire().await.unwrap().forget();
    let mut response = published.jwks.lock().unwrap().clone().into_response();
    *response.status_mut() = *published.status.lock().unwrap();
    if let Some(line) = &*published.cache_control.lock().unwrap() {
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, line.parse().unwrap());
        headers.insert(header::LOCATION, "/elsewhere".parse().unwrap());
    }
    response
}

async fn metadata_of(State(published): State<Arc<Published>>) -> String {
    published.discoveries.fetch_add(1, Ordering::SeqCst);
    published.metadata.lock().unwrap().to_string()
}

async fn feed(State(published): State<Arc<Published>>, headers: HeaderMap) -> Response {
    published.feed_fetches.fetch_add(1, Ordering::SeqCst);
    let Some(text) = published.feed.lock().unwrap().clone() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let tag = format!("W/\"{}\"", &text[text.len() - 20..]);
    if headers
        .get(header::IF_NONE_MATCH)
        .is_some_and(|held| *held == *tag)
    {
        return StatusCode::NOT_MODIFIED.into_response();
    }
    ([(header::ETAG, tag)], text).into_response()
}
