//! A root key that was given up after the backup, with API keys that needed it: no log tells which
//! ended, and nobody is to find out by their being in force again.

use std::fs;

use reqwest::StatusCode;
use serde_json::json;

use super::restore_root_keys::again;
use crate::on_both_engines;
use crate::support::operations::{does, export, refuses, tells};
use crate::support::root_keys::{current, done, followed, use_up};
use crate::support::server::Server;
use crate::support::snapshot;

on_both_engines!(api_keys_that_ended_with_a_root_key_do_not_come_back_unnoticed);

async fn api_keys_that_ended_with_a_root_key_do_not_come_back_unnoticed(server: Server) {
    let acme = server.organization("acme").await;
    let forgotten = server.key_with(&acme, &["read"]).await;
    let used = server.key_with(&acme, &["read"]).await;
    let path = server.place().root_key_file();
    let old = tokio::task::block_in_place(|| {
        let old = current(server.place());
        done(server.place(), &["rotate"]);
        old
    });
    followed(&server).await;
    let used_up = [&acme, &server.operator_key(), &used];
    use_up(&server, &used_up).await;
    let snapshot = snapshot::take(&server);
    let both = fs::read(&path).unwrap();
    tokio::task::block_in_place(|| {
        done(server.place(), &["drop", &old, "--yes", "--force"]);
    });
    let mut logs = Vec::new();
    for organization in ["acme", "operator"] {
        logs.push(export(&server, organization).await);
    }
    let clock = server.clock.clone();
    let place = server.stop().await;
    // Whoever restores has the root keys of all that time.
    fs::write(&path, both).unwrap();

    let begun = snapshot::put_back(&place, &snapshot).await;
    let mut restore: Vec<&str> = begun.iter().map(String::as_str).collect();
    for log in &logs {
        restore.extend(["--audit-export", log]);
    }
    let said = refuses(&place, &restore, 5, "Nothing was changed");
    let ended = format!(
        "root key {old} was given up after the backup, and 1 API keys that needed it ended with it"
    );
    assert!(said.contains(&ended), "{said}");
    assert!(said.contains("1 API keys of the backup need such a root key"));

    let told = tells(&place, &[&restore[..], &["--quarantine"]].concat());
    let of_acme = &told["organizations"][0];
    let switched_off = of_acme["quarantined"].as_array().unwrap();
    assert_eq!(switched_off.len(), 1, "{told}");
    assert_eq!(switched_off[0]["id"], forgotten.id);
    let why = switched_off[0]["why"].as_str().unwrap();
    assert!(
        why.contains(&format!("root key {old} was given up")),
        "{why}"
    );
    assert_eq!(of_acme["revoked_signing_keys"], json!([]), "it is known");
    assert_eq!(told["ended_with"][&old], 1);
    let server = again(place, &clock).await;
    let refused = server.exchange(&forgotten, &[]).await;
    refused.refuses(401, "invalid_client");
    for key in [&used, &acme] {
        server.exchange(key, &[]).await.expect(StatusCode::OK);
    }
    let place = server.stop().await;

    let begun = snapshot::put_back(&place, &snapshot).await;
    let mut restore: Vec<&str> = begun.iter().map(String::as_str).collect();
    for log in &logs {
        restore.extend(["--audit-export", log]);
    }
    restore.push("--accept-resurrected");
    let said = does(&place, &restore);
    let told = format!("`tenmint root-key drop {old} --force`, before a server starts");
    assert!(said.contains(&told), "{said}");
    // Which is enough.
    done(&place, &["drop", &old, "--yes", "--force"]);
    let server = again(place, &clock).await;
    let refused = server.exchange(&forgotten, &[]).await;
    refused.refuses(401, "invalid_client");
    server.exchange(&used, &[]).await.expect(StatusCode::OK);
}
