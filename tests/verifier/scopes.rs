//! What a token covers, as `docs/scope-vectors.json` has it for every language.

use serde_json::{Value, json};
use tenmint::verifier::{Cause, Request};

use crate::issuer::Issuer;

#[tokio::test]
async fn the_shared_vectors_hold() {
    let text = include_str!("../../docs/scope-vectors.json");
    let vectors: Value = serde_json::from_str(text).unwrap();
    let issuer = Issuer::start().await;
    let verifier = issuer.verifier();
    let cases = vectors["covers"].as_array().unwrap();
    assert!(cases.len() > 50);
    for case in cases {
        let text = |name: &str| case[name].as_str().unwrap();
        let token = issuer.token(&json!({ "scope": text("held") }));
        let verified = verifier.verify(&token, &Request::default()).await.unwrap();
        let covered = verified.require(text("asked"));
        assert_eq!(Some(covered.is_ok()), case["covers"].as_bool(), "{case}");
    }
    let token = issuer.token(&json!({ "scope": "*" }));
    let verified = verifier.verify(&token, &Request::default()).await.unwrap();
    for case in vectors["parse"].as_array().unwrap() {
        // What is no scope is covered by none.
        let refused = case["error"].as_bool().unwrap_or(false);
        if let (Some(text), true) = (case["input"].as_str(), refused) {
            let refused = verified.require(text).unwrap_err();
            assert!(matches!(refused.cause(), Cause::ScopeText(_)), "{case}");
        }
    }
}
