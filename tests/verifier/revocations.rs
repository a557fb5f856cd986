//! What is revoked is refused at once, remembered or not.

use std::time::Duration;

use serde_json::json;
use tenmint::domain::timestamp::Timestamp;
use tenmint::verifier::{
    Cause, Request, RevocationList, Revocations, Standing, Verified, Verifier, Void,
};

use crate::issuer::Issuer;

async fn cause(verifier: &Verifier, token: &str) -> Option<Cause> {
    let verified = verifier.verify(token, &Request::default()).await;
    verified.err().map(|refused| refused.cause().clone())
}

#[tokio::test]
async fn whatever_is_named_voids_its_tokens_and_no_others() {
    let issuer = Issuer::start().await;
    let list = RevocationList::new();
    let verifier = issuer.builder().revocations(list.clone()).build().unwrap();
    let token = issuer.token(&json!({}));
    let later = issuer.clock.now().plus(Duration::from_secs(1));
    let kid = issuer.key.kid.clone();
    for void in [
        Void::Key("key_1".to_owned()),
        Void::Organization("acme".to_owned()),
        Void::SigningKey(kid),
        Void::Token("one".to_owned()),
    ] {
        list.replace([]);
        assert_eq!(cause(&verifier, &token).await, None);
        list.replace([(void.clone(), issuer.clock.now())]);
        assert_eq!(cause(&verifier, &token).await, None, "{void:?}");
        list.replace([(void.clone(), later), (void, issuer.clock.now())]);
        assert_eq!(cause(&verifier, &token).await, Some(Cause::Revoked));
    }
    let others = [
        Void::Key("acme".to_owned()),
        Void::Organization("key_1".to_owned()),
        Void::Token("key_1".to_owned()),
        Void::Key("key_10".to_owned()),
    ];
    list.replace(others.map(|void| (void, later)));
    assert_eq!(cause(&verifier, &token).await, None);
}

#[tokio::test]
async fn tokens_issued_after_the_instant_count() {
    let issuer = Issuer::start().await;
    let list = RevocationList::new();
    let verifier = issuer.builder().revocations(list.clone()).build().unwrap();
    let before = issuer.token(&json!({}));
    issuer.advance(1);
    let narrowed = (Void::Key("key_1".to_owned()), issuer.clock.now());
    list.replace([narrowed]);
    assert_eq!(cause(&verifier, &before).await, Some(Cause::Revoked));
    assert_eq!(cause(&verifier, &issuer.token(&json!({}))).await, None);
}

#[tokio::test]
async fn who_cannot_say_lets_nobody_through() {
    struct Silent;
    impl Revocations for Silent {
        fn standing(&self, _: &Verified, _: Timestamp) -> Standing {
            Standing::Unknown
        }
    }
    let issuer = Issuer::start().await;
    let verifier = issuer.builder().revocations(Silent).build().unwrap();
    let token = issuer.token(&json!({}));
    assert_eq!(cause(&verifier, &token).await, Some(Cause::Unavailable));
}
