//! Servers that were set to different `JWKS_MAX_AGE`s, side by side or one after the other: the times
//! of signing keys, and what is told of them, reckon with the longest that may be in a cache.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tenmint::domain::timestamp::Timestamp;

use super::doctor::{finds, finds_with};
use super::revocation_feed::before;
use super::signing_keys::{kid_in, rotate, signs, until};
use crate::on_both_engines;
use crate::support::operations::tenmint;
use crate::support::server::{Key, Place, Server};
use crate::support::snapshot;

on_both_engines!(
    a_withdrawal_reckons_with_what_was_served_before_a_restart,
    a_rotation_waits_for_what_was_served_before_a_restart,
    no_jwks_is_served_before_its_max_age_is_written_down,
    a_restored_backup_reckons_with_what_was_served_when_it_was_taken,
    doctor_names_servers_that_are_set_differently,
);

/// Three hours, and a lead that fits them. The settings of the others are 5 minutes and 2 h 10 min.
const LONG: [&str; 4] = ["--jwks-max-age", "3h", "--signing-key-lead", "4h"];

const HOUR: u64 = 3_600;

/// `STALE_LIMIT` and `CLOCK_SKEW` of all.
const STALE: u64 = 10;
const SKEW: u64 = 60;

/// How long after it was last served with a `max-age` a JWKS is reckoned with, besides: a minute for
/// which a server may go on with what it said, a second for rounding, and what clocks differ by.
const AT_MOST_MORE: u64 = 60 + 1 + SKEW;

/// The same deployment under these flags alone, its clock going on from where it stands.
async fn again(server: Server, flags: &[&str]) -> Server {
    let clock = server.clock.clone();
    let place = server.stop().await.bare().with(flags);
    match Server::start(place, clock).await {
        Ok(server) => server,
        Err((why, _)) => panic!("it did not start: {why}"),
    }
}

/// What validators are told.
async fn max_age(server: &Server) -> String {
    let jwks = server.get("/orgs/acme/.well-known/jwks.json").await;
    let said = jwks.expect(StatusCode::OK).header("cache-control");
    said.unwrap()
        .strip_prefix("public, max-age=")
        .unwrap()
        .to_owned()
}

async fn revoke(server: &Server, manager: &Key, kid: &str) -> Value {
    let path = format!("/v1/signing-keys/{kid}/revoke");
    let done = server.call(&manager.secret, Method::POST, &path, Value::Null);
    done.await.expect(StatusCode::OK).body.clone()
}

/// So many seconds from now.
fn in_seconds(server: &Server, seconds: u64) -> String {
    server
        .clock
        .now()
        .plus(Duration::from_secs(seconds))
        .to_string()
}

async fn a_withdrawal_reckons_with_what_was_served_before_a_restart(server: Server) {
    let server = again(server, &LONG).await;
    let acme = server.organization("acme").await;
    assert_eq!(max_age(&server).await, "10800");
    let server = again(server, &[]).await;
    assert_eq!(max_age(&server).await, "300");
    let leaked = kid_in(&server, &acme, "active").await.unwrap();
    let told = revoke(&server, &acme, &leaked).await;
    let long = in_seconds(&server, 3 * HOUR + STALE);
    for time in [
        "accepted_elsewhere_until",
        "accepted_elsewhere_at_most_until",
        "unknown_until",
        "unknown_at_most_until",
    ] {
        assert_eq!(told[time], long, "{time}");
    }
    let emergency = rotate(&server, &acme, json!({ "emergency": true })).await;
    let emergency = emergency.expect(StatusCode::CREATED).body.clone();
    assert_eq!(emergency["unknown_until"], long);
    // So long validators are told of it that follow the feed.
    server.advance(3 * HOUR);
    let feed = before(&server, "/orgs/acme", "signing_keys", &leaked).await;
    assert!(feed.is_some(), "it may be in a cache");

    // Once none can be in a cache, nothing is left of it.
    server.advance(AT_MOST_MORE);
    let withdrawn = kid_in(&server, &acme, "active").await.unwrap();
    let told = revoke(&server, &acme, &withdrawn).await;
    let short = in_seconds(&server, 300 + STALE);
    assert_eq!(told["accepted_elsewhere_until"], short);
    assert_eq!(told["unknown_until"], short);
    let slowest = in_seconds(&server, 2 * HOUR + STALE);
    assert_eq!(told["accepted_elsewhere_at_most_until"], slowest);
}

async fn a_rotation_waits_for_what_was_served_before_a_restart(server: Server) {
    let server = again(server, &LONG).await;
    let acme = server.organization("acme").await;
    let first = signs(&server, &acme).await;
    let server = again(server, &[]).await;
    let rotated = rotate(&server, &acme, json!({})).await;
    let rotated = rotated.expect(StatusCode::CREATED).body.clone();
    let next = rotated["kid"].as_str().unwrap().to_owned();
    let lead = 3 * HOUR + STALE + SKEW;
    assert_eq!(rotated["activates_at"], in_seconds(&server, lead));
    assert_eq!(rotated["unknown_until"], Value::Null);
    server.advance(lead - 1);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(signs(&server, &acme).await, first);
    server.advance(1);
    assert_eq!(until(&server, &acme, "retiring").await, first);
    assert_eq!(signs(&server, &acme).await, next);
}

/// A key that was published under the lead of one server is not hurried into signing by it when
/// another comes that tells validators to keep the JWKS of before for longer.
#[tokio::test(flavor = "multi_thread")]
async fn servers_that_are_set_differently_tell_and_keep_the_longest() {
    let Some(place) = Place::postgres().await else {
        return;
    };
    let near = place.start().await;
    let acme = near.organization("acme").await;
    let url = near.place().database_url();
    let far = near.another_node_by(&url, &LONG).await;
    assert_eq!(max_age(&near).await, "300");
    assert_eq!(max_age(&far).await, "10800");
    for server in [&near, &far] {
        let leaked = kid_in(server, &acme, "active").await.unwrap();
        let told = revoke(server, &acme, &leaked).await;
        let long = in_seconds(server, 3 * HOUR + STALE);
        assert_eq!(told["accepted_elsewhere_until"], long);
        assert_eq!(told["unknown_until"], long);
    }
    let first = signs(&near, &acme).await;
    let rotated = rotate(&near, &acme, json!({})).await;
    let rotated = rotated.expect(StatusCode::CREATED).body.clone();
    let lead = 3 * HOUR + STALE + SKEW;
    assert_eq!(rotated["activates_at"], in_seconds(&near, lead));
    let next = rotated["kid"].as_str().unwrap();
    // As whoever looks at another server is told, which goes by its own lead, or by the longest.
    let path = format!("/v1/signing-keys/{next}");
    let at = async |server: &Server| {
        let shown = server.call(&acme.secret, Method::GET, &path, Value::Null);
        shown.await.expect(StatusCode::OK).body["activates_at"].clone()
    };
    assert_eq!(at(&near).await, in_seconds(&near, lead));
    assert_eq!(at(&far).await, in_seconds(&near, 4 * HOUR));
    near.advance(3 * HOUR);
    // Time that passes by itself lets no server forget to repeat what it says.
    tokio::time::sleep(Duration::from_secs(2)).await;
    near.advance(HOUR);
    assert_eq!(until(&near, &acme, "retiring").await, first);
    let path = format!("/v1/signing-keys/{first}");
    let shown = near.call(&acme.secret, Method::GET, &path, Value::Null);
    let shown = shown.await.expect(StatusCode::OK).body.clone();
    let time = |name: &str| -> Timestamp { shown[name].as_str().unwrap().parse().unwrap() };
    let retention = time("retires_at").seconds_since(time("retiring_at"));
    assert_eq!(retention, HOUR + 300 + SKEW + STALE + 3 * HOUR);
}

async fn no_jwks_is_served_before_its_max_age_is_written_down(server: Server) {
    let written = "SELECT CAST(max_age AS TEXT) FROM jwks_max_ages ORDER BY max_age";
    server.organization("acme").await;
    let clock = server.clock.clone();
    let place = server.stop().await;
    place.execute("DELETE FROM jwks_max_ages").await;
    // As where a disk is full.
    let gone = "ALTER TABLE jwks_max_ages RENAME TO elsewhere";
    place.execute(gone).await;
    let Ok(server) = Server::start(place.with(&LONG), clock).await else {
        panic!("it did not start");
    };
    for _ in 0..2 {
        assert_eq!(max_age(&server).await, "5", "nobody knows of more");
        // The jobs have their turn.
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let back = "ALTER TABLE elsewhere RENAME TO jwks_max_ages";
    server.place().execute(back).await;
    server.advance(5);
    for _ in 0..1_000 {
        let told = max_age(&server).await;
        if told == "10800" {
            break;
        }
        assert_eq!(told, "5");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(max_age(&server).await, "10800");
    assert_eq!(server.place().query(written).await, ["10800"]);
}

/// Between the backup and the restore the server went on telling what it told then.
async fn a_restored_backup_reckons_with_what_was_served_when_it_was_taken(server: Server) {
    let server = again(server, &LONG).await;
    let acme = server.organization("acme").await;
    // The backup is of long ago. The server, whose clock stands, does not repeat what it said.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let old = "UPDATE jwks_max_ages SET announced_until = 1000000";
    server.place().execute(old).await;
    let taken = snapshot::take(&server);
    let clock = server.clock.clone();
    let place = server.stop().await;
    let restore = snapshot::put_back(&place, &taken).await;
    let mut restore: Vec<&str> = restore.iter().map(String::as_str).collect();
    restore.push("--accept-resurrected");
    let done = tokio::task::block_in_place(|| tenmint(&place, &restore));
    assert!(done.success, "{}", done.err);
    let until = "SELECT CAST(announced_until AS TEXT) FROM jwks_max_ages WHERE max_age = 10800";
    let until: i64 = place.query(until).await[0].parse().unwrap();
    assert!(until >= clock.now().unix(), "{until}");
    let Ok(server) = Server::start(place.bare(), clock).await else {
        panic!("it did not start");
    };
    let kid = kid_in(&server, &acme, "active").await.unwrap();
    let told = revoke(&server, &acme, &kid).await;
    let long = in_seconds(&server, 3 * HOUR + STALE);
    assert_eq!(told["accepted_elsewhere_until"], long);
}

async fn doctor_names_servers_that_are_set_differently(server: Server) {
    let place = server.place();
    let check = "JWKS max-age";
    finds(
        place,
        check,
        "ok",
        "no server says otherwise than JWKS_MAX_AGE, 5m",
    );
    let now = server.clock.now();
    let minute = Duration::from_mins(1);
    let hour = Duration::from_hours(1);
    let lives = now.plus(hour).unix();
    let lives = format!("UPDATE jwks_max_ages SET announced_until = {lives}");
    place.execute(&lives).await;
    let said = async |max_age: u64, until: Timestamp| {
        let until = until.unix();
        let say = format!("INSERT INTO jwks_max_ages VALUES ({max_age}, {until})");
        place.execute(&say).await;
    };
    said(4 * HOUR, now.minus(minute)).await;
    let skew = Duration::from_secs(SKEW);
    let end = now.minus(minute).plus(hour * 4 + skew);
    finds(place, check, "ok", &format!("but until {end} some"));
    finds(place, check, "ok", "served with 4h");
    finds(place, check, "ok", "published for 4h 1m 10s before");
    said(3 * HOUR, now.plus(hour)).await;
    finds(place, check, "warning", "JWKS_MAX_AGE is 5m here");
    finds(place, check, "warning", "with 3h and 5m: set the same");
    place
        .execute("DELETE FROM jwks_max_ages WHERE max_age > 300")
        .await;
    let otherwise = [("TENMINT_JWKS_MAX_AGE", "10m")];
    let found = ("warning", "JWKS_MAX_AGE is 10m here");
    finds_with(place, &[], &otherwise, check, found);
}
