//! A verifier that follows the revocation feed refuses what is revoked, and believes nobody but the
//! issuer about it.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use tenmint::domain::signing_key::Algorithm;
use tenmint::verifier::{BuildError, Cause, Follow, Request, Verifier};

use crate::issuer::{Issuer, SigningKey};

const OFTEN: Duration = Duration::from_millis(10);

fn follow() -> Follow {
    Follow::polling().every(OFTEN)
}

fn verifier(issuer: &Issuer) -> Verifier {
    let builder = issuer.builder().cooldown(Duration::ZERO);
    builder.follow_revocations(follow()).build().unwrap()
}

pub fn alias(name: &str) -> String {
    URL_SAFE_NO_PAD.encode(&digest(&SHA256, name.as_bytes()).as_ref()[..16])
}

/// Voids a name of this kind for tokens of the next hour.
fn void(issuer: &Issuer, kind: &str, name: &str) -> Value {
    json!({ kind: { alias(name): issuer.clock.now().unix() + 3_600 } })
}

async fn cause(verifier: &Verifier, token: &str) -> Option<Cause> {
    let verified = verifier.verify(token, &Request::default()).await;
    verified.err().map(|refused| refused.cause().clone())
}

/// Until what is published now was read, and whatever it was asked for before.
async fn followed(issuer: &Issuer) {
    let before = issuer.feed_fetches();
    while issuer.feed_fetches() < before + 3 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn whatever_a_feed_names_is_void_also_when_it_is_remembered() {
    let issuer = Issuer::start().await;
    let mut seq = 1;
    issuer.tell(Some(issuer.feed(seq, &json!({}))));
    let verifier = verifier(&issuer);
    let token = issuer.token(&json!({}));
    assert_eq!(cause(&verifier, &token).await, None);
    let kid = issuer.key.kid.to_string();
    for (kind, name) in [
        ("keys", "key_1"),
        ("organizations", "acme"),
        ("tokens", "one"),
        ("signing_keys", &*kid),
    ] {
        for (revoked, expected) in [
            (void(&issuer, kind, name), Some(Cause::Revoked)),
            // Of another kind, of another name, from before the token was issued.
            (void(&issuer, "others", name), None),
            (void(&issuer, kind, "another"), None),
            (
                json!({ kind: { alias(name): issuer.clock.now().unix() } }),
                None,
            ),
        ] {
            // A key that a feed withdraws signs no feed after it.
            if kind == "signing_keys" && expected.is_none() {
                continue;
            }
            seq += 1;
            issuer.tell(Some(issuer.feed(seq, &revoked)));
            followed(&issuer).await;
            assert_eq!(cause(&verifier, &token).await, expected, "{kind} {revoked}");
        }
    }
}

#[tokio::test]
async fn nothing_is_let_through_before_the_first_feed() {
    let issuer = Issuer::start().await;
    issuer.tell(Some(issuer.feed(1, &void(&issuer, "keys", "key_1"))));
    let token = issuer.token(&json!({}));
    assert_eq!(
        cause(&verifier(&issuer), &token).await,
        Some(Cause::Revoked)
    );

    issuer.tell(None);
    let verifier = verifier(&issuer);
    assert_eq!(cause(&verifier, &token).await, Some(Cause::Unavailable));
    assert!(verifier.ready().await.is_err());
    issuer.tell(Some(issuer.feed(1, &json!({}))));
    followed(&issuer).await;
    verifier.ready().await.unwrap();
    assert_eq!(cause(&verifier, &token).await, None);
}

#[tokio::test]
async fn a_feed_that_cannot_be_had_counts_until_it_ends() {
    let issuer = Issuer::start().await;
    issuer.tell(Some(issuer.feed(1, &void(&issuer, "keys", "key_2"))));
    let closed = verifier(&issuer);
    let open = follow().let_through_when_stale();
    let open = issuer.builder().follow_revocations(open).build().unwrap();
    let good = issuer.token(&json!({}));
    let revoked = issuer.token(&json!({ "client_id": "key_2", "sub": "key_2" }));
    for verifier in [&closed, &open] {
        assert_eq!(cause(verifier, &good).await, None);
    }
    issuer.tell(None);
    for (seconds, of_closed) in [(299, None), (1, Some(Cause::Unavailable))] {
        issuer.advance(seconds);
        assert_eq!(cause(&closed, &good).await, of_closed);
        assert_eq!(cause(&open, &good).await, None);
        // What is known to be revoked stays so.
        for verifier in [&closed, &open] {
            assert_eq!(cause(verifier, &revoked).await, Some(Cause::Revoked));
        }
    }
    issuer.tell(Some(issuer.feed(2, &json!({}))));
    followed(&issuer).await;
    assert_eq!(cause(&closed, &good).await, None);
}

#[tokio::test]
async fn only_a_feed_of_the_issuer_is_believed() {
    let issuer = Issuer::start().await;
    let stranger = SigningKey::new(Algorithm::ES256);
    let now = issuer.clock.now().unix();
    let forged = |header: Value, over: Value| {
        let mut claims = json!({
            "iss": issuer.url, "iat": now, "exp": now + 300, "seq": 9, "revoked": {},
        });
        let members = over.as_object().unwrap().clone();
        claims.as_object_mut().unwrap().extend(members);
        issuer.key.sign(&header, &claims)
    };
    let typ = |typ: &str| {
        let key = &issuer.key;
        json!({ "typ": typ, "alg": key.algorithm, "kid": key.kid })
    };
    let good = typ("revocations+jwt");
    let unsigned = issuer.feed(9, &json!({}));
    let unsigned = format!("{}.", unsigned.rsplit_once('.').unwrap().0);
    for (what, text) in [
        ("an access token", issuer.token(&json!({}))),
        ("of another key", issuer.feed_by(&stranger, 9, &json!({}))),
        ("unsigned", unsigned),
        ("another type", forged(typ("at+jwt"), json!({}))),
        ("no type", forged(typ("JWT"), json!({}))),
        (
            "another issuer",
            forged(good.clone(), json!({ "iss": format!("{}/", issuer.url) })),
        ),
        (
            "an organization's",
            forged(
                good.clone(),
                json!({ "iss": format!("{}/orgs/acme", issuer.url) }),
            ),
        ),
        ("past its end", forged(good.clone(), json!({ "exp": now }))),
        (
            "far ahead",
            forged(good.clone(), json!({ "iat": now + 400, "exp": now + 700 })),
        ),
        (
            "without an end",
            forged(good.clone(), json!({ "exp": null })),
        ),
        ("no list", forged(good.clone(), json!({ "revoked": [] }))),
        (
            "no instants",
            forged(good.clone(), json!({ "revoked": { "keys": { "a": "b" } } })),
        ),
        ("no number", forged(good.clone(), json!({ "seq": "9" }))),
        (
            "nonsense",
            "a.b.c and quite some more text than that".to_owned(),
        ),
    ] {
        issuer.tell(Some(text));
        let verifier = verifier(&issuer);
        let token = issuer.token(&json!({}));
        assert_eq!(
            cause(&verifier, &token).await,
            Some(Cause::Unavailable),
            "{what}"
        );
    }
    // Unknown members, and the long spelling of the type, do no harm.
    let long = typ("application/revocations+JWT");
    issuer.tell(Some(forged(
        long,
        json!({ "more": 1, "revoked": { "others": {} } }),
    )));
    let token = issuer.token(&json!({}));
    assert_eq!(cause(&verifier(&issuer), &token).await, None);
}

#[tokio::test]
async fn a_feed_does_not_go_back() {
    let issuer = Issuer::start().await;
    let before = issuer.feed(5, &json!({}));
    issuer.tell(Some(before.clone()));
    let verifier = verifier(&issuer);
    let token = issuer.token(&json!({}));
    let other = issuer.token(&json!({ "client_id": "key_2", "sub": "key_2" }));
    assert_eq!(cause(&verifier, &token).await, None);
    issuer.tell(Some(issuer.feed(6, &void(&issuer, "keys", "key_1"))));
    followed(&issuer).await;
    assert_eq!(cause(&verifier, &token).await, Some(Cause::Revoked));
    // A mirror that replays the one before, as long as that one counts.
    issuer.tell(Some(before));
    followed(&issuer).await;
    assert_eq!(cause(&verifier, &token).await, Some(Cause::Revoked));
    // Another node, whose clock is behind, tells of something new.
    issuer.tell(Some(issuer.feed(4, &void(&issuer, "keys", "key_2"))));
    followed(&issuer).await;
    for token in [&token, &other] {
        assert_eq!(cause(&verifier, token).await, Some(Cause::Revoked));
    }
    // Enabled again: only a newer one says so.
    issuer.tell(Some(issuer.feed(7, &json!({}))));
    followed(&issuer).await;
    for token in [&token, &other] {
        assert_eq!(cause(&verifier, token).await, None);
    }
}

#[tokio::test]
async fn a_withdrawn_key_vouches_for_no_feed_and_its_tokens_are_void() {
    let issuer = Issuer::start().await;
    let next = SigningKey::new(Algorithm::ES256);
    issuer.tell(Some(issuer.feed(1, &json!({}))));
    let verifier = verifier(&issuer);
    let stolen = issuer.token(&json!({ "iat": issuer.clock.now().unix() + 1_000 }));
    assert_eq!(cause(&verifier, &stolen).await, None);
    // Another signs now, and the JWKS that the verifier holds still has the one before.
    issuer.publish(&[&next]);
    let far = json!({ "signing_keys": { alias(issuer.key.kid.as_str()): 253_402_300_799_i64 } });
    issuer.tell(Some(issuer.feed_by(&next, 2, &far)));
    followed(&issuer).await;
    assert!(cause(&verifier, &stolen).await.is_some());
    // Whoever has stolen it says that all is well, and gets at the JWKS of some cache.
    issuer.publish(&[&next, &issuer.key]);
    issuer.tell(Some(issuer.feed(3, &json!({}))));
    followed(&issuer).await;
    assert!(cause(&verifier, &stolen).await.is_some());
    let honest = next.header();
    let honest = next.sign(&honest, &issuer.claims(&json!({ "jti": "two" })));
    assert_eq!(cause(&verifier, &honest).await, None);
}

#[tokio::test]
async fn a_feed_that_has_not_changed_is_not_read_again_and_one_that_ends_is() {
    let issuer = Issuer::start().await;
    issuer.tell(Some(issuer.feed(1, &json!({}))));
    let verifier = verifier(&issuer);
    let token = issuer.token(&json!({}));
    assert_eq!(cause(&verifier, &token).await, None);
    followed(&issuer).await;
    issuer.advance(250);
    let renewed = issuer.feed(2, &json!({}));
    issuer.tell(Some(renewed));
    followed(&issuer).await;
    issuer.advance(100);
    assert_eq!(cause(&verifier, &token).await, None);
}

#[tokio::test]
async fn a_verifier_that_is_gone_asks_nothing_more() {
    let issuer = Issuer::start().await;
    issuer.tell(Some(issuer.feed(1, &json!({}))));
    let verifier = verifier(&issuer);
    verifier.ready().await.unwrap();
    followed(&issuer).await;
    drop(verifier);
    tokio::time::sleep(5 * OFTEN).await;
    let asked = issuer.feed_fetches();
    tokio::time::sleep(10 * OFTEN).await;
    assert_eq!(issuer.feed_fetches(), asked);
}

#[tokio::test]
async fn what_is_revoked_does_not_cross_a_network_in_the_clear() {
    let issuer = Issuer::start().await;
    for url in ["http://mirror.example/feed", "ftp://127.0.0.1/", "feed", ""] {
        let follow = Follow::pushed().at(url);
        let built = issuer.builder().follow_revocations(follow).build();
        assert_eq!(built.err(), Some(BuildError::FeedUrl), "{url}");
    }
    // A mirror is no party to it.
    issuer.tell(Some(issuer.feed(1, &void(&issuer, "keys", "key_1"))));
    let mirror = format!("{}/.well-known/revocations", issuer.url);
    let follow = follow().at(&mirror);
    let verifier = issuer.builder().follow_revocations(follow).build().unwrap();
    let token = issuer.token(&json!({}));
    assert_eq!(cause(&verifier, &token).await, Some(Cause::Revoked));
}
