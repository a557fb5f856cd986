//! What is told of a withdrawal is true of a node too that has not heard of it, for as long as that is
//! ready.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::Value;
use tenmint::domain::timestamp::Timestamp;

use super::signing_keys::{kid_in, signs};
use crate::support::line::Line;
use crate::support::server::{Place, Server};

/// `STALE_LIMIT` of both nodes.
const LIMIT: Duration = Duration::from_secs(6);

/// The JWKS as a node hands it out: whether a key is in it, and its `max-age`.
async fn handed_out(server: &Server, kid: &str) -> (bool, Duration) {
    let jwks = server.get("/orgs/acme/.well-known/jwks.json").await;
    let keys = jwks.expect(StatusCode::OK).body["keys"].clone();
    let has = keys.as_array().unwrap().iter().any(|key| key["kid"] == kid);
    let said = jwks.header("cache-control").unwrap();
    let max_age = said.strip_prefix("public, max-age=").unwrap();
    (has, Duration::from_secs(max_age.parse().unwrap()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_is_known_everywhere_when_its_answer_says_so_and_every_node_is_ready() {
    let flags = ["--stale-limit", "6s"];
    let Some(place) = Place::postgres().await else {
        return;
    };
    let near = place.with(&flags).start().await;
    let line = Line::to(&near.place().database_url()).await;
    let far = near.another_node_by(&line.url, &flags).await;
    let acme = near.organization("acme").await;
    let leaked = kid_in(&near, &acme, "active").await.unwrap();
    assert_eq!(signs(&far, &acme).await, leaked);
    // Until it holds it, and has heard that it is still so.
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(handed_out(&far, &leaked).await.0);
    }

    line.cut();
    let path = format!("/v1/signing-keys/{leaked}/revoke");
    let revoked = near.call(&acme.secret, Method::POST, &path, Value::Null);
    let revoked = revoked.await.expect(StatusCode::OK).body.clone();
    let done = Instant::now();
    let time = |name: &str| -> Timestamp { revoked[name].as_str().unwrap().parse().unwrap() };
    let until = time("accepted_elsewhere_until").seconds_since(time("revoked_at"));
    let until = Duration::from_secs(until);
    assert_eq!(until, LIMIT + Duration::from_mins(5));
    assert!(!handed_out(&near, &leaked).await.0);

    let mut latest = Duration::ZERO;
    while done.elapsed() < LIMIT * 2 {
        let asked = done.elapsed();
        let (has, max_age) = handed_out(&far, &leaked).await;
        assert!(has, "it cannot have heard");
        if asked <= LIMIT {
            assert!(asked + max_age <= until, "kept until {:?}", asked + max_age);
            latest = latest.max(asked + max_age);
        } else {
            // What the answer does not reckon with, load balancers are told of.
            let ready = far.get("/readyz").await;
            assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
            assert!(max_age <= Duration::from_secs(5));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Longer than a JWKS may be kept that is true.
    assert!(latest > Duration::from_mins(5), "{latest:?}");

    line.mend();
    let end = Instant::now() + Duration::from_mins(1);
    while handed_out(&far, &leaked).await.0 {
        assert!(Instant::now() < end, "it never heard");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
