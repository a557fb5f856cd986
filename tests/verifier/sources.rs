//! Where keys may come from, and where not.

use axum::http::StatusCode;
use serde_json::json;
use tenmint::verifier::{BuildError, Cause, Request, Verifier};

use crate::issuer::{AUDIENCE, Issuer};

async fn is_ready(verifier: &Verifier) -> bool {
    let ready = verifier
        .ready()
        .await
        .map_err(|refused| refused.cause().clone());
    assert!(matches!(ready, Ok(()) | Err(Cause::Unavailable)));
    ready.is_ok()
}

#[tokio::test]
async fn metadata_are_found_before_the_issuers_path() {
    for path in ["", "/mint", "/mint/orgs/acme"] {
        let issuer = Issuer::below(path).await;
        let token = issuer.token(&json!({}));
        issuer
            .verifier()
            .verify(&token, &Request::default())
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn metadata_of_another_issuer_do_not_count() {
    let issuer = Issuer::start().await;
    let keys = format!("{}/keys", issuer.url);
    for name in [
        "https://auth.example".to_owned(),
        format!("{}/", issuer.url),
        format!("{}/orgs/acme", issuer.url),
        issuer.url.to_uppercase(),
        String::new(),
    ] {
        let metadata = json!({ "issuer": name, "jwks_uri": keys });
        *issuer.published.metadata.lock().unwrap() = metadata;
        assert!(!is_ready(&issuer.verifier()).await, "{name}");
    }
    assert_eq!(issuer.fetches(), 0);
}

#[tokio::test]
async fn keys_do_not_come_in_the_clear() {
    let issuer = Issuer::start().await;
    for jwks_uri in [
        "http://auth.example/keys",
        "http://10.0.0.1/keys",
        "file:///etc/passwd",
        "data:application/json,{}",
        "//127.0.0.1/keys",
        "/keys",
        "",
    ] {
        let metadata = json!({ "issuer": issuer.url, "jwks_uri": jwks_uri });
        *issuer.published.metadata.lock().unwrap() = metadata;
        assert!(!is_ready(&issuer.verifier()).await, "{jwks_uri}");
        let built = issuer.builder().jwks_url(jwks_uri).build();
        assert_eq!(built.err(), Some(BuildError::JwksUrl), "{jwks_uri}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let issuer = Issuer::start().await;
    for status in [StatusCode::FOUND, StatusCode::PERMANENT_REDIRECT] {
        issuer.answer(status);
        assert!(!is_ready(&issuer.verifier()).await);
    }
    assert_eq!(issuer.fetches(), 2);
}

#[tokio::test]
async fn keys_may_be_where_the_verifier_is_told() {
    let issuer = Issuer::start().await;
    *issuer.published.metadata.lock().unwrap() = json!({});
    let url = format!("{}/keys", issuer.url);
    let verifier = issuer.builder().jwks_url(&url).build().unwrap();
    assert!(is_ready(&verifier).await);
}

#[tokio::test]
async fn a_document_that_never_ends_is_not_read_to_its_end() {
    let issuer = Issuer::start().await;
    let padding = " ".repeat(300 * 1024);
    issuer.published.jwks.lock().unwrap().push_str(&padding);
    assert!(!is_ready(&issuer.verifier()).await);
}

#[test]
fn a_verifier_that_trusts_too_much_is_not_built() {
    let builder = || Verifier::builder("https://auth.example");
    assert_eq!(builder().build().err(), Some(BuildError::NoAudience));
    for issuer in ["http://auth.example", "auth.example", "", "https://a?b"] {
        let built = Verifier::builder(issuer).audience(AUDIENCE).build();
        assert!(
            matches!(built.err(), Some(BuildError::Issuer(_))),
            "{issuer}"
        );
    }
    for audience in ["", "api", "https://a b"] {
        let built = builder().audience(audience).build();
        assert!(matches!(built.err(), Some(BuildError::Audience(_))));
    }
    let patient = builder().audience(AUDIENCE);
    let patient = patient.leeway(std::time::Duration::from_mins(3)).build();
    assert_eq!(patient.err(), Some(BuildError::Leeway));
}
