//! A backup is put back under its own root key, also if that leaked and was replaced since: the report
//! and `tenmint doctor` name what is later, and what they say to do is enough.

use std::fs;

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::doctor::{finds, found};
use super::restore_root_keys::again;
use crate::on_both_engines;
use crate::support::operations::{backup, does, export, refuses, tells};
use crate::support::root_keys::{current, done, followed, in_file};
use crate::support::server::{Place, Server};
use crate::support::snapshot;

on_both_engines!(the_latest_root_key_is_named_and_gone_over_to);

/// Replaces the root key, and answers which is current then.
async fn replaced(server: &Server) -> String {
    let new = tokio::task::block_in_place(|| {
        done(server.place(), &["rotate"]);
        current(server.place())
    });
    followed(server).await;
    new
}

/// Leaves these of the root keys in the file.
fn keep(place: &Place, ids: &[&str]) {
    let ring = in_file(place);
    let kept = ring.iter().filter(|key| ids.contains(&key.id().as_str()));
    let lines: String = kept.map(|key| key.to_line().to_string()).collect();
    fs::write(place.root_key_file(), lines).unwrap();
}

async fn the_latest_root_key_is_named_and_gone_over_to(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let leaked = tokio::task::block_in_place(|| current(server.place()));
    let snapshot = snapshot::take(&server);
    let between = replaced(&server).await;
    let latest = replaced(&server).await;
    let clock = server.clock.clone();
    let place = server.stop().await;
    let ring = fs::read(place.root_key_file()).unwrap();

    // Which root key is missing where, and what for.
    keep(&place, &[&between, &latest]);
    let begun = snapshot::put_back(&place, &snapshot).await;
    let begun: Vec<&str> = begun.iter().map(String::as_str).collect();
    let accept = [&begun[..], &["--accept-resurrected"]].concat();
    let said = refuses(&place, &accept, 1, &format!("opens with root key {leaked}"));
    let file = place.root_key_file();
    let lacks = format!("{} holds {between}, {latest} alone", file.display());
    assert!(said.contains(&lacks), "{said}");
    fs::write(&file, ring).unwrap();

    let to = format!("`tenmint root-key rotate --to {latest}`");
    for unknown in ["--quarantine", "--accept-resurrected"] {
        snapshot::put_back(&place, &snapshot).await;
        let said = does(&place, &[&begun[..], &[unknown]].concat());
        for told in [
            format!("ATTENTION: root key {leaked} is current now"),
            format!("unknown to this database: {between}, {latest}"),
            to.clone(),
        ] {
            assert!(said.contains(&told), "{told}: {said}");
        }
    }
    snapshot::put_back(&place, &snapshot).await;
    let told = tells(&place, &accept);
    assert_eq!(
        told["unknown_root_keys"],
        json!({
            "current": leaked, "held": [between, latest], "served": null, "told": null,
            "go_over_to": latest,
        })
    );
    let (verdict, text) = found(&place, &[], &[], "root key");
    assert_eq!(verdict, "warning", "{text}");
    assert!(text.contains(&to), "{text}");

    // What is said is enough, and it is done at once, before a server starts.
    done(&place, &["rotate", "--to", &latest]);
    assert_eq!(current(&place), latest);
    finds(&place, "root key", "warning", "do not go over to it");
    done(&place, &["drop", &between, "--yes"]);
    // One that is added now is a rotation under way, as ever.
    done(&place, &["add"]);
    finds(&place, "root key", "ok", "run `tenmint root-key rotate`");
    let server = again(place, &clock).await;
    server.exchange(&key, &[]).await.expect(StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_root_key_of_what_was_served_is_named_though_it_is_not_held() {
    let server = Server::on_sqlite().await;
    server.organization("acme").await;
    let leaked = tokio::task::block_in_place(|| current(server.place()));
    let file = tokio::task::block_in_place(|| backup(server.place(), "b.db"));
    let latest = replaced(&server).await;
    let place = server.stop().await;
    keep(&place, &[&leaked]);
    let restore = [
        "restore",
        &file,
        "--replace",
        "--ignore-replaced",
        "--quarantine",
    ];
    let said = does(&place, &restore);
    for told in [
        format!("root key {latest} was current in the database that was served here last"),
        "it is not held: put it".to_owned(),
        format!("`tenmint root-key rotate --to {latest}`"),
    ] {
        assert!(said.contains(&told), "{told}: {said}");
    }
    let to = format!("`tenmint root-key rotate --to {latest}`");
    finds(&place, "root key", "warning", &to);
    // A new one will do where there is no copy of it.
    done(&place, &["rotate"]);
    finds(&place, "root key", "ok", "it is the one of this database");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_root_key_that_the_operators_log_names_is_gone_over_to_though_it_is_not_held() {
    let server = Server::on_sqlite().await;
    server.organization("acme").await;
    let leaked = tokio::task::block_in_place(|| current(server.place()));
    let snapshot = snapshot::take(&server);
    let latest = replaced(&server).await;
    let log = export(&server, "operator").await;
    let place = server.stop().await;
    let ring = fs::read(place.root_key_file()).unwrap();
    keep(&place, &[&leaked]);
    let begun = snapshot::put_back(&place, &snapshot).await;
    let mut begun: Vec<&str> = begun.iter().map(String::as_str).collect();
    begun.extend(["--audit-export", &log, "--accept-resurrected"]);
    let said = does(&place, &begun);
    let became = format!("root key {latest} became current after the backup");
    assert!(
        said.contains("ATTENTION") && said.contains(&became),
        "{said}"
    );
    let to = format!("`tenmint root-key rotate --to {latest}`");
    finds(&place, "root key", "warning", &to);
    fs::write(place.root_key_file(), ring).unwrap();
    finds(&place, "root key", "warning", &to);
    done(&place, &["rotate", "--to", &latest]);
    finds(&place, "root key", "ok", "it is the one of this database");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_without_other_root_keys_says_nothing_of_them() {
    let server = Server::on_sqlite().await;
    server.organization("acme").await;
    let file = tokio::task::block_in_place(|| backup(server.place(), "b.db"));
    let place = server.stop().await;
    let restore = ["restore", &file, "--replace"];
    let told = tells(&place, &restore);
    assert_eq!(told["unknown_root_keys"], Value::Null, "{told}");
    assert!(!does(&place, &restore).contains("ATTENTION"));
    finds(&place, "root key", "ok", "it is the one of this database");
}
