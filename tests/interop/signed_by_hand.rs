//! Tokens that the mint would never make, under its own genuine signature: a service must look at
//! every claim itself. And genuine claims under what is no signature.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use reqwest::{Method, StatusCode};
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

use crate::support::private_keys::{P256, body};
use crate::support::server::{Reply, Server, claims, header};

/// Lets the deployment sign with a key that is known here.
pub async fn hold_the_signing_key(server: &Server) {
    let path = "/v1/organizations/operator/signing-keys/import";
    let key = json!({ "private_key_pem": P256, "already_published": true });
    let taken = server.operate(Method::POST, path, key).await;
    taken.expect(StatusCode::CREATED);
}

/// `present` shows a token to a service: of those made here, after a genuine one of the
/// deployment's issuer, only what is sound counts.
pub async fn counts_only_as_it_should(genuine: &str, present: impl AsyncFn(&str) -> Reply) {
    let unchanged = signed(&header(genuine), &claims(genuine));
    present(&unchanged).await.expect(StatusCode::OK);
    let longer = json!({ "typ": "application/at+jwt" });
    let reply = present(&signed(&with(header(genuine), &longer), &claims(genuine))).await;
    let known = [StatusCode::OK, StatusCode::UNAUTHORIZED];
    assert!(known.contains(&reply.status), "{}", reply.text);

    for forged in forged(genuine) {
        let reply = present(&forged).await;
        let (head, claims) = (header(&forged), claims(&forged));
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{head} {claims}");
    }
    // Who it is was made out, but not from where it may be used.
    for networks in [
        json!([]),
        json!("0.0.0.0/0"),
        Value::Null,
        json!(["0.0.0.0/0", "x"]),
        json!(["0.0.0.0/0", null]),
    ] {
        let claims = with(claims(genuine), &json!({ "allowed_ip_cidrs": networks }));
        let reply = present(&signed(&header(genuine), &claims)).await;
        let status = reply.status.as_u16();
        assert!([401, 403].contains(&status), "{status}: {claims}");
    }
}

fn forged(genuine: &str) -> Vec<String> {
    let (head, said) = (header(genuine), claims(genuine));
    let now = said["iat"].as_i64().unwrap();
    let headers = [
        json!({ "typ": "JWT" }),
        json!({ "typ": null }),
        json!({ "typ": "at+jwt2" }),
        json!({ "typ": "revocations+jwt" }),
        json!({ "kid": "another" }),
        json!({ "alg": "none" }),
        json!({ "alg": "ES384" }),
        json!({ "alg": "EdDSA" }),
        json!({ "alg": "RS256" }),
    ];
    let payloads = [
        json!({ "iss": "https://evil.example" }),
        json!({ "iss": format!("{}/", said["iss"].as_str().unwrap()) }),
        json!({ "iss": null }),
        json!({ "aud": null }),
        json!({ "aud": [] }),
        json!({ "aud": "https://api.example/" }),
        json!({ "aud": "http://api.example" }),
        json!({ "aud": ["https://api.example.evil"] }),
        json!({ "exp": null }),
        json!({ "exp": "soon" }),
        json!({ "iat": "now" }),
        json!({ "exp": now - 60 }),
        json!({ "nbf": now + 300 }),
    ];
    let by_headers = headers
        .iter()
        .map(|members| signed(&with(head.clone(), members), &said));
    let by_payloads = payloads
        .iter()
        .map(|members| signed(&head, &with(said.clone(), members)));
    let mut all: Vec<_> = by_headers.chain(by_payloads).collect();
    let shared = json!({ "alg": "HS256" });
    all.push(signed_with_the_public_key(&with(head, &shared), &said));
    all
}

/// With other members; those that are null are taken out.
pub fn with(mut whole: Value, members: &Value) -> Value {
    for (name, value) in members.as_object().unwrap() {
        let whole = whole.as_object_mut().unwrap();
        if value.is_null() && name != "allowed_ip_cidrs" {
            whole.remove(name);
        } else {
            whole.insert(name.clone(), value.clone());
        }
    }
    whole
}

/// Under the key that the deployment holds.
pub fn signed(header: &Value, claims: &Value) -> String {
    let text = signing_input(header, claims);
    let signature = key_pair().sign(&SystemRandom::new(), text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature.unwrap()))
}

/// What everybody knows as a shared secret.
fn signed_with_the_public_key(header: &Value, claims: &Value) -> String {
    let text = signing_input(header, claims);
    let public = hmac::Key::new(hmac::HMAC_SHA256, key_pair().public_key().as_ref());
    let signature = hmac::sign(&public, text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn signing_input(header: &Value, claims: &Value) -> String {
    let encode = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    format!("{}.{}", encode(header), encode(claims))
}

fn key_pair() -> EcdsaKeyPair {
    let der = STANDARD.decode(body(P256)).unwrap();
    let random = SystemRandom::new();
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der, &random).unwrap()
}
