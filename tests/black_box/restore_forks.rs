//! Databases that went on apart from one copy: what one tells is not put into the other, and
//! neither takes the other's place in silence.

use std::fs;

use serde_json::Value;
use tenmint::app::StartError;
use tenmint::clock::Clock;
use tenmint::store::error::StoreError;

use super::doctor::finds;
use super::restore_root_keys::{again, revoke};
use crate::on_both_engines;
use crate::support::operations::{
    at, backup, database, does, export, lose, refuses, tells, tenmint,
};
use crate::support::server::{Place, Server};
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
    let logs = [export(&fork, "acme").await, export(&fork, "operator").await];
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
    assert!(
        said.contains("(a fork)") && said.contains("leave this log out"),
        "{said}"
    );
    assert!(!said.contains("no log that was given"), "{said}");
    if place.is_sqlite() {
        let restore = [&begun[..], &["--audit-database", &copy]].concat();
        refuses(&place, &restore, 5, &format!("acme: {copy} {parted}"));
    }
    // Whoever goes on all the same finds it in the report.
    let accepted = [&restore[..], &["--accept-resurrected"]].concat();
    let told = tells(&place, &accepted);
    let why = told["organizations"][0]["unknown_because"]
        .as_str()
        .unwrap();
    assert!(why.contains(parted), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_went_on_apart_does_not_take_the_place_of_the_other() {
    let server = Server::on_sqlite().await;
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let file = tokio::task::block_in_place(|| backup(server.place(), "b.db"));
    revoke(&server, &key).await;
    let clock = server.clock.clone();
    let place = server.stop().await;
    let mark = place.folder().join("tenmint.db.mark");
    let (original, noted) = (
        fs::read(database(&place)).unwrap(),
        fs::read(&mark).unwrap(),
    );

    // The copy counts more acts by now.
    lose(&place);
    fs::copy(&file, database(&place)).unwrap();
    let fork = again(place, &clock).await;
    for _ in 0..3 {
        fork.key_with(&acme, &["read"]).await;
    }
    let logs = [export(&fork, "acme").await, export(&fork, "operator").await];
    let place = fork.stop().await;
    fs::write(&mark, &noted).unwrap();
    let place = is_forked(place, &clock).await;
    let said = "has another history than the one that was served here before";
    let served = refuses(&place, &["serve"], 1, said);
    assert!(served.contains("`tenmint restore --in-place`"), "{served}");
    refuses(&place, &["operator-key", "--quiet"], 1, said);
    finds(&place, "history", "problem", said);
    // What a version before this noted counts by its numbers alone.
    let mut counted: Value = serde_json::from_slice(&noted).unwrap();
    counted.as_object_mut().unwrap().remove("last").unwrap();
    fs::write(&mark, counted.to_string()).unwrap();
    finds(&place, "history", "ok", "older copy");
    fs::write(&mark, &noted).unwrap();

    // Its own logs, whole as they are, do not make up for the other's.
    let given = ["--audit-export", &logs[0], "--audit-export", &logs[1]];
    let in_place = [&["restore", "--in-place"], &given[..]].concat();
    refuses(&place, &in_place, 5, "had another history (a fork)");
    let told = tells(&place, &[&in_place[..], &["--quarantine"]].concat());
    assert_eq!(told["another_history"], true);
    let server = again(place, &clock).await;
    let refused = server.exchange(&key, &[]).await;
    refused.refuses(401, "invalid_client");
    // Now the other is what is not served in silence.
    let place = server.stop().await;
    fs::write(database(&place), original).unwrap();
    assert_eq!(tenmint(&place, &["serve"]).code, Some(1));

    // Nor does it help to have been restored elsewhere.
    lose(&place);
    does(&place, &["restore", &file, "--accept-resurrected"]);
    fs::write(&mark, &noted).unwrap();
    refuses(&place, &["serve"], 1, said);
}

/// A server does not start there, because what was served went on apart.
async fn is_forked(place: Place, clock: &Clock) -> Place {
    match Server::start(place, clock.clone()).await {
        Err((StartError::Store(StoreError::Forked { .. }), place)) => place,
        Err((why, _)) => panic!("{why}"),
        Ok(_) => panic!("it started"),
    }
}

/// Puts a snapshot in place by hand, so that a server starts on it.
async fn put_in_place(place: &Place, snapshot: &str) {
    snapshot::put_back(place, snapshot).await;
    if place.is_sqlite() {
        fs::copy(snapshot, database(place)).unwrap();
    }
}
