//! The measure of all things here: an axum handler that signs a token of the same size and does
//! nothing else, and one that answers a refusal of the same size.
//!
//! It is served by hyper-util's accept loop as `axum::serve` runs it, less the boxing and the
//! support for upgrades: no limits, no timeouts, nothing but what any axum server does.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use super::Failure;
use super::requests::JWKS;

/// What tenmint answered, for the bare handler to answer likes of.
#[derive(Serialize, Deserialize)]
pub struct Samples {
    /// A token.
    pub issued: Issued,
    /// A refusal.
    pub refused: Refused,
    /// A JWKS.
    pub jwks: String,
}

/// A token answer (RFC 6749 §5.1).
#[derive(Serialize, Deserialize)]
pub struct Issued {
    access_token: String,
    token_type: String,
    expires_in: u64,
    scope: String,
}

/// A refusal (RFC 6749 §5.2).
#[derive(Serialize, Deserialize)]
pub struct Refused {
    error: String,
    error_description: String,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    client_id: String,
    aud: String,
    iat: i64,
    nbf: i64,
    exp: i64,
    jti: String,
    scope: String,
    org: String,
    allowed_ip_cidrs: Vec<String>,
}

struct Bare {
    key: EcdsaKeyPair,
    random: SystemRandom,
    header: String,
    claims: Claims,
    issued: Issued,
    refused: Refused,
    jwks: Bytes,
}

/// The router, answering likes of `samples`.
pub fn router(samples: Samples) -> Result<Router, Failure> {
    let mut segments = samples.issued.access_token.split('.');
    let header = segments.next().ok_or("a token has a header")?.to_owned();
    let claims = segments.next().ok_or("a token has claims")?;
    let claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?;
    let random = SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random)
        .map_err(|_| "the system gives randomness")?;
    let key = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random)?;
    let bare = Arc::new(Bare {
        key,
        random,
        header,
        claims,
        issued: samples.issued,
        refused: samples.refused,
        jwks: samples.jwks.into(),
    });
    Ok(Router::new()
        .route("/oauth/token", post(token))
        .route("/refusal", post(refusal))
        .route("/gateway/verify", get(verify))
        .route(JWKS, get(jwks))
        .with_state(bare))
}

async fn token(State(bare): State<Arc<Bare>>) -> Response {
    let Ok(token) = bare.sign() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    json(&Issued {
        access_token: token,
        token_type: bare.issued.token_type.clone(),
        expires_in: bare.issued.expires_in,
        scope: bare.issued.scope.clone(),
    })
}

async fn refusal(State(bare): State<Arc<Bare>>) -> Response {
    let mut response = json(&bare.refused);
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    response
}

/// What a gateway is told, less finding it out.
async fn verify() -> Response {
    let headers = [
        ("cache-control", "no-store"),
        ("x-tenmint-org", "bench"),
        ("x-tenmint-key-id", "key_01JC7M6R1V9E3Z5T8K2N4P6Q8S"),
        ("x-tenmint-credential", "api_key"),
        (
            "x-tenmint-scope",
            "read:projects/42/** write:projects/42/files/* inference",
        ),
        ("x-tenmint-external-id", ""),
    ];
    headers.into_response()
}

/// What never changes.
async fn jwks(State(bare): State<Arc<Bare>>) -> Response {
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json)], bare.jwks.clone()).into_response()
}

fn json(answer: &impl Serialize) -> Response {
    let json = HeaderValue::from_static("application/json");
    match serde_json::to_vec(answer) {
        Ok(body) => ([(header::CONTENT_TYPE, json)], body).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

impl Bare {
    fn sign(&self) -> Result<String, Failure> {
        let claims = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&self.claims)?);
        let signed = format!("{}.{claims}", self.header);
        let signature = self
            .key
            .sign(&self.random, signed.as_bytes())
            .map_err(|_| "the system gives randomness")?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// Serves until dropped.
pub async fn serve(listener: TcpListener, router: Router) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let _ = Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}
