//! The verifier: a token that it has seen before, against a token that is new, and against the bare
//! signature.
//!
//! `cargo bench --bench verifier`; with `-- --quick` a try of some seconds. `docs/performance.md`
//! explains the numbers.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench prints what it found"
)]

#[allow(dead_code, reason = "each bench uses its own part of the support")]
#[path = "support/asked.rs"]
mod asked;

use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use asked::{Asked, exit};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey, VerificationAlgorithm};
use serde_json::json;
use tenmint::clock::Clock;
use tenmint::crypto::jose::jwks;
use tenmint::crypto::jose::key_pair::{KeyPair, thumbprint};
use tenmint::domain::scope::Scope;
use tenmint::domain::signing_key::{Algorithm, PublicJwk};
use tenmint::verifier::{Document, Fetch, Fetching, Request, Verifier};

/// A repeated token is checked at least so many times as fast as a signature is verified.
const TARGET: f64 = 20.0;

/// Tokens in turn.
const TOKENS: usize = 256;

const ISSUER: &str = "https://auth.example";
const AUDIENCE: &str = "https://api.example";

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Hands out one JWKS.
struct Held(String);

impl Fetch for Held {
    fn get(&self, _: &str) -> Fetching {
        let body = self.0.clone().into_bytes();
        let max_age = Some(Duration::from_hours(1));
        let etag = None;
        Box::pin(async move {
            Ok(Document {
                body,
                max_age,
                etag,
            })
        })
    }
}

/// What one contender does once, by its turn.
type Act<'a> = Box<dyn Fn(usize) -> bool + 'a>;

fn main() -> ExitCode {
    let is_quick = Asked::of_process().is_quick();
    let (rounds, turn) = if is_quick { (3, 50) } else { (11, 500) };
    let turn = Duration::from_millis(turn);
    let mut algorithms = [Algorithm::ES256, Algorithm::EdDSA].into_iter();
    exit(algorithms.try_for_each(|algorithm| measure(algorithm, rounds, turn)))
}

fn measure(algorithm: Algorithm, rounds: usize, turn: Duration) -> Result<(), Failure> {
    let clock = Clock::manual(Clock::system().now());
    let pair = KeyPair::generate(algorithm.into()).pair;
    let public = pair.public();
    let kid = thumbprint(&public);
    let jwks = jwks::document(&[(&kid, algorithm, &public)]);
    let header = json!({ "typ": "at+jwt", "alg": algorithm, "kid": kid });
    let tokens: Vec<String> = (0..TOKENS)
        .map(|turn| token(&pair, &header.to_string(), &clock, turn))
        .collect();

    let verifier = |remembered: usize| {
        let builder = Verifier::builder(ISSUER).audience(AUDIENCE);
        let builder = builder.jwks_url("https://auth.example/jwks");
        let builder = builder.fetch(Held(jwks.clone())).clock(clock.clone());
        builder.remember(remembered).build()
    };
    let (forgetful, mindful) = (verifier(0)?, verifier(4 * TOKENS)?);
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let request = Request {
        ip: Some("203.0.113.7".parse()?),
    };
    let asked: Scope = "read:projects/42/files".parse()?;
    let check = |verifier: &Verifier, turn: usize| {
        let token = &tokens[turn % TOKENS];
        let verified = runtime.block_on(verifier.verify(black_box(token), &request));
        verified.is_ok_and(|verified| verified.require_scope(&asked).is_ok())
    };
    let key = bare_key(&public)?;
    let signed: Vec<(&str, Vec<u8>)> = tokens
        .iter()
        .filter_map(|token| token.rsplit_once('.'))
        .map(|(signed, signature)| Ok((signed, URL_SAFE_NO_PAD.decode(signature)?)))
        .collect::<Result<_, Failure>>()?;
    let bare = |turn: usize| {
        let (signed, signature) = &signed[turn % TOKENS];
        key.verify(black_box(signed.as_bytes()), signature).is_ok()
    };

    let contenders: [(&str, Act<'_>); 3] = [
        ("ring's signature, bare", Box::new(bare)),
        (
            "verifier, a new token",
            Box::new(|at| check(&forgetful, at)),
        ),
        (
            "verifier, a token seen before",
            Box::new(|at| check(&mindful, at)),
        ),
    ];
    // Each token once with everybody: then the one that remembers has seen them all.
    for (name, act) in &contenders {
        if !(0..TOKENS).all(act) {
            return Err(format!("{name}: refused").into());
        }
    }
    let mut times = vec![Vec::new(); contenders.len()];
    for _ in 0..rounds {
        for ((name, act), times) in contenders.iter().zip(&mut times) {
            times.push(each(act, turn).ok_or_else(|| format!("{name}: refused"))?);
        }
    }
    println!("\n{algorithm}, tokens of {} bytes", tokens[0].len());
    println!("{:34} {:>10} {:>24}", "", "each", "times as fast as bare");
    let bare = times[0].clone();
    for ((name, _), mut times) in contenders.iter().zip(times) {
        let mut ratios: Vec<f64> = bare
            .iter()
            .zip(&times)
            .map(|(bare, own)| bare / own)
            .collect();
        ratios.sort_unstable_by(f64::total_cmp);
        times.sort_unstable_by(f64::total_cmp);
        let (middle, last) = (times.len() / 2, times.len() - 1);
        let [ratio, least, greatest] = [middle, 0, last].map(|at| ratios[at]);
        let each = times[middle] * 1e6;
        println!("{name:34} {each:>7.2} µs {ratio:>8.2} ({least:.2} to {greatest:.2})");
    }
    println!("wanted of a token seen before: {TARGET}");
    Ok(())
}

/// Seconds that one act takes, over a turn; `None` when one of them fails.
fn each(act: &Act<'_>, turn: Duration) -> Option<f64> {
    let start = Instant::now();
    let mut acts = 0_u32;
    while start.elapsed() < turn {
        for _ in 0..64 {
            if !act(acts as usize) {
                return None;
            }
            acts += 1;
        }
    }
    Some(start.elapsed().as_secs_f64() / f64::from(acts))
}

/// A token like the mint's, with two networks.
fn token(pair: &KeyPair, header: &str, clock: &Clock, turn: usize) -> String {
    let (now, key) = (clock.now().unix(), format!("key_{turn:026}"));
    let claims = json!({
        "iss": ISSUER, "sub": key, "client_id": key, "aud": AUDIENCE, "iat": now, "nbf": now,
        "exp": now + 600, "jti": format!("{turn:022}"), "org": "acme",
        "scope": "inference read:projects/**", "allowed_ip_cidrs": ["203.0.113.0/24", "2001:db8::/32"],
    });
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let signed = format!("{}.{}", encode(header), encode(&claims.to_string()));
    let signature = URL_SAFE_NO_PAD.encode(pair.sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

fn bare_key(public: &PublicJwk) -> Result<UnparsedPublicKey<Vec<u8>>, Failure> {
    let half = |text: &str| URL_SAFE_NO_PAD.decode(text);
    let (algorithm, bytes): (&'static dyn VerificationAlgorithm, _) = match public {
        PublicJwk::Ec { x, y, .. } => (
            &ECDSA_P256_SHA256_FIXED,
            [vec![4], half(x)?, half(y)?].concat(),
        ),
        PublicJwk::Okp { x, .. } => (&ED25519, half(x)?),
        PublicJwk::Rsa { .. } => return Err("no RSA key is measured".into()),
    };
    Ok(UnparsedPublicKey::new(algorithm, bytes))
}
