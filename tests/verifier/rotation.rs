//! Keys come and go while requests run: nobody waits without need, and the issuer is not asked often.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::http::StatusCode;
use serde_json::json;
use tenmint::domain::signing_key::Algorithm;
use tenmint::verifier::{Cause, Request, Verified, Verifier};
use tokio::task::JoinSet;

use crate::issuer::{Issuer, SigningKey};

async fn cause(verifier: &Verifier, token: &str) -> Option<Cause> {
    let verified = verifier.verify(token, &Request::default()).await;
    verified.err().map(|refused| refused.cause().clone())
}

async fn good(verifier: &Verifier, token: &str) -> Verified {
    verifier.verify(token, &Request::default()).await.unwrap()
}

/// Until what runs behind the requests' backs has asked this often.
async fn until_fetches(issuer: &Issuer, count: usize) {
    while issuer.fetches() < count {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn the_first_requests_share_one_fetch() {
    let issuer = Issuer::start().await;
    let verifier = issuer.verifier();
    issuer.published.permits.forget_permits(usize::MAX);
    let mut requests = JoinSet::new();
    for _ in 0..50 {
        let (verifier, token) = (verifier.clone(), issuer.token(&json!({})));
        requests.spawn(async move { cause(&verifier, &token).await });
    }
    until_fetches(&issuer, 1).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    issuer.published.permits.add_permits(1);
    assert!(requests.join_all().await.iter().all(Option::is_none));
    assert_eq!(issuer.fetches(), 1);
}

#[tokio::test]
async fn a_fetch_goes_on_when_the_request_that_began_it_hangs_up() {
    let issuer = Issuer::start().await;
    let verifier = issuer.verifier();
    issuer.published.permits.forget_permits(usize::MAX);
    let token = issuer.token(&json!({}));
    let request = tokio::spawn({
        let (verifier, token) = (verifier.clone(), token.clone());
        async move { cause(&verifier, &token).await }
    });
    until_fetches(&issuer, 1).await;
    request.abort();
    issuer.published.permits.add_permits(1);
    assert_eq!(cause(&verifier, &token).await, None);
    assert_eq!(issuer.fetches(), 1);
}

#[tokio::test]
async fn a_new_key_is_fetched_at_its_first_token() {
    let mut issuer = Issuer::start().await;
    let verifier = issuer.verifier();
    good(&verifier, &issuer.token(&json!({}))).await;
    issuer.advance(11);
    let before = std::mem::replace(&mut issuer.key, SigningKey::new(Algorithm::EdDSA));
    issuer.publish(&[&before, &issuer.key]);
    assert_eq!(
        good(&verifier, &issuer.token(&json!({}))).await.key_id(),
        "key_1"
    );
    let old = before.sign(&before.header(), &issuer.claims(&json!({})));
    good(&verifier, &old).await;
    assert_eq!(issuer.fetches(), 2);
}

#[tokio::test]
async fn made_up_keys_have_the_issuer_asked_once_in_a_cooldown() {
    let issuer = Issuer::start().await;
    let verifier = issuer.verifier();
    good(&verifier, &issuer.token(&json!({}))).await;
    for round in 0..3 {
        issuer.advance(11);
        for _ in 0..40 {
            let stranger = SigningKey::new(Algorithm::EdDSA);
            let token = stranger.sign(&stranger.header(), &issuer.claims(&json!({})));
            assert_eq!(cause(&verifier, &token).await, Some(Cause::UnknownKey));
        }
        assert_eq!(issuer.fetches(), 2 + round);
    }
    good(&verifier, &issuer.token(&json!({}))).await;
}

#[tokio::test]
async fn a_withdrawn_key_ends_remembered_tokens_too() {
    let mut issuer = Issuer::start().await;
    let verifier = issuer.verifier();
    let token = issuer.token(&json!({}));
    good(&verifier, &token).await;
    good(&verifier, &token).await;
    issuer.key = SigningKey::new(Algorithm::ES256);
    issuer.publish(&[&issuer.key]);
    issuer.advance(301);
    assert_eq!(cause(&verifier, &token).await, Some(Cause::UnknownKey));
}

#[tokio::test]
async fn another_key_under_the_same_name_ends_remembered_tokens_too() {
    let mut issuer = Issuer::start().await;
    let verifier = issuer.verifier();
    let token = issuer.token(&json!({}));
    good(&verifier, &token).await;
    let kid = issuer.key.kid.clone();
    issuer.key = SigningKey {
        kid,
        ..SigningKey::new(Algorithm::ES256)
    };
    issuer.publish(&[&issuer.key]);
    issuer.advance(301);
    assert_eq!(cause(&verifier, &token).await, Some(Cause::Signature));
}

#[tokio::test]
async fn keys_are_refreshed_behind_the_requests_backs() {
    let issuer = Issuer::start().await;
    let verifier = issuer.verifier();
    let token = issuer.token(&json!({}));
    good(&verifier, &token).await;
    issuer.advance(239);
    good(&verifier, &token).await;
    assert_eq!(issuer.fetches(), 1);
    // Due, and the issuer does not answer: the request does not wait for it.
    issuer.published.permits.forget_permits(usize::MAX);
    issuer.advance(2);
    good(&verifier, &token).await;
    until_fetches(&issuer, 2).await;
    good(&verifier, &token).await;
    assert_eq!(issuer.fetches(), 2);
}

#[tokio::test]
async fn keys_outlive_the_issuer_for_a_while_and_no_longer() {
    let issuer = Issuer::start().await;
    let verifier = issuer.builder().stale_for(Duration::from_secs(118));
    let verifier = verifier.build().unwrap();
    let token = issuer.token(&json!({}));
    good(&verifier, &token).await;
    issuer.answer(StatusCode::BAD_GATEWAY);
    issuer.advance(301);
    good(&verifier, &token).await;
    assert_eq!(issuer.fetches(), 2);
    // Known to be out of reach: nobody waits for it, and it is not asked at every request.
    issuer.published.permits.forget_permits(usize::MAX);
    good(&verifier, &token).await;
    issuer.advance(110);
    good(&verifier, &token).await;
    until_fetches(&issuer, 3).await;
    issuer.published.permits.add_permits(1);
    issuer.advance(8);
    assert_eq!(cause(&verifier, &token).await, Some(Cause::Unavailable));
}

#[tokio::test]
async fn without_keys_nobody_is_let_through_until_there_are_some() {
    let issuer = Issuer::start().await;
    let verifier = issuer.verifier();
    let token = issuer.token(&json!({}));
    for broken in [
        "",
        "{}",
        r#"{"keys":[]}"#,
        r#"{"keys":[{"kty":"oct","k":"AA"}]}"#,
    ] {
        broken.clone_into(&mut issuer.published.jwks.lock().unwrap());
        assert_eq!(cause(&verifier, &token).await, Some(Cause::Unavailable));
        let ready = verifier.ready().await.unwrap_err();
        assert_eq!(ready.cause(), &Cause::Unavailable);
        issuer.advance(2);
    }
    assert_eq!(issuer.fetches(), 4);
    issuer.publish(&[&issuer.key]);
    verifier.ready().await.unwrap();
    good(&verifier, &token).await;
}

#[tokio::test]
async fn an_issuer_that_forgets_its_keys_locks_nobody_out() {
    let issuer = Issuer::start().await;
    let verifier = issuer.verifier();
    let token = issuer.token(&json!({}));
    good(&verifier, &token).await;
    issuer.publish(&[]);
    issuer.advance(301);
    good(&verifier, &token).await;
}

#[tokio::test]
async fn max_age_is_honoured_within_reason() {
    for (line, fresh, due) in [
        (Some("public, max-age=100"), 79, 81),
        (Some("max-age=1"), 23, 25),
        (Some("no-store"), 23, 25),
        (Some("max-age=99999999"), 2_879, 2_881),
        (None, 239, 241),
    ] {
        let issuer = Issuer::start().await;
        *issuer.published.cache_control.lock().unwrap() = line.map(str::to_owned);
        let verifier = issuer.verifier();
        let token = issuer.token(&json!({ "exp": issuer.clock.now().unix() + 9_000 }));
        good(&verifier, &token).await;
        issuer.advance(fresh);
        good(&verifier, &token).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(issuer.fetches(), 1, "{line:?}");
        issuer.advance(due - fresh);
        good(&verifier, &token).await;
        until_fetches(&issuer, 2).await;
    }
}

#[tokio::test]
async fn the_same_keys_anew_leave_what_is_remembered() {
    let issuer = Issuer::start().await;
    let verifier = issuer.verifier();
    let token = issuer.token(&json!({}));
    good(&verifier, &token).await;
    issuer.advance(301);
    good(&verifier, &token).await;
    assert_eq!(issuer.fetches(), 2);
    assert_eq!(issuer.published.discoveries.load(Ordering::SeqCst), 1);
}
