//! What is lost with the time since a backup, or missing for what is in it, a restore names.

use std::fs;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::signing_keys::{kid_in, rotate};
use crate::on_both_engines;
use crate::support::operations::{does, export, tells};
use crate::support::root_keys::{current, done, followed, in_file};
use crate::support::server::Server;
use crate::support::snapshot;

on_both_engines!(
    every_signing_key_that_was_made_after_the_backup_is_named,
    root_keys_that_are_missing_are_named_under_quarantine_too,
);

async fn every_signing_key_that_was_made_after_the_backup_is_named(server: Server) {
    let acme = server.organization("acme").await;
    let snapshot = snapshot::take(&server);
    // One is given up before it signs; the one that took the place of the leaked one, and the next,
    // go with the time since.
    rotate(&server, &acme, json!({}))
        .await
        .expect(StatusCode::CREATED);
    let leaked = kid_in(&server, &acme, "active").await.unwrap();
    let path = format!("/v1/organizations/acme/signing-keys/{leaked}/revoke");
    let revoked = server.operate(Method::POST, &path, json!({})).await;
    let instead = revoked.expect(StatusCode::OK).body["replaced_by"].clone();
    let rotated = rotate(&server, &acme, json!({})).await;
    let next = rotated.expect(StatusCode::CREATED).body["kid"].clone();
    let newer = server.organization("newer").await;
    let of_newer = kid_in(&server, &newer, "active").await.unwrap();
    let mut logs = Vec::new();
    for organization in ["acme", "newer", "operator"] {
        logs.push(export(&server, organization).await);
    }
    let place = server.stop().await;

    let begun = snapshot::put_back(&place, &snapshot).await;
    let mut words: Vec<&str> = begun.iter().map(String::as_str).collect();
    for log in &logs {
        words.extend(["--audit-export", log]);
    }
    let told = tells(&place, &words);
    let of_acme = &told["organizations"][0];
    let mut lost = [instead, next];
    lost.sort_by_key(|kid| kid.as_str().unwrap().to_owned());
    assert_eq!(of_acme["lost_signing_keys"], json!(lost), "{told}");
    assert_eq!(
        told["lost_organizations_signing_keys"],
        json!({ "newer": [of_newer] })
    );
    // For people too.
    snapshot::put_back(&place, &snapshot).await;
    let said = does(&place, &words);
    for (organization, kid) in [
        ("acme", lost[0].as_str().unwrap()),
        ("acme", lost[1].as_str().unwrap()),
        ("newer", &of_newer),
    ] {
        let line = format!("{organization}: lost signing key {kid}, made after the backup");
        assert!(said.contains(&line), "{said}");
    }
    let told = "SELECT details FROM audit_events
                WHERE organization_id = 'acme' AND action = 'deployment.restore'";
    let told: Value = serde_json::from_str(&place.query(told).await[0]).unwrap();
    assert_eq!(told["lost_signing_keys"], json!(lost));
}

async fn root_keys_that_are_missing_are_named_under_quarantine_too(server: Server) {
    let acme = server.organization("acme").await;
    server.key_with(&acme, &["read"]).await;
    let rotate_root = async || {
        tokio::task::block_in_place(|| done(server.place(), &["rotate"]));
        followed(&server).await;
    };
    // API keys of the backup need the one before its own; what was done since is under a later one.
    let before = tokio::task::block_in_place(|| current(server.place()));
    rotate_root().await;
    let snapshot = snapshot::take(&server);
    rotate_root().await;
    let mut given = Vec::new();
    for organization in ["acme", "operator"] {
        let log = export(&server, organization).await;
        given.extend(["--audit-export".to_owned(), log]);
    }
    let place = server.stop().await;
    let ring = in_file(&place);
    let later = ring[2].id().to_string();
    let of_backup = ring[1].to_line().to_string();
    fs::write(place.root_key_file(), of_backup).unwrap();

    let begun = snapshot::put_back(&place, &snapshot).await;
    let mut words: Vec<&str> = begun.iter().chain(&given).map(String::as_str).collect();
    words.push("--quarantine");
    let told = tells(&place, &words);
    let missing = told["missing_root_keys"].as_array().unwrap();
    assert_eq!(missing.len(), 1, "{told}");
    assert_eq!(missing[0]["id"], json!(before));
    assert!(missing[0]["api_keys"].as_i64() > Some(0), "{told}");
    let why = told["organizations"][1]["unknown_because"]
        .as_str()
        .unwrap();
    let wanted = format!("it goes over to root key {later}, which is not held here");
    assert!(why.contains(&wanted), "{why}");

    snapshot::put_back(&place, &snapshot).await;
    let said = does(&place, &words);
    for line in [
        format!("root key {before}, current until "),
        "operator: with entry".to_owned(),
        wanted,
    ] {
        assert!(said.contains(&line), "{line}: {said}");
    }
}
