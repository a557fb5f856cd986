//! Which feeds count and what they void, as `docs/revocation-vectors.json` has it for every language.
//!
//! The file is made here, by fixed keys whose signatures are the same each time:
//! `TENMINT_WRITE_VECTORS=1 cargo test --test verifier feed_vectors` writes it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tenmint::clock::Clock;
use tenmint::crypto::jose::jwks;
use tenmint::crypto::jose::key_pair::{KeyPair, thumbprint};
use tenmint::domain::timestamp::Timestamp;
use tenmint::verifier::{Cause, Document, Fetch, FetchError, Fetching, Follow, Request, Verifier};

use crate::feed::alias;
use crate::issuer::{AUDIENCE, SigningKey};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/revocation-vectors.json");
const ISSUER: &str = "https://auth.example";
const NOW: i64 = 1_790_000_000;
const FAR: i64 = 253_402_300_799;

/// Where a feed is published in turn, beside the keys.
#[derive(Clone)]
struct Site(Arc<(String, Mutex<String>, AtomicUsize)>);

impl Fetch for Site {
    fn get(&self, url: &str) -> Fetching {
        let (jwks, feed, fetches) = &*self.0;
        let text = if url.ends_with("/revocations") {
            fetches.fetch_add(1, Ordering::SeqCst);
            feed.lock().unwrap().clone()
        } else {
            jwks.clone()
        };
        Box::pin(async move {
            if text.is_empty() {
                return Err(FetchError::Status(503));
            }
            let body = text.into_bytes();
            Ok(Document {
                body,
                ..Document::default()
            })
        })
    }
}

fn key(pem: &str) -> SigningKey {
    let (algorithm, brought) = KeyPair::from_pem(pem).unwrap();
    let kid = thumbprint(&brought.pair.public());
    SigningKey {
        pair: brought.pair,
        kid,
        algorithm,
    }
}

/// The one that signs, and one that was withdrawn.
fn keys() -> [SigningKey; 2] {
    [
        key(include_str!("../support/private_keys/openssl_ed25519.pem")),
        key(include_str!("../support/private_keys/python_ed25519.pem")),
    ]
}

fn header(key: &SigningKey, typ: &str) -> Value {
    json!({ "typ": typ, "alg": key.algorithm, "kid": key.kid })
}

fn feed(key: &SigningKey, over: &Value) -> String {
    feed_of_type(key, "revocations+jwt", over)
}

fn feed_of_type(key: &SigningKey, typ: &str, over: &Value) -> String {
    let mut claims = json!({
        "iss": ISSUER, "iat": NOW, "exp": NOW + 300, "seq": NOW * 1_000, "revoked": {},
    });
    for (name, value) in over.as_object().unwrap() {
        claims[name] = value.clone();
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        }
    }
    key.sign(&header(key, typ), &claims)
}

fn token(key: &SigningKey, over: &Value) -> String {
    let mut claims = json!({
        "iss": ISSUER, "sub": "key_1", "client_id": "key_1", "aud": AUDIENCE, "iat": NOW,
        "nbf": NOW, "exp": NOW + 600, "jti": "one", "scope": "read", "org": "acme",
    });
    let members = over.as_object().unwrap().clone();
    claims.as_object_mut().unwrap().extend(members);
    key.sign(&header(key, "at+jwt"), &claims)
}

fn case(name: &str, feeds: &[(String, bool)], tokens: &[(String, bool)]) -> Value {
    let feeds = feeds.iter();
    let tokens = tokens.iter();
    json!({
        "name": name,
        "feeds": feeds.map(|(feed, counts)| json!({ "feed": feed, "counts": counts })).collect::<Vec<_>>(),
        "tokens": tokens.map(|(token, void)| json!({ "token": token, "void": void })).collect::<Vec<_>>(),
    })
}

fn vectors() -> Value {
    let keys = keys();
    let mut cases = alone(&keys);
    cases.extend(kinds(&keys));
    cases.extend(one_after_the_other(&keys));
    cases.push(withdrawn(&keys));
    let [one, two] = &keys;
    let publics: Vec<_> = [one, two].map(|key| key.pair.public()).into();
    let listed: Vec<_> = [one, two]
        .iter()
        .zip(&publics)
        .map(|(key, public)| (&key.kid, key.algorithm, public))
        .collect();
    json!({
        "description": "Revocation feeds, for whoever follows them elsewhere; docs/revocation-feed.md says how. In each case the feeds are shown one after the other, at the instant `now`, to whoever trusts `issuer` and holds `jwks`, and has seen no feed before: those that `counts` are kept, the others change nothing. Afterwards each token, genuine and in force by itself, is `void` or is not.",
        "issuer": ISSUER,
        "now": NOW,
        "jwks": serde_json::from_str::<Value>(&jwks::document(&listed)).unwrap(),
        "cases": cases,
    })
}

/// A feed that voids what has this name.
fn voids(kind: &str, name: &str, before: i64) -> Value {
    json!({ kind: { alias(name): before } })
}

fn plain(key: &SigningKey) -> String {
    token(key, &json!({}))
}

/// Feeds that count by themselves, and such that do not.
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn alone([one, two]: &[SigningKey; 2]) -> Vec<Value> {
    let mut cases = Vec::new();

    let good = feed(one, &json!({}));
    let unsigned = format!("{}.", good.rsplit_once('.').unwrap().0);
    let none = URL_SAFE_NO_PAD
        .encode(json!({ "typ": "revocations+jwt", "alg": "none", "kid": one.kid }).to_string());
    let none = format!("{none}.{}.", good.split('.').nth(1).unwrap());
    let (_, signature) = feed(two, &json!({}))
        .rsplit_once('.')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    let swapped = format!("{}.{signature}", good.rsplit_once('.').unwrap().0);
    let stranger = two.sign(
        &json!({ "typ": "revocations+jwt", "alg": two.algorithm, "kid": "nobody" }),
        &json!({ "iss": ISSUER, "iat": NOW, "exp": NOW + 300, "seq": 1, "revoked": {} }),
    );
    for (name, feed, counts) in [
        ("nothing is revoked", good, true),
        (
            "the long spelling of the type",
            feed_of_type(one, "application/Revocations+JWT", &json!({})),
            true,
        ),
        (
            "members that are not known",
            feed(one, &json!({ "more": [], "revoked": { "more": 1 } })),
            true,
        ),
        (
            "kinds in which nothing is",
            feed(one, &json!({ "revoked": { "keys": {}, "tokens": {} } })),
            true,
        ),
        (
            "a clock that is ahead a little",
            feed(one, &json!({ "iat": NOW + 200, "exp": NOW + 500 })),
            true,
        ),
        (
            "signed by another key of the JWKS",
            feed(two, &json!({})),
            true,
        ),
        ("an access token", plain(one), false),
        (
            "the type of access tokens",
            feed_of_type(one, "at+jwt", &json!({})),
            false,
        ),
        ("the type JWT", feed_of_type(one, "JWT", &json!({})), false),
        (
            "of another issuer",
            feed(one, &json!({ "iss": "https://auth.example/orgs/acme" })),
            false,
        ),
        (
            "of an issuer with a slash",
            feed(one, &json!({ "iss": "https://auth.example/" })),
            false,
        ),
        (
            "past its end",
            feed(one, &json!({ "iat": NOW - 300, "exp": NOW })),
            false,
        ),
        ("without an end", feed(one, &json!({ "exp": null })), false),
        (
            "from far ahead",
            feed(one, &json!({ "iat": NOW + 400, "exp": NOW + 700 })),
            false,
        ),
        (
            "without a place in the order",
            feed(one, &json!({ "seq": null })),
            false,
        ),
        (
            "a place in the order that is text",
            feed(one, &json!({ "seq": "9" })),
            false,
        ),
        (
            "without what is revoked",
            feed(one, &json!({ "revoked": null })),
            false,
        ),
        (
            "what is revoked is a list",
            feed(one, &json!({ "revoked": [] })),
            false,
        ),
        (
            "a kind is a list",
            feed(one, &json!({ "revoked": { "keys": [alias("key_1")] } })),
            false,
        ),
        (
            "an instant is text",
            feed(
                one,
                &json!({ "revoked": { "keys": { alias("key_1"): "soon" } } }),
            ),
            false,
        ),
        ("unsigned", unsigned, false),
        ("the algorithm none", none, false),
        ("the signature of another feed", swapped, false),
        ("signed by a stranger", stranger, false),
        ("not a JWT", "a.b.c".to_owned(), false),
    ] {
        cases.push(case(name, &[(feed, counts)], &[]));
    }
    cases
}

/// What each kind of entry voids, and what it does not.
fn kinds([one, two]: &[SigningKey; 2]) -> Vec<Value> {
    let mut cases = Vec::new();
    let kid = two.kid.as_str();
    for (kind, name) in [
        ("keys", "key_1"),
        ("organizations", "acme"),
        ("tokens", "one"),
        ("signing_keys", kid),
    ] {
        let others = json!({ "client_id": "key_2", "sub": "key_2", "org": "other", "jti": "two" });
        for (when, before, void) in [
            ("after", NOW + 1, true),
            ("at", NOW, false),
            ("before", NOW - 1, false),
        ] {
            // Of a withdrawn signing key nothing counts, whatever it says.
            let before = if kind == "signing_keys" && void {
                FAR
            } else {
                before
            };
            let feeds = [(
                feed(one, &json!({ "revoked": voids(kind, name, before) })),
                true,
            )];
            let bystander = token(one, &others);
            let tokens = [(plain(two), void), (bystander, false)];
            cases.push(case(
                &format!("{kind}: {when} the token was issued"),
                &feeds,
                &tokens,
            ));
        }
        let wrong = ["keys", "organizations", "tokens", "signing_keys"]
            .into_iter()
            .filter(|other| *other != kind);
        let wrong: serde_json::Map<_, _> = wrong
            .map(|other| (other.to_owned(), json!({ alias(name): NOW + 1 })))
            .collect();
        let feeds = [(feed(one, &json!({ "revoked": wrong })), true)];
        cases.push(case(
            &format!("{kind}: the name among others"),
            &feeds,
            &[(plain(two), false)],
        ));
        let plainly = json!({ "revoked": { kind: { name: NOW + 1 } } });
        let feeds = [(feed(one, &plainly), true)];
        cases.push(case(
            &format!("{kind}: the name itself is no alias"),
            &feeds,
            &[(plain(two), false)],
        ));
    }
    cases
}

/// Feeds that come in some order.
fn one_after_the_other([one, _]: &[SigningKey; 2]) -> Vec<Value> {
    let mut cases = Vec::new();
    let revoked = |seq: i64, name: &str| {
        feed(
            one,
            &json!({ "seq": seq, "revoked": voids("keys", name, NOW + 1) }),
        )
    };
    let nothing = |seq: i64| feed(one, &json!({ "seq": seq }));
    let second = token(one, &json!({ "client_id": "key_2", "sub": "key_2" }));
    let both = |first: bool, other: bool| [(plain(one), first), (second.clone(), other)];
    let all = |feeds: Vec<String>| {
        feeds
            .into_iter()
            .map(|feed| (feed, true))
            .collect::<Vec<_>>()
    };
    for (name, feeds, tokens) in [
        (
            "a newer feed takes the place of the one before",
            all(vec![revoked(1, "key_1"), revoked(2, "key_2")]),
            both(false, true),
        ),
        (
            "an older feed adds to it",
            all(vec![revoked(2, "key_1"), revoked(1, "key_2")]),
            both(true, true),
        ),
        (
            "as does one of the same place",
            all(vec![revoked(1, "key_1"), revoked(1, "key_2")]),
            both(true, true),
        ),
        (
            "an older feed takes nothing away",
            all(vec![revoked(2, "key_1"), nothing(1)]),
            both(true, false),
        ),
        (
            "a newer one does, also after an older one",
            all(vec![revoked(2, "key_1"), revoked(1, "key_2"), nothing(3)]),
            both(false, false),
        ),
        (
            "what does not count changes nothing",
            vec![
                (revoked(1, "key_1"), true),
                (feed(one, &json!({ "seq": 2, "exp": NOW })), false),
            ],
            both(true, false),
        ),
    ] {
        cases.push(case(name, &feeds, &tokens));
    }
    cases
}

/// A signing key that is withdrawn vouches for nothing.
fn withdrawn([one, two]: &[SigningKey; 2]) -> Value {
    let kid = two.kid.as_str();
    let withdrawn = feed(
        one,
        &json!({ "seq": 1, "revoked": voids("signing_keys", kid, FAR) }),
    );
    let late = token(
        two,
        &json!({ "iat": NOW + 100_000, "exp": NOW + 200_000, "nbf": NOW }),
    );
    case(
        "a withdrawn signing key signs no feed, and dates its tokens in vain",
        &[(withdrawn, true), (feed(two, &json!({ "seq": 2 })), false)],
        &[(plain(two), true), (late, true), (plain(one), false)],
    )
}

#[test]
fn the_committed_vectors_are_these() {
    let text = format!("{}\n", serde_json::to_string_pretty(&vectors()).unwrap());
    if std::env::var_os("TENMINT_WRITE_VECTORS").is_some() {
        std::fs::write(FILE, &text).unwrap();
    }
    assert!(
        std::fs::read_to_string(FILE).unwrap() == text,
        "write it anew"
    );
}

#[tokio::test]
async fn the_shared_vectors_hold() {
    let vectors: Value = serde_json::from_str(&std::fs::read_to_string(FILE).unwrap()).unwrap();
    let cases = vectors["cases"].as_array().unwrap();
    assert!(cases.len() > 50);
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let clock = Clock::manual(Timestamp::from_unix(vectors["now"].as_i64().unwrap()).unwrap());
        let jwks = vectors["jwks"].to_string();
        let site = Site(Arc::new((jwks, Mutex::default(), AtomicUsize::new(0))));
        let follow = Follow::polling()
            .every(Duration::from_millis(10))
            .let_through_when_stale();
        let verifier = Verifier::builder(ISSUER)
            .audience(AUDIENCE)
            .jwks_url("https://auth.example/jwks");
        let verifier = verifier
            .fetch(site.clone())
            .clock(clock)
            .cooldown(Duration::ZERO);
        let verifier = verifier.follow_revocations(follow).build().unwrap();
        let _ = verifier.ready().await;
        for feed in case["feeds"].as_array().unwrap() {
            let (_, published, fetches) = &*site.0;
            feed["feed"]
                .as_str()
                .unwrap()
                .clone_into(&mut published.lock().unwrap());
            let before = fetches.load(Ordering::SeqCst);
            while fetches.load(Ordering::SeqCst) < before + 2 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        for token in case["tokens"].as_array().unwrap() {
            let text = token["token"].as_str().unwrap();
            let verdict = verifier.verify(text, &Request::default()).await;
            let cause = verdict.err().map(|refused| refused.cause().clone());
            let expected = (token["void"] == true).then_some(Cause::Revoked);
            assert_eq!(cause, expected, "{name}");
        }
        if case["tokens"].as_array().unwrap().is_empty() {
            // Alone, whether it counts shows by whether anything is known.
            let closed = Verifier::builder(ISSUER)
                .audience(AUDIENCE)
                .jwks_url("https://auth.example/jwks");
            let now = Timestamp::from_unix(vectors["now"].as_i64().unwrap()).unwrap();
            let closed = closed.fetch(site.clone()).clock(Clock::manual(now));
            let closed = closed
                .follow_revocations(Follow::polling())
                .build()
                .unwrap();
            let counts = closed.ready().await.is_ok();
            assert_eq!(Value::from(counts), case["feeds"][0]["counts"], "{name}");
        }
    }
}
