//! Forged tokens: no header talks the verifier into anything, and it asks nobody but its issuer.

use std::net::TcpListener;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::{Value, json};
use tenmint::domain::signing_key::{Algorithm, PublicJwk};
use tenmint::verifier::{Cause, Request, Verifier};

use crate::issuer::{Issuer, SigningKey};

/// An issuer, its verifier, and a token that counts: whatever is bent is bent from this.
async fn genuine() -> (Issuer, Verifier, String) {
    let issuer = Issuer::start().await;
    let verifier = issuer.verifier();
    let token = issuer.token(&json!({}));
    verifier.verify(&token, &Request::default()).await.unwrap();
    (issuer, verifier, token)
}

async fn refused(verifier: &Verifier, token: &str) -> Cause {
    let verdict = verifier.verify(token, &Request::default()).await;
    let cause = verdict.expect_err(token).cause().clone();
    let of_a_token = matches!(
        cause,
        Cause::Malformed | Cause::UnknownKey | Cause::Signature
    );
    assert!(of_a_token, "{cause:?}: {token}");
    cause
}

fn encode(json: &Value) -> String {
    URL_SAFE_NO_PAD.encode(json.to_string())
}

/// The payload of a token under another header, signed by `sign`.
fn under(token: &str, header: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let payload = token.split('.').nth(1).unwrap();
    let signed = format!("{}.{payload}", encode(header));
    let signature = URL_SAFE_NO_PAD.encode(sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// A header with other members.
fn with(mut header: Value, members: &Value) -> Value {
    let members = members.as_object().unwrap().clone();
    header.as_object_mut().unwrap().extend(members);
    header
}

#[tokio::test]
async fn a_token_without_a_signature_does_not_count() {
    let (issuer, verifier, token) = genuine().await;
    for alg in ["none", "None", "NONE", "nOnE", "", "ES256"] {
        let head = with(issuer.key.header(), &json!({ "alg": alg }));
        refused(&verifier, &under(&token, &head, |_| vec![])).await;
        refused(&verifier, &under(&token, &head, |_| vec![0; 64])).await;
    }
    for alg in [json!(null), json!(0), json!(["none", "ES256"])] {
        let head = with(issuer.key.header(), &json!({ "alg": alg }));
        refused(&verifier, &under(&token, &head, |_| vec![])).await;
    }
    let (signed, _) = token.rsplit_once('.').unwrap();
    refused(&verifier, signed).await;
    refused(&verifier, &format!("{signed}.")).await;
}

#[tokio::test]
async fn a_public_key_is_no_shared_secret() {
    let (issuer, verifier, token) = genuine().await;
    let PublicJwk::Ec { x, y, .. } = issuer.key.pair.public() else {
        panic!("an ES256 key");
    };
    let half = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
    let point = [vec![4], half(&x), half(&y)].concat();
    let jwks = issuer.published.jwks.lock().unwrap().clone();
    let secrets = [
        &point,
        &point[1..],
        &half(&x),
        x.as_bytes(),
        jwks.as_bytes(),
    ];
    for (alg, hash) in [
        ("HS256", hmac::HMAC_SHA256),
        ("HS384", hmac::HMAC_SHA384),
        ("HS512", hmac::HMAC_SHA512),
    ] {
        let head = with(issuer.key.header(), &json!({ "alg": alg }));
        for secret in secrets {
            let key = hmac::Key::new(hash, secret);
            let sign = |text: &[u8]| hmac::sign(&key, text).as_ref().to_vec();
            refused(&verifier, &under(&token, &head, sign)).await;
        }
    }
}

#[tokio::test]
async fn a_key_signs_with_its_own_algorithm_alone() {
    let (issuer, verifier, token) = genuine().await;
    let genuine = |text: &[u8]| issuer.key.pair.sign(text).as_ref().to_vec();
    for alg in [
        "EdDSA", "Ed25519", "ES384", "ES512", "RS256", "PS256", "ES256K", "es256",
    ] {
        let head = with(issuer.key.header(), &json!({ "alg": alg }));
        refused(&verifier, &under(&token, &head, genuine)).await;
    }
    // A JWKS that gives a key another algorithm than it has gives no key at all.
    let jwks = issuer.published.jwks.lock().unwrap().clone();
    for alg in ["EdDSA", "HS256", "none"] {
        let other = Issuer::start().await;
        let lied = jwks.replace("ES256", alg);
        *other.published.jwks.lock().unwrap() = lied;
        let ready = other.verifier().ready().await.unwrap_err();
        assert_eq!(ready.cause(), &Cause::Unavailable, "{alg}");
    }
}

#[tokio::test]
async fn a_kid_names_a_key_that_is_trusted_or_nothing() {
    let (issuer, verifier, token) = genuine().await;
    let attacker = SigningKey::new(Algorithm::ES256);
    let theirs = |text: &[u8]| attacker.pair.sign(text).as_ref().to_vec();
    for kid in [
        json!("../../../../../dev/null"),
        json!("/etc/passwd"),
        json!("file:///dev/null"),
        json!("' OR '1'='1"),
        json!("http://127.0.0.1:1/key"),
        json!(""),
        json!("\0"),
        json!("*"),
        json!("k".repeat(2_000)),
        json!(null),
        json!(0),
        json!([issuer.key.kid]),
        json!({ "kid": issuer.key.kid }),
        json!(issuer.key.kid),
        json!(attacker.kid),
    ] {
        let head = with(issuer.key.header(), &json!({ "kid": kid }));
        refused(&verifier, &under(&token, &head, theirs)).await;
    }
    let mut head = issuer.key.header();
    head.as_object_mut().unwrap().remove("kid");
    let genuine = |text: &[u8]| issuer.key.pair.sign(text).as_ref().to_vec();
    refused(&verifier, &under(&token, &head, genuine)).await;
}

#[tokio::test]
async fn a_key_that_a_token_brings_along_is_not_trusted() {
    let (issuer, verifier, token) = genuine().await;
    let attacker = SigningKey::new(Algorithm::ES256);
    // Whoever followed a URL would knock here.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
    for members in [
        json!({ "jwk": attacker.pair.public() }),
        json!({ "jku": url }),
        json!({ "x5u": url }),
        json!({ "x5c": ["MIIB"] }),
        json!({ "crit": ["exp"] }),
        json!({ "crit": [] }),
        json!({ "crit": ["b64"], "b64": false }),
        json!({ "zip": "DEF" }),
    ] {
        for kid in [&issuer.key.kid, &attacker.kid] {
            let head = with(issuer.key.header(), &members);
            let head = with(head, &json!({ "kid": kid }));
            let theirs = |text: &[u8]| attacker.pair.sign(text).as_ref().to_vec();
            refused(&verifier, &under(&token, &head, theirs)).await;
        }
    }
    let knocked = listener.accept().map(|_| ()).map_err(|why| why.kind());
    assert_eq!(knocked, Err(std::io::ErrorKind::WouldBlock));
    // And the issuer itself was asked once more at most, for the name it does not know.
    assert!(issuer.fetches() <= 2);
}

#[tokio::test]
async fn what_the_issuer_marked_critical_is_not_passed_over() {
    let (issuer, verifier, token) = genuine().await;
    let head = with(issuer.key.header(), &json!({ "crit": ["x"], "x": 1 }));
    let genuine = |text: &[u8]| issuer.key.pair.sign(text).as_ref().to_vec();
    refused(&verifier, &under(&token, &head, genuine)).await;
}

#[tokio::test]
async fn what_is_no_token_at_all_is_refused_and_asks_nobody() {
    let (issuer, verifier, _) = genuine().await;
    let deep = URL_SAFE_NO_PAD.encode("[".repeat(1_500));
    for text in [
        "",
        ".",
        "..",
        "....",
        "a.b.c",
        "eyJhbGciOiJub25lIn0.e30.",
        "null",
        "tmsk_01ARZ3NDEKTSV4RRFFQ69G5FAV_x",
        &format!("{deep}.{deep}."),
        &"a".repeat(6_144),
        &"a".repeat(1_000_000),
        "é.é.é",
    ] {
        assert_eq!(refused(&verifier, text).await, Cause::Malformed);
    }
    assert_eq!(issuer.fetches(), 1);
}
