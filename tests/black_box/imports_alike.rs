//! Imported strings that are found by how they begin: few begin alike, and those that ended count
//! no more.

use std::path::PathBuf;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::imports::{exchange, id_of, revoke};
use crate::on_both_engines;
use crate::support::imports::{file, import, line, old_string, rejects};
use crate::support::root_keys::until;
use crate::support::server::Server;

on_both_engines!(
    no_more_than_four_strings_begin_alike,
    a_key_that_ended_makes_room_for_one_that_begins_like_it,
    lengths_of_beginnings_are_few_and_given_back,
);

/// A slow line whose string is told by so many characters.
fn told_by(n: usize, length: usize) -> Value {
    let text = old_string(n);
    let mut row = line("bcrypt", &text);
    row["prefix"] = json!(text[..length]);
    row["external_id"] = json!(format!("n{n}"));
    row
}

/// Imports these lines; the numbers of those that were refused, and the reasons.
fn take(server: &Server, org: &str, name: &str, lines: &[Value]) -> Vec<(u64, String)> {
    let path: PathBuf = file(server.place(), name, lines);
    import(server.place(), org, &path);
    rejects(&path)
}

async fn counts(server: &Server, n: usize) {
    until("an imported string counts", async || {
        exchange(server, &old_string(n)).await.status == StatusCode::OK
    })
    .await;
}

async fn no_more_than_four_strings_begin_alike(server: Server) {
    server.organization("acme").await;
    let lines: Vec<_> = (100..106).map(|n| told_by(n, 8)).collect();
    let told = take(&server, "acme", "alike.jsonl", &lines);
    let refused: Vec<_> = told.iter().map(|(line, _)| *line).collect();
    assert_eq!(refused, [5, 6]);
    assert!(told[0].1.starts_with("prefix: 4 strings begin so already"));
    for n in 100..104 {
        counts(&server, n).await;
    }
    exchange(&server, &old_string(104))
        .await
        .refuses(401, "invalid_client");
}

async fn a_key_that_ended_makes_room_for_one_that_begins_like_it(server: Server) {
    server.organization("acme").await;
    let mut lines: Vec<_> = (100..104).map(|n| told_by(n, 8)).collect();
    assert_eq!(take(&server, "acme", "first.jsonl", &lines), []);
    lines[0] = told_by(104, 8);
    assert_eq!(take(&server, "acme", "full.jsonl", &lines[..1]).len(), 1);
    let room = async |name: &str, n: usize| {
        let told = take(&server, "acme", name, &[told_by(n, 8)]);
        assert_eq!(told, [], "{name}");
        // The next finds no room again.
        let told = take(
            &server,
            "acme",
            &format!("{name}-full"),
            &[told_by(n + 100, 8)],
        );
        assert_eq!(told.len(), 1, "{name}");
    };
    // Revoked.
    let id = id_of(&server, "acme", "n100").await;
    revoke(&server, "acme", &id).await;
    room("revoked", 105).await;
    // Given another secret.
    let id = id_of(&server, "acme", "n101").await;
    let path = format!("/v1/organizations/acme/api-keys/{id}/rotate");
    let at_once = json!({ "overlap_seconds": 0 });
    let rotated = server.operate(Method::POST, &path, at_once).await;
    rotated.expect(StatusCode::OK);
    room("rotated", 106).await;
    // Used.
    let slow = "SELECT CAST(COUNT(*) AS TEXT) FROM imported_lookups WHERE one = 0";
    assert_eq!(server.place().query(slow).await, ["4"]);
    until("a string that is used is found by itself", async || {
        exchange(&server, &old_string(102)).await;
        server.place().query(slow).await == ["3"]
    })
    .await;
    room("used", 107).await;
    // Those that are left count, and what ended does not.
    for n in [102, 103, 105, 106, 107] {
        counts(&server, n).await;
    }
    for n in [100, 101] {
        exchange(&server, &old_string(n))
            .await
            .refuses(401, "invalid_client");
    }
}

async fn lengths_of_beginnings_are_few_and_given_back(server: Server) {
    for id in ["acme", "other"] {
        server.organization(id).await;
    }
    let lines: Vec<_> = (0..5).map(|n| told_by(n, 10 + n)).collect();
    let told = take(&server, "acme", "lengths.jsonl", &lines);
    let why = "prefix: beginnings of 4 other lengths are in use: give one of 10, 11, 12, 13 char";
    assert!(told.len() == 1 && told[0].1.starts_with(why), "{told:?}");
    // Another organization's count as well, and an organization that is deleted leaves none.
    let told = take(&server, "other", "other.jsonl", &[told_by(5, 15)]);
    assert_eq!(told.len(), 1);
    let path = "/v1/organizations/acme?force=true";
    let gone = server.operate(Method::DELETE, path, Value::Null).await;
    assert!(gone.status.is_success(), "{}", gone.text);
    let lines: Vec<_> = (10..14).map(|n| told_by(n, n + 10)).collect();
    assert_eq!(take(&server, "other", "anew.jsonl", &lines), []);
    for n in 10..14 {
        counts(&server, n).await;
    }
    // Whoever is found by itself needs no beginning: its length is free for others.
    let begun = "SELECT CAST(COUNT(*) AS TEXT) FROM imported_lookups WHERE one = 0";
    until("each string is found by itself", async || {
        for n in 10..14 {
            counts(&server, n).await;
        }
        server.place().query(begun).await == ["0"]
    })
    .await;
    assert_eq!(take(&server, "other", "free.jsonl", &[told_by(20, 9)]), []);
    counts(&server, 20).await;
}
