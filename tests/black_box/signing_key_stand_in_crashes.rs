//! `kill -9` while an RSA key is made for an emergency: what leaked stays withdrawn, the key that
//! stands in goes on signing, and the RSA key is made after the next start.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use super::signing_key_crashes::{is_sound, run_beside, verifies};
use crate::support::process::Process;
use crate::support::server::{Key, Place, header};

/// The key that signs, with its algorithm, and the size of the one that it stands in for.
const ACTIVE: &str = "SELECT kid || ' ' || algorithm || ' ' || COALESCE(stands_in_for, 0)
     FROM signing_keys WHERE organization_id = 'acme' AND activated_at IS NOT NULL
       AND retiring_at IS NULL AND retired_at IS NULL";

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_while_an_rsa_key_is_made_for_a_withdrawal_loses_nothing_on_sqlite() {
    killed_after_a_withdrawal(&Place::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_while_an_rsa_key_is_made_for_a_withdrawal_loses_nothing_on_postgres() {
    if let Some(place) = Place::postgres().await {
        killed_after_a_withdrawal(&place).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_while_an_emergency_waits_for_an_rsa_key_leaves_the_key_before_on_sqlite() {
    killed_before_a_rotation(&Place::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_while_an_emergency_waits_for_an_rsa_key_leaves_the_key_before_on_postgres() {
    if let Some(place) = Place::postgres().await {
        killed_before_a_rotation(&place).await;
    }
}

async fn killed_after_a_withdrawal(place: &Place) {
    let mut process = Process::serve(place, &["serve"], &[]);
    let operator = run_beside(place, &["operator-key", "--quiet"]);
    let operator = operator.trim();
    let acme = issuer(&process.base, operator, "RS256").await;
    let first = kids(place).await;
    let mut withdrawn = Vec::new();
    // By luck, and seldom, the RSA key is there before the kill: then again.
    let stand_in = loop {
        assert!(withdrawn.len() < 10, "it is never killed in between");
        let leaked = active(place).await[0].clone();
        let path = format!("/v1/organizations/acme/signing-keys/{leaked}/revoke");
        let asked = send(&process.base, operator, &path, &json!({}));
        let asked = tokio::spawn(asked);
        while published(&process.base).await.contains(&leaked) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        process.kill();
        assert!(asked.await.unwrap().is_none_or(|(status, _)| status == 200));
        withdrawn.push(leaked);
        is_sound(place, &BTreeSet::new(), &first).await;
        run_beside(place, &["audit", "verify"]);
        let signs = active(place).await;
        process = Process::serve(place, &["serve"], &[]);
        if signs[1..] == ["ES256", "2048"] {
            break signs[0].clone();
        }
        until_rsa(place).await;
    };
    let token = token(&process.base, &acme).await;
    assert_eq!(header(&token)["kid"], stand_in);
    assert!(verifies(&process.base, "acme", &token).await);

    let relief = until_rsa(place).await;
    let told = format!(
        "SELECT target FROM audit_events WHERE action = 'signing_key.rotate'
           AND actor = 'tenmint' AND details LIKE '%\"follows\":\"{stand_in}\"%'"
    );
    assert_eq!(place.query(&told).await, [&*relief], "once");
    // What the other signed counts until it expires; what leaked does not come back.
    assert!(verifies(&process.base, "acme", &token).await);
    let begun = Instant::now();
    while !published(&process.base).await.contains(&relief) {
        assert!(begun.elapsed() < Duration::from_mins(1));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let published = published(&process.base).await;
    assert!(published.contains(&stand_in));
    for leaked in &withdrawn {
        assert!(!published.contains(leaked));
    }
    let last = self::token(&process.base, &acme).await;
    assert_eq!(header(&last)["kid"], relief);
    is_sound(place, &BTreeSet::from([relief]), &first).await;
    run_beside(place, &["audit", "verify"]);
    assert!(process.stop());
}

/// Nobody was told of a new key, so there need be none; and there is nothing in between.
async fn killed_before_a_rotation(place: &Place) {
    let mut process = Process::serve(place, &["serve"], &[]);
    let operator = run_beside(place, &["operator-key", "--quiet"]);
    let operator = operator.trim();
    let acme = issuer(&process.base, operator, "ES256").await;
    let first = kids(place).await;
    let before = active(place).await;
    let mut in_the_middle = 0;
    for kill in 0..4 {
        let path = "/v1/organizations/acme/signing-keys/rotate";
        let body = json!({ "alg": "RS256", "rsa_bits": 4096, "emergency": true });
        let asked = tokio::spawn(send(&process.base, operator, path, &body));
        tokio::time::sleep(Duration::from_millis(50 + 250 * kill)).await;
        process.kill();
        let answer = asked.await.unwrap();
        is_sound(place, &BTreeSet::new(), &first).await;
        process = Process::serve(place, &["serve"], &[]);
        let token = token(&process.base, &acme).await;
        assert!(verifies(&process.base, "acme", &token).await);
        if answer.is_none() && active(place).await == before {
            assert_eq!(header(&token)["kid"], before[0]);
            assert_eq!(kids(place).await, first);
            in_the_middle += 1;
        }
    }
    assert!(in_the_middle > 0, "no kill came in the middle of anything");
    run_beside(place, &["audit", "verify"]);
    assert!(process.stop());
}

/// Sends a request, and gives its answer unless whoever was to answer died.
fn send(
    base: &str,
    bearer: &str,
    path: &str,
    body: &Value,
) -> impl Future<Output = Option<(StatusCode, Value)>> + Send + use<> {
    let request = Client::new().post(format!("{base}{path}"));
    let request = request.bearer_auth(bearer).json(body);
    async move {
        let answer = request.send().await.ok()?;
        let status = answer.status();
        Some((status, answer.json().await.ok()?))
    }
}

/// The organization `acme`, which signs with this, and an API key of it.
async fn issuer(base: &str, operator: &str, alg: &str) -> Key {
    let made = send(
        base,
        operator,
        "/v1/organizations",
        &json!({ "id": "acme" }),
    );
    assert_eq!(made.await.unwrap().0, 201);
    let path = "/v1/organizations/acme/bootstrap";
    let (status, made) = send(base, operator, path, &json!({ "alg": alg }))
        .await
        .unwrap();
    assert_eq!(status, 201, "{made}");
    Key::of(&made["management_key"])
}

async fn token(base: &str, key: &Key) -> String {
    let asked = Client::new()
        .post(format!("{base}/orgs/acme/oauth/token"))
        .basic_auth(&key.id, Some(&key.secret))
        .form(&[("grant_type", "client_credentials")]);
    let answer: Value = asked.send().await.unwrap().json().await.unwrap();
    let token = answer["access_token"].as_str();
    token.unwrap_or_else(|| panic!("{answer}")).to_owned()
}

/// What is in the JWKS.
async fn published(base: &str) -> Vec<String> {
    let url = format!("{base}/orgs/acme/.well-known/jwks.json");
    let jwks: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
    let keys = jwks["keys"].as_array().unwrap().iter();
    keys.map(|key| key["kid"].as_str().unwrap().to_owned())
        .collect()
}

async fn kids(place: &Place) -> BTreeSet<String> {
    let kids = place.query("SELECT kid FROM signing_keys").await;
    kids.into_iter().collect()
}

/// The words of [`ACTIVE`]: there is one row always.
async fn active(place: &Place) -> Vec<String> {
    let rows = place.query(ACTIVE).await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows[0].split(' ').map(str::to_owned).collect()
}

/// Waits until an RSA key signs, and says which. By the clock of the machine it is tried ten seconds
/// after the other was put in its place.
async fn until_rsa(place: &Place) -> String {
    let begun = Instant::now();
    loop {
        let signs = active(place).await;
        if signs[1..] == ["RS256", "0"] {
            return signs[0].clone();
        }
        assert!(begun.elapsed() < Duration::from_mins(3), "{signs:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
