//! What a token must say to count, and what it is asked afterwards.

use std::time::Duration;

use serde_json::json;
use tenmint::verifier::{Cause, Request, Verified, Verifier};

use crate::issuer::{AUDIENCE, Issuer, SigningKey};
use tenmint::domain::signing_key::Algorithm;

async fn verify(verifier: &Verifier, token: &str) -> Result<Verified, Cause> {
    let verified = verifier.verify(token, &Request::default()).await;
    verified.map_err(|refused| refused.cause().clone())
}

#[tokio::test]
async fn a_good_token_tells_whose_it_is() {
    let issuer = Issuer::start().await;
    let token = issuer.token(&json!({
        "external_id": "cus_42", "metadata": { "plan": "pro" }, "x": 5, "scope": "read write:a/*",
    }));
    let verified = verify(&issuer.verifier(), &token).await.unwrap();
    assert_eq!(verified.key_id(), "key_1");
    assert_eq!(verified.organization(), "acme");
    assert_eq!(verified.token_id(), "one");
    assert_eq!(verified.signing_key(), &issuer.key.kid);
    assert_eq!(verified.external_id(), Some("cus_42"));
    assert_eq!(verified.metadata().unwrap()["plan"], "pro");
    assert_eq!(verified.claim("x"), Some(&json!(5)));
    assert_eq!(verified.claim("y"), None);
    assert_eq!(verified.scopes().to_parameter(), "read write:a/*");
    let lasts = verified.expires_at().seconds_since(verified.issued_at());
    assert_eq!(lasts, 600);
    verified.require("read:projects/42").unwrap();
    verified.require("write:a/b").unwrap();
    let refused = verified.require("write:a").unwrap_err();
    assert_eq!(refused.cause(), &Cause::Scope("write:a".parse().unwrap()));
}

#[tokio::test]
async fn what_a_path_smuggles_into_a_scope_is_not_covered() {
    let issuer = Issuer::start().await;
    let token = issuer.token(&json!({ "scope": "read:projects/42/**" }));
    let verified = verify(&issuer.verifier(), &token).await.unwrap();
    for id in [
        "42/../43", "..", "*", "**", "43", "", "42/", "42 *", "42\n", "é",
    ] {
        let needed = format!("read:projects/{id}");
        assert!(verified.require(&needed).is_err(), "{id}");
    }
    verified.require("read:projects/42/files").unwrap();
}

#[tokio::test]
async fn only_an_access_token_of_this_issuer_for_this_audience_counts() {
    let issuer = Issuer::start().await;
    let verifier = issuer.verifier();
    for (claims, cause) in [
        (json!({ "iss": "https://auth.example" }), Cause::Issuer),
        (json!({ "iss": format!("{}/", issuer.url) }), Cause::Issuer),
        (
            json!({ "iss": format!("{}/orgs/acme", issuer.url) }),
            Cause::Issuer,
        ),
        (json!({ "iss": [issuer.url] }), Cause::Issuer),
        (json!({ "iss": null }), Cause::Issuer),
        (json!({ "aud": "https://other.example" }), Cause::Audience),
        (json!({ "aud": format!("{AUDIENCE}/") }), Cause::Audience),
        (json!({ "aud": issuer.url }), Cause::Audience),
        (json!({ "aud": [] }), Cause::Audience),
        (json!({ "aud": null }), Cause::Malformed),
        (json!({ "aud": { "x": AUDIENCE } }), Cause::Malformed),
        (json!({ "exp": null }), Cause::Malformed),
        (json!({ "exp": "9999999999" }), Cause::Malformed),
        (json!({ "exp": 1e300 }), Cause::Malformed),
        (json!({ "nbf": "1" }), Cause::Malformed),
        (json!({ "iat": null }), Cause::Malformed),
        (json!({ "client_id": null }), Cause::Malformed),
        (json!({ "scope": ["*"] }), Cause::Malformed),
    ] {
        let token = issuer.token(&claims);
        assert_eq!(
            verify(&verifier, &token).await.unwrap_err(),
            cause,
            "{claims}"
        );
    }
    let several = issuer.token(&json!({ "aud": ["https://other.example", AUDIENCE] }));
    verify(&verifier, &several).await.unwrap();
}

#[tokio::test]
async fn what_is_signed_as_something_else_is_no_access_token() {
    let issuer = Issuer::start().await;
    let (verifier, lenient) = (issuer.verifier(), issuer.builder().allow_typ_jwt());
    let lenient = lenient.build().unwrap();
    for (typ, strictly, leniently) in [
        (json!("at+jwt"), true, true),
        (json!("AT+JWT"), true, true),
        (json!("application/at+jwt"), true, true),
        (json!("JWT"), false, true),
        (json!("revocations+jwt"), false, false),
        (json!("logout+jwt"), false, false),
        (json!("token-introspection+jwt"), false, false),
        (json!(""), false, false),
        (json!(null), false, false),
    ] {
        let mut header = issuer.key.header();
        header["typ"] = typ.clone();
        let token = issuer.key.sign(&header, &issuer.claims(&json!({})));
        for (verifier, expected) in [(&verifier, strictly), (&lenient, leniently)] {
            let verdict = verify(verifier, &token).await.map(|_| ());
            let expected = if expected { Ok(()) } else { Err(Cause::Type) };
            assert_eq!(verdict, expected, "{typ}");
        }
    }
}

#[tokio::test]
async fn a_token_counts_between_its_times_and_a_leeway_more() {
    let issuer = Issuer::start().await;
    let now = issuer.clock.now().unix();
    for (leeway, remembered) in [(0, 0), (5, 0), (5, 100)] {
        let verifier = issuer.builder().remember(remembered);
        let verifier = verifier
            .leeway(Duration::from_secs(leeway))
            .build()
            .unwrap();
        let leeway = i64::try_from(leeway).unwrap();
        for (over, expected) in [
            (json!({ "exp": now - leeway }), Err(Cause::Expired)),
            (json!({ "exp": now - leeway + 1 }), Ok(())),
            (json!({ "nbf": now + leeway }), Ok(())),
            (json!({ "nbf": now + leeway + 1 }), Err(Cause::NotYetValid)),
            (json!({ "exp": 0 }), Err(Cause::Expired)),
        ] {
            let verdict = verify(&verifier, &issuer.token(&over)).await;
            assert_eq!(verdict.map(|_| ()), expected, "{over} {leeway}");
        }
    }
}

#[tokio::test]
async fn a_remembered_token_ends_when_it_ends() {
    let issuer = Issuer::start().await;
    let verifier = issuer.verifier();
    let token = issuer.token(&json!({ "exp": issuer.clock.now().unix() + 60 }));
    verify(&verifier, &token).await.unwrap();
    issuer.advance(64);
    verify(&verifier, &token).await.unwrap();
    issuer.advance(1);
    assert_eq!(verify(&verifier, &token).await.unwrap_err(), Cause::Expired);
}

#[tokio::test]
async fn a_token_that_resembles_a_remembered_one_is_another() {
    let issuer = Issuer::start().await;
    let verifier = issuer.verifier();
    let token = issuer.token(&json!({}));
    verify(&verifier, &token).await.unwrap();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let stranger = SigningKey::new(Algorithm::ES256);
    let theirs = stranger.sign(
        &issuer.key.header(),
        &issuer.claims(&json!({ "scope": "*" })),
    );
    let (payload, _) = theirs.rsplit_once('.').unwrap();
    for bent in [
        format!("{payload}.{signature}"),
        format!("{signed}.{}", theirs.rsplit('.').next().unwrap()),
        format!("{token}="),
        format!("{token} "),
        format!(" {token}"),
        format!("{token}\0"),
        token[..token.len() - 1].to_owned(),
    ] {
        assert!(verify(&verifier, &bent).await.is_err(), "{bent}");
    }
}

#[tokio::test]
async fn a_scope_of_unknown_grammar_grants_nothing_and_spoils_nothing() {
    let issuer = Issuer::start().await;
    let token = issuer.token(&json!({ "scope": "Read  read:a {x} files.read" }));
    let verified = verify(&issuer.verifier(), &token).await.unwrap();
    assert_eq!(verified.scopes().to_parameter(), "read:a files.read");
    let none = issuer.token(&json!({ "scope": "" }));
    let verified = verify(&issuer.verifier(), &none).await.unwrap();
    assert!(verified.require("read").is_err());
    let many: Vec<_> = (0..100).map(|n| format!("a{n}")).collect();
    let many = issuer.token(&json!({ "scope": many.join(" ") }));
    let verdict = verify(&issuer.verifier(), &many).await;
    assert_eq!(verdict.unwrap_err(), Cause::Malformed);
}

#[tokio::test]
async fn what_is_printed_of_a_token_is_not_the_token() {
    let issuer = Issuer::start().await;
    let token = issuer.token(&json!({}));
    let verified = verify(&issuer.verifier(), &token).await.unwrap();
    let printed = format!("{verified:?}");
    assert!(printed.contains("key_1"));
    for part in token.split('.') {
        assert!(!printed.contains(part));
    }
}
