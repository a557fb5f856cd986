//! The times of rotation are settings, and cannot be set to contradict each other; whatever they
//! are changed to while keys live, no key signs before it was published for the lead.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;

use super::signing_keys::{LEAD, RETENTION, jwks, kid_in, rotate, signs, states, until};
use crate::on_both_engines;
use crate::support::process::run;
use crate::support::server::{Place, Server};

on_both_engines!(
    a_lead_made_longer_delays_the_key_that_is_next,
    a_lead_made_shorter_hurries_nothing_that_was_announced,
    without_an_interval_nothing_rotates_until_somebody_asks,
    after_a_year_asleep_the_full_lead_is_kept,
    what_was_missed_while_nobody_served_is_done_in_order,
);

const DAY: u64 = 86_400;

/// The same deployment served again, with more flags, its clock going on from where it stands.
async fn again(server: Server, flags: &[&str]) -> Server {
    let clock = server.clock.clone();
    let place = server.stop().await.with(flags);
    match Server::start(place, clock).await {
        Ok(server) => server,
        Err((why, _)) => panic!("it did not start: {why}"),
    }
}

/// The jobs look every second.
async fn a_while() {
    tokio::time::sleep(Duration::from_secs(2)).await;
}

#[test]
fn times_that_contradict_each_other_are_refused_before_anything_is_served() {
    for (flags, said) in [
        (
            &["--signing-key-lead", "5m"][..],
            "SIGNING_KEY_LEAD must be at least JWKS_MAX_AGE, STALE_LIMIT and CLOCK_SKEW together (6m 10s)",
        ),
        (
            &["--signing-key-lead", "6m 9s"],
            "SIGNING_KEY_LEAD must be at least JWKS_MAX_AGE, STALE_LIMIT and CLOCK_SKEW together (6m 10s)",
        ),
        (
            &["--signing-key-lead", "6m 59s", "--stale-limit", "60s"],
            "SIGNING_KEY_LEAD must be at least JWKS_MAX_AGE, STALE_LIMIT and CLOCK_SKEW together (7m)",
        ),
        (
            &["--jwks-max-age", "3h"],
            "SIGNING_KEY_LEAD must be at least JWKS_MAX_AGE, STALE_LIMIT and CLOCK_SKEW together (3h 1m 10s)",
        ),
        (
            &["--clock-skew", "1h", "--signing-key-lead", "64m"],
            "SIGNING_KEY_LEAD must be at least JWKS_MAX_AGE, STALE_LIMIT and CLOCK_SKEW together (1h 5m 10s)",
        ),
        (
            &["--signing-key-rotation", "1h"],
            // 2 h 10 min before, 1 h 11 min 10 s after, and a tenth for jitter.
            "SIGNING_KEY_ROTATION must be at least 3h 43m 32s",
        ),
        (
            &["--signing-key-rotation", "4d", "--signing-key-lead", "4d"],
            "SIGNING_KEY_ROTATION must be at least",
        ),
    ] {
        let place = Place::sqlite();
        let url = place.database_url();
        let environment = [
            ("TENMINT_DATABASE_URL", &*url),
            (
                "TENMINT_ROOT_KEY_FILE",
                &place.root_key_file().display().to_string(),
            ),
            ("TENMINT_LISTEN", "127.0.0.1:0"),
        ];
        let refused = run(&[&["serve"], flags].concat(), &environment);
        assert_eq!(refused.code, Some(1), "{flags:?}: {}", refused.err);
        assert!(refused.err.contains(said), "{flags:?}: {}", refused.err);
        assert!(!refused.err.contains("serving"), "{}", refused.err);
        // The same from the environment, with the same words.
        let name = format!("TENMINT_{}", flags[0][2..].to_uppercase().replace('-', "_"));
        if flags.len() == 2 {
            let environment = [&environment[..], &[(&*name, flags[1])]].concat();
            let again = run(&["serve"], &environment);
            assert!(again.err.contains(said), "{name}: {}", again.err);
        }
    }
    for (flag, value, said) in [
        ("--signing-key-lead", "31d", "30d"),
        ("--signing-key-lead", "90500ms", "--signing-key-lead"),
        ("--jwks-max-age", "0s", "between 1s and 24h"),
        ("--jwks-max-age", "25h", "between 1s and 24h"),
        ("--clock-skew", "2h", "between 0s and 1h"),
        ("--signing-key-rotation", "never", "--signing-key-rotation"),
    ] {
        let refused = run(&["serve", flag, value], &[]);
        assert_eq!(refused.code, Some(2), "{flag} {value}: {}", refused.err);
        assert!(
            refused.err.contains(said),
            "{flag} {value}: {}",
            refused.err
        );
    }
}

async fn a_lead_made_longer_delays_the_key_that_is_next(server: Server) {
    let acme = server.organization("acme").await;
    let first = signs(&server, &acme).await;
    rotate(&server, &acme, json!({}))
        .await
        .expect(StatusCode::CREATED);
    let next = kid_in(&server, &acme, "next").await.unwrap();
    server.advance(LEAD / 2);
    let server = again(server, &["--signing-key-lead", "1d"]).await;
    let path = format!("/v1/signing-keys/{next}");
    let shown = server
        .call(&acme.secret, reqwest::Method::GET, &path, json!(null))
        .await;
    let shown = shown.expect(StatusCode::OK).body.clone();
    let then = server.clock.now().plus(Duration::from_secs(DAY - LEAD / 2));
    assert_eq!(shown["activates_at"], then.to_string());
    for wait in [LEAD, DAY - LEAD - LEAD / 2 - 1] {
        server.advance(wait);
        a_while().await;
        assert_eq!(signs(&server, &acme).await, first);
    }
    server.advance(1);
    until(&server, &acme, "retiring").await;
    assert_eq!(signs(&server, &acme).await, next);
}

async fn a_lead_made_shorter_hurries_nothing_that_was_announced(server: Server) {
    let acme = server.organization("acme").await;
    let first = signs(&server, &acme).await;
    let rotated = rotate(&server, &acme, json!({})).await;
    let announced = rotated.body["activates_at"].clone();
    let server = again(server, &["--signing-key-lead", "10m"]).await;
    server.advance(LEAD - 1);
    a_while().await;
    assert_eq!(signs(&server, &acme).await, first);
    server.advance(1);
    until(&server, &acme, "retiring").await;
    assert_eq!(announced, server.clock.now().to_string());
}

async fn without_an_interval_nothing_rotates_until_somebody_asks(server: Server) {
    let acme = server.organization("acme").await;
    let server = again(server, &["--signing-key-rotation", "off"]).await;
    let first = signs(&server, &acme).await;
    server.advance(400 * DAY);
    let server = again(server, &[]).await;
    a_while().await;
    assert_eq!(states(&server, &acme).await.len(), 1);
    let path = format!("/v1/signing-keys/{first}");
    let shown = server
        .call(&acme.secret, reqwest::Method::GET, &path, json!(null))
        .await;
    assert_eq!(shown.body["rotates_at"], json!(null));
    rotate(&server, &acme, json!({}))
        .await
        .expect(StatusCode::CREATED);
    server.advance(LEAD);
    until(&server, &acme, "retiring").await;
    server.advance(RETENTION);
    assert_eq!(until(&server, &acme, "retired").await, first);
}

async fn after_a_year_asleep_the_full_lead_is_kept(server: Server) {
    let acme = server.organization("acme").await;
    let first = signs(&server, &acme).await;
    let clock = server.clock.clone();
    let place = server.stop().await;
    clock.advance(Duration::from_secs(365 * DAY));
    let Ok(server) = Server::start(place, clock).await else {
        panic!("it did not start");
    };
    let next = until(&server, &acme, "next").await;
    assert_eq!(jwks(&server).await, [first.clone(), next.clone()]);
    server.advance(LEAD - 1);
    a_while().await;
    assert_eq!(signs(&server, &acme).await, first);
    server.advance(1);
    assert_eq!(until(&server, &acme, "retiring").await, first);
    assert_eq!(signs(&server, &acme).await, next);
}

async fn what_was_missed_while_nobody_served_is_done_in_order(server: Server) {
    let acme = server.organization("acme").await;
    let first = signs(&server, &acme).await;
    rotate(&server, &acme, json!({}))
        .await
        .expect(StatusCode::CREATED);
    let next = kid_in(&server, &acme, "next").await.unwrap();
    let clock = server.clock.clone();
    let place = server.stop().await;
    clock.advance(Duration::from_secs(LEAD + RETENTION + DAY));
    let Ok(server) = Server::start(place, clock).await else {
        panic!("it did not start");
    };
    // The one before signed until now, so what it signed is accepted as long as any other's.
    assert_eq!(until(&server, &acme, "retiring").await, first);
    assert_eq!(jwks(&server).await, [next.clone(), first.clone()]);
    server.advance(RETENTION - 1);
    a_while().await;
    assert_eq!(jwks(&server).await.len(), 2);
    server.advance(1);
    assert_eq!(until(&server, &acme, "retired").await, first);
    assert_eq!(jwks(&server).await, [next]);
}
