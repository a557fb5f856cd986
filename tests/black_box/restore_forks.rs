//! Databases that went on apart from one copy: what one tells is not put into the other, and
//! neither takes the other's place in silence.

use std::fs;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tenmint::app::StartError;
use tenmint::clock::Clock;
use tenmint::store::error::StoreError;

use super::doctor::finds;
use super::restore_root_keys::{again, revoke};
use crate::on_both_engines;
use crate::support::operations::{at, backup, database, does, export, lose, refuses, tells, tenmint};
use crate::support::server::{Key, Place, Server};
use crate::support::snapshot;

on_both_engines!(a_log_that_went_on_apart_is_told_by_where_it_parted);

async fn a_log_that_went_on_apart_is_told_by_where_it_parted(server: Server) {
    let acme = server.organization("acme").await;
    let [first, second] = [
        server.key_with(&acme, &["read"]).await,
        server.key_with(&acme, &["read"]).await,
    ];
    // Both have the first four entries.
    let common = snapshot::take(&server);
    let kept = at(server.place(), "common");
    fs::rename(&common, &kept).unwrap();
    revoke(&server, &first).await;
    server.advance(60);
    revoke(&server, &second).await;
    let later = snapshot::take(&server);
    let clock = server.clock.clone();
    let place = server.stop().await;

    put_in_place(&place, &kept).await;
    let fork = again(place, &clock).await;
    revoke(&fork, &second).await;
    let logs = [
        export(&fork, "acme").await,
        export(&fork, "operator").await,
    ];
    let place = fork.stop().await;
    let copy = at(&place, "fork.db");
    if place.is_sqlite() {
        fs::copy(database(&place), &copy).unwrap();
    }

    let begun = snapshot::put_back(&place, &later).await;
    let begun: Vec<&str> = begun.iter().map(String::as_str).collect();
    let given = ["--audit-export", &logs[0], "--audit-export", &logs[1]];
    let restore = [&begun[..], &given].concat();
    let parted = "has another history than the backup from entry 5 on";
    let said = refuses(&place, &restore, 5, &format!("acme: {} {parted}", logs[0]));
    assert!(said.contains("(a fork)") && said.contains("leave this log out"), "{said}");
    assert!(!said.contains("no log that was given"), "{said}");
    if place.is_sqlite() {
        let restore = [&begun[..], &["--audit-database", &copy]].concat();
        refuses(&place, &restore, 5, &format!("acme: {copy} {parted}"));
    }
    // Whoever goes on all the same finds it in the report.
    let accepted = [&restore[..], &["--accept-resurrected"]].concat();
    let told = tells(&place, &accepted);
    let why = told["organizations"][0]["unknown_because"].as_str().unwrap();
    assert!(why.contains(parted), "{why}");
}

/// Puts a snapshot in place by hand, so that a server starts on it.
async fn put_in_place(place: &Place, snapshot: &str) {
    snapshot::put_back(place, snapshot).await;
    if place.is_sqlite() {
        fs::copy(snapshot, database(place)).unwrap();
    }
}
