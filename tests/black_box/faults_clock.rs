//! A clock that is stepped: an hour ahead, an hour back. What ended stays ended, what lives goes on,
//! and nothing that is periodic waits for an hour.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tenmint::clock::Clock;

use crate::on_both_engines;
use crate::signing_key_crashes::SERVE;
use crate::support::left_out::or_left_out;
use crate::support::nodes::{Node, block};
use crate::support::operations::does;
use crate::support::process::Process;
use crate::support::server::{Key, Place, Reply, Server, claims};

on_both_engines!(a_token_denied_before_the_clock_was_stepped_stays_denied);

const HOUR: i64 = 3_600;

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_stepped_brings_back_nothing_and_stops_nothing() {
    let Some(library) = or_left_out(libfaketime(), "libfaketime", "install libfaketime") else {
        return;
    };
    let place = Place::sqlite();
    let operator = block(|| does(&place, &["operator-key", "--quiet"]));
    let file = place.folder().join("clock");
    step(&file, 0);
    let environment = [
        ("LD_PRELOAD", library.to_str().unwrap()),
        ("FAKETIME_TIMESTAMP_FILE", file.to_str().unwrap()),
        ("FAKETIME_NO_CACHE", "1"),
        // A step of the time of day moves no other clock.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("NO_FAKE_STAT", "1"),
        ("TENMINT_ISSUER", "https://mint.example"),
    ];
    let serve = || Process::serve(&place, &SERVE, &environment);
    let node = Node::of(block(serve));
    let acme = node.organization(operator.trim(), "acme").await;
    let kept = node.make(&acme).await.unwrap();
    let revoked = node.make(&acme).await.unwrap();
    assert!(node.act(&acme, &revoked, "revoke").await);
    let ends_at = Clock::system().now().plus(Duration::from_mins(30));
    let body = json!({ "name": "ends", "scopes": ["read"], "expires_at": ends_at });
    let path = "/v1/api-keys";
    let ends = node.call(&acme.secret, Method::POST, path, &body).await;
    let ends = Key::of(&ends.unwrap().expect(StatusCode::CREATED).body);

    for offset in [0, HOUR, 0, -HOUR, 0] {
        step(&file, offset);
        let token = node.exchange(&kept).await.unwrap();
        let token = token.expect(StatusCode::OK).body["access_token"].clone();
        let issued = claims(token.as_str().unwrap())["iat"].as_i64().unwrap();
        let off = issued - Clock::system().now().unix();
        assert!((off - offset).abs() < HOUR / 2, "the clock is {off} s off");
        let refused = node.exchange(&revoked).await.unwrap();
        refused.refuses(401, "invalid_client");
        // It is what the clock says that ends a key, and nothing that was noted of it.
        let lives = node.exchange(&ends).await.unwrap().status == StatusCode::OK;
        assert_eq!(lives, offset <= 0, "at {offset}");
        let made = node.make(&acme).await.unwrap();
        node.exchange(&made).await.unwrap().expect(StatusCode::OK);
        // What is periodic goes on: it leads the next signing key to where it signs.
        let before = signs(&node, &acme).await;
        let path = "/v1/signing-keys/rotate";
        let rotated = node
            .call(&acme.secret, Method::POST, path, &json!({}))
            .await;
        rotated.unwrap().expect(StatusCode::CREATED);
        for look in 0.. {
            if signs(&node, &acme).await != before {
                break;
            }
            assert!(look < 600, "the jobs stand still at {offset}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    block(|| does(&place, &["audit", "verify"]));
    assert!(node.process.stop());
}

/// What is held in memory, and what others deny, is read by a clock that is ahead, and then right.
async fn a_token_denied_before_the_clock_was_stepped_stays_denied(server: Server) {
    let acme = server.organization("acme").await;
    let tokens = [
        server.management_token(&acme, &[]).await,
        server.management_token(&acme, &[]).await,
    ];
    let deny = async |token: &str| {
        let request = server.request(Method::POST, "/oauth/revoke");
        let request = request.form(&[("token", token)]).bearer_auth(&acme.secret);
        Reply::of(request).await.expect(StatusCode::OK);
    };
    let status = async |token: &str| {
        let path = "/v1/api-keys";
        let reply = server.call(token, Method::GET, path, Value::Null);
        reply.await.status
    };
    deny(&tokens[0]).await;
    assert_eq!(status(&tokens[0]).await, StatusCode::UNAUTHORIZED);
    let hour = Duration::from_hours(1);
    server.clock.advance(hour);
    // This forgets what was over long ago, and has the list of denials read anew.
    let other = server.management_token(&acme, &[]).await;
    deny(&other).await;
    assert_eq!(status(&other).await, StatusCode::UNAUTHORIZED);
    server.clock.set_back(hour);
    assert_eq!(status(&tokens[0]).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(&tokens[1]).await, StatusCode::OK);
}

/// Sets the clock so many seconds apart from the machine's.
fn step(file: &Path, seconds: i64) {
    let new = file.with_extension("new");
    fs::write(&new, format!("{seconds:+}\n")).unwrap();
    fs::rename(new, file).unwrap();
}

/// The signing key of `acme` that signs now.
async fn signs(node: &Node, acme: &Key) -> String {
    let path = "/v1/signing-keys?limit=100";
    let keys = node
        .call(&acme.secret, Method::GET, path, &Value::Null)
        .await;
    let keys = keys.unwrap().expect(StatusCode::OK).body["data"].clone();
    let mut keys = keys.as_array().unwrap().iter();
    let active = keys.find(|key| key["status"] == "active");
    active.unwrap()["kid"].as_str().unwrap().to_owned()
}

/// The library that shows a process another time of day, where Debian, Red Hat and Homebrew put it.
fn libfaketime() -> Option<PathBuf> {
    let machine = format!("/usr/lib/{}-linux-gnu/faketime", std::env::consts::ARCH);
    [&*machine, "/usr/lib64/faketime", "/usr/lib/faketime"]
        .iter()
        .map(|folder| Path::new(folder).join("libfaketime.so.1"))
        .find(|library| library.is_file())
}
