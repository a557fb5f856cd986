//! From where a token may be used, as `docs/network-vectors.json` has it for every language.

use std::net::IpAddr;

use serde_json::{Value, json};
use tenmint::verifier::{Cause, Request, Verifier};

use crate::issuer::Issuer;

async fn is_allowed(verifier: &Verifier, token: &str, ip: Option<IpAddr>) -> bool {
    match verifier.verify(token, &Request { ip }).await {
        Ok(verified) => {
            assert!(ip.is_none_or(|ip| verified.allows_address(ip)));
            true
        }
        Err(refused) => {
            assert_eq!(refused.cause(), &Cause::Network { ip });
            false
        }
    }
}

#[tokio::test]
async fn the_shared_vectors_hold() {
    let text = include_str!("../../docs/network-vectors.json");
    let vectors: Value = serde_json::from_str(text).unwrap();
    let issuer = Issuer::start().await;
    let verifier = issuer.verifier();
    let cases = vectors["cases"].as_array().unwrap();
    assert!(cases.len() > 40);
    for case in cases {
        let token = issuer.token(&case["claims"]);
        for (list, expected) in [("allowed", true), ("refused", false)] {
            for address in case[list].as_array().unwrap() {
                let address = address.as_str().unwrap();
                let ip: Option<IpAddr> = address.parse().ok();
                assert!(ip.is_some() || !expected, "{address}");
                // Twice: a remembered token is asked just the same.
                for _ in 0..2 {
                    let allowed = is_allowed(&verifier, &token, ip).await;
                    assert_eq!(allowed, expected, "{address}: {case}");
                }
            }
        }
    }
}

#[tokio::test]
async fn an_address_that_nobody_knows_is_refused_where_it_matters() {
    let issuer = Issuer::start().await;
    let confined = issuer.token(&json!({ "allowed_ip_cidrs": ["0.0.0.0/0", "::/0"] }));
    assert!(!is_allowed(&issuer.verifier(), &confined, None).await);
    assert!(is_allowed(&issuer.verifier(), &issuer.token(&json!({})), None).await);
}

#[tokio::test]
async fn what_somebody_else_checks_is_left_to_them() {
    let issuer = Issuer::start().await;
    let verifier = issuer.builder().networks_are_checked_elsewhere();
    let verifier = verifier.build().unwrap();
    for claim in [json!(["203.0.113.7"]), json!([])] {
        let token = issuer.token(&json!({ "allowed_ip_cidrs": claim }));
        assert!(verifier.verify(&token, &Request::default()).await.is_ok());
    }
}
