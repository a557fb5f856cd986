//! Forged tokens at the management plane: no header talks it into anything, and it asks nobody.

use std::net::TcpListener;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::{Method, StatusCode};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use ring::{digest, hmac};
use serde_json::{Value, json};

use crate::on_both_engines;
use crate::support::server::{Reply, Server, claims, header};

on_both_engines!(
    a_tampered_token_does_not_count,
    a_token_without_a_signature_does_not_count,
    a_public_key_is_no_shared_secret,
    a_kid_names_a_key_that_is_trusted_or_nothing,
    a_key_that_a_token_brings_along_is_not_trusted,
    what_is_no_token_at_all_is_refused_alike,
);

async fn refused(server: &Server, bearer: &str) {
    let path = "/v1/api-keys";
    let reply: Reply = server.call(bearer, Method::GET, path, Value::Null).await;
    reply.refuses(401, "unauthenticated");
}

/// A genuine token for the management plane.
async fn genuine(server: &Server) -> String {
    let acme = server.organization("acme").await;
    let token = server.management_token(&acme, &[]).await;
    let path = "/v1/api-keys";
    let listed = server.call(&token, Method::GET, path, Value::Null).await;
    listed.expect(StatusCode::OK);
    token
}

fn encode(json: &Value) -> String {
    URL_SAFE_NO_PAD.encode(json.to_string())
}

/// The genuine payload under another header, signed by `sign`.
fn under(token: &str, header: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let payload = token.split('.').nth(1).unwrap();
    let signed = format!("{}.{payload}", encode(header));
    let signature = URL_SAFE_NO_PAD.encode(sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// A header with other members.
fn with(mut header: Value, members: Value) -> Value {
    let Value::Object(members) = members else {
        panic!("members are an object");
    };
    header.as_object_mut().unwrap().extend(members);
    header
}

async fn a_tampered_token_does_not_count(server: Server) {
    let token = genuine(&server).await;
    let segments: Vec<&str> = token.split('.').collect();
    let [head, payload, signature] = segments[..] else {
        panic!("{token}");
    };
    for (member, value) in [
        ("scope", json!("* organizations.*")),
        ("org", json!("operator")),
        ("exp", json!(9_999_999_999_i64)),
        ("client_id", json!("key_00000000000000000000000001")),
        ("aud", json!([server.base])),
        ("x", json!("y")),
    ] {
        let mut claims = claims(&token);
        claims[member] = value;
        refused(&server, &format!("{head}.{}.{signature}", encode(&claims))).await;
    }
    // A flipped character at the beginning of each part.
    for at in [0, head.len() + 1, head.len() + payload.len() + 2] {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        refused(&server, &String::from_utf8(bytes).unwrap()).await;
    }
    let other = server.organization("other").await;
    let other = server.management_token(&other, &[]).await;
    let theirs = other.rsplit('.').next().unwrap();
    for bent in [
        format!("{head}.{payload}"),
        format!("{head}.{payload}."),
        format!("{head}.{payload}.{theirs}"),
        format!("{head}.{payload}.{}", &signature[..signature.len() - 2]),
        format!("{token}."),
        format!("{token}.{signature}"),
        format!("{head}..{payload}.{signature}"),
        format!("{head}.{payload}.{signature}=="),
        format!("{payload}.{head}.{signature}"),
    ] {
        refused(&server, &bent).await;
    }
}

async fn a_token_without_a_signature_does_not_count(server: Server) {
    let token = genuine(&server).await;
    for alg in ["none", "None", "NONE", "nOnE", "", "ES256"] {
        let head = with(header(&token), json!({ "alg": alg }));
        refused(&server, &under(&token, &head, |_| vec![])).await;
        refused(&server, &under(&token, &head, |_| vec![0; 64])).await;
    }
    let mut head = header(&token);
    head.as_object_mut().unwrap().remove("alg");
    refused(&server, &under(&token, &head, |_| vec![])).await;
    for alg in [Value::Null, json!(0), json!(["none", "ES256"])] {
        let head = with(header(&token), json!({ "alg": alg }));
        refused(&server, &under(&token, &head, |_| vec![])).await;
    }
}

async fn a_public_key_is_no_shared_secret(server: Server) {
    let token = genuine(&server).await;
    let jwks = server.get("/.well-known/jwks.json").await;
    let jwk = &jwks.body["keys"][0];
    let half = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
    let point = [vec![4], half("x"), half("y")].concat();
    // SubjectPublicKeyInfo of a P-256 key: a fixed beginning, then the point.
    let beginning = "3059301306072a8648ce3d020106082a8648ce3d030107034200";
    let beginning = (0..beginning.len() / 2)
        .map(|i| u8::from_str_radix(&beginning[2 * i..2 * i + 2], 16).unwrap());
    let spki: Vec<u8> = beginning.chain(point.clone()).collect();
    let base64 = base64::engine::general_purpose::STANDARD.encode(&spki);
    let lines: Vec<_> = base64
        .as_bytes()
        .chunks(64)
        .map(String::from_utf8_lossy)
        .collect();
    let pem = format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        lines.join("\n")
    );
    let secrets: [&[u8]; 8] = [
        &point,
        &point[1..],
        &half("x"),
        &spki,
        pem.as_bytes(),
        pem.trim_end().as_bytes(),
        jwks.text.as_bytes(),
        jwk["x"].as_str().unwrap().as_bytes(),
    ];
    for (alg, hash) in [
        ("HS256", hmac::HMAC_SHA256),
        ("HS384", hmac::HMAC_SHA384),
        ("HS512", hmac::HMAC_SHA512),
    ] {
        let head = with(header(&token), json!({ "alg": alg }));
        for secret in secrets {
            let key = hmac::Key::new(hash, secret);
            let sign = |text: &[u8]| hmac::sign(&key, text).as_ref().to_vec();
            refused(&server, &under(&token, &head, sign)).await;
        }
    }
}

async fn a_kid_names_a_key_that_is_trusted_or_nothing(server: Server) {
    let token = genuine(&server).await;
    let attacker = Attacker::new();
    let jwks = server.get("/orgs/acme/.well-known/jwks.json").await;
    for kid in [
        json!("../../../../../dev/null"),
        json!("/etc/passwd"),
        json!("file:///dev/null"),
        json!("' OR '1'='1"),
        json!("x'; DROP TABLE signing_keys; --"),
        json!("http://127.0.0.1:1/key"),
        json!(""),
        json!("\0"),
        json!("*"),
        json!("k".repeat(4_000)),
        json!(null),
        json!(0),
        json!([header(&token)["kid"]]),
        json!({ "kid": header(&token)["kid"] }),
        header(&token)["kid"].clone(),
        jwks.body["keys"][0]["kid"].clone(),
    ] {
        let head = with(header(&token), json!({ "kid": kid }));
        let sign = |text: &[u8]| attacker.sign(text);
        refused(&server, &under(&token, &head, sign)).await;
    }
    let mut head = header(&token);
    head.as_object_mut().unwrap().remove("kid");
    refused(&server, &under(&token, &head, |text| attacker.sign(text))).await;
    // The tables are still there.
    server.organization("later").await;
}

async fn a_key_that_a_token_brings_along_is_not_trusted(server: Server) {
    let token = genuine(&server).await;
    let attacker = Attacker::new();
    // Whoever followed a URL would knock here, before it could answer.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
    let (jwk, kid) = (attacker.jwk(), attacker.thumbprint());
    for members in [
        json!({ "jwk": jwk }),
        json!({ "jku": url }),
        json!({ "x5u": url }),
        json!({ "x5c": ["MIIB"] }),
        json!({ "x5t#S256": kid }),
        json!({ "crit": ["exp"] }),
        json!({ "crit": ["b64"], "b64": false }),
        json!({ "zip": "DEF" }),
        json!({ "cty": "JWT" }),
    ] {
        for kid in [header(&token)["kid"].clone(), json!(kid)] {
            let head = with(header(&token), members.clone());
            let head = with(head, json!({ "kid": kid }));
            let sign = |text: &[u8]| attacker.sign(text);
            refused(&server, &under(&token, &head, sign)).await;
        }
    }
    let knocked = listener.accept().map(|_| ()).map_err(|why| why.kind());
    assert_eq!(knocked, Err(std::io::ErrorKind::WouldBlock));
}

async fn what_is_no_token_at_all_is_refused_alike(server: Server) {
    let shown = async |bearer: &str| {
        let path = "/v1/api-keys";
        let reply = server.call(bearer, Method::GET, path, Value::Null).await;
        reply.refuses(401, "unauthenticated");
        reply.body["detail"].clone()
    };
    let expected = shown("x").await;
    let deep = URL_SAFE_NO_PAD.encode("[".repeat(3_000));
    let big = "a".repeat(8_000);
    for text in [
        "..",
        "a.b.c",
        "a.b",
        "....",
        "eyJhbGciOiJub25lIn0.e30.",
        "null",
        "{}",
        "=",
        "tmsk_",
        "key_00000000000000000000000001",
        &format!("{deep}.{deep}."),
        &format!("{deep}.e30.AA"),
        &big,
        "%00",
    ] {
        assert_eq!(shown(text).await, expected, "{text}");
    }
}

/// Somebody with a key pair of its own.
struct Attacker(EcdsaKeyPair);

impl Attacker {
    fn new() -> Self {
        let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self(EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap())
    }

    fn sign(&self, text: &[u8]) -> Vec<u8> {
        let signature = self.0.sign(&SystemRandom::new(), text).unwrap();
        signature.as_ref().to_vec()
    }

    fn jwk(&self) -> Value {
        let (x, y) = self.0.public_key().as_ref()[1..].split_at(32);
        let encode = |bytes| URL_SAFE_NO_PAD.encode(bytes);
        json!({ "crv": "P-256", "kty": "EC", "x": encode(x), "y": encode(y) })
    }

    /// RFC 7638: serde_json sorts members.
    fn thumbprint(&self) -> String {
        let digest = digest::digest(&digest::SHA256, self.jwk().to_string().as_bytes());
        URL_SAFE_NO_PAD.encode(digest)
    }
}
