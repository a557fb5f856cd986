//! PostgreSQL restored by its own tools, then brought up to date by `tenmint restore --in-place`.

use std::fs;
use std::path::Path;

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::operations::{does, export, refuses, tells, tenmint};
use crate::support::process::Process;
use crate::support::server::{Key, Place, Server};
use crate::support::snapshot;

/// The keys' statuses at a real server.
async fn answers(base: &str, keys: &[&Key]) -> Vec<StatusCode> {
    let mut answers = Vec::new();
    for key in keys {
        let request = reqwest::Client::new().post(format!("{base}/oauth/token"));
        let request = request.basic_auth(&key.id, Some(&key.secret));
        let form = [("grant_type", "client_credentials")];
        answers.push(request.form(&form).send().await.unwrap().status());
    }
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_put_back_is_noticed_and_brought_up_to_date() {
    let Some(server) = Server::on_postgres().await else {
        return;
    };
    let acme = server.organization("acme").await;
    let revoked = server.key_with(&acme, &["read"]).await;
    let kept = server.key_with(&acme, &["read"]).await;
    let dump = snapshot::take(&server);
    let path = format!("/v1/api-keys/{}/revoke", revoked.id);
    let done = server.call(&acme.secret, Method::POST, &path, json!({}));
    done.await.expect(StatusCode::OK);
    let logs = [
        export(&server, "acme").await,
        export(&server, "operator").await,
    ];
    let with_logs = [
        "restore",
        "--in-place",
        "--audit-export",
        &logs[0],
        "--audit-export",
        &logs[1],
    ];
    // While a server runs, nothing is restored.
    refuses(server.place(), &with_logs, 5, "stop every server first");
    refuses(server.place(), &["restore", &dump], 2, "pg_restore");
    let root = fs::read(server.place().root_key_file()).unwrap();
    let place = server.stop().await;

    // The database is lost; the dump goes to a new one.
    let fresh = Place::postgres().await.unwrap();
    snapshot::load(&fresh, &dump);
    fs::create_dir_all(fresh.root_key_file().parent().unwrap()).unwrap();
    private(&fresh.root_key_file(), &root);

    // Served as it is, what was revoked is in force again, and the log says so aloud.
    let silent = Process::serve(&fresh, &["serve"], &[]);
    assert!(
        silent.log().contains("a copy of the one"),
        "{}",
        silent.log()
    );
    let found = answers(&silent.base, &[&revoked, &kept]).await;
    assert_eq!(found, [StatusCode::OK, StatusCode::OK]);
    assert!(silent.stop());

    // Nor does a command add to it: the logs that are to be replayed would no longer follow on.
    let beside = tenmint(&fresh, &["operator-key", "--quiet"]);
    assert!(
        beside.err.contains("is a copy of the one"),
        "{}",
        beside.err
    );
    assert!(beside.out.is_empty());

    refuses(&fresh, &["restore", "--in-place"], 5, "acme: no log");
    let told = tells(&fresh, &with_logs);
    assert_eq!(told["organizations"][0]["reapplied"], 1);
    // Again changes nothing more.
    let told = tells(&fresh, &with_logs);
    assert_eq!(told["organizations"][0]["reapplied"], 0);
    let restored = Process::serve(&fresh, &["serve"], &[]);
    assert!(!restored.log().contains("a copy of the one"));
    let found = answers(&restored.base, &[&revoked, &kept]).await;
    assert_eq!(found, [StatusCode::UNAUTHORIZED, StatusCode::OK]);
    assert!(restored.stop());
    assert!(does(&fresh, &["audit", "verify"]).contains("acme: verified"));
    drop(place);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_logs_every_key_of_a_restored_dump_can_be_switched_off() {
    let Some(server) = Server::on_postgres().await else {
        return;
    };
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let clock = server.clock.clone();
    let place = server.stop().await;
    let told = tells(&place, &["restore", "--in-place", "--quarantine"]);
    let switched_off = told["organizations"][0]["quarantined"].as_array().unwrap();
    assert_eq!(switched_off.len(), 2);
    let server = match Server::start(place, clock).await {
        Ok(server) => server,
        Err((why, _)) => panic!("{why}"),
    };
    let refused = server.exchange(&key, &[]).await;
    refused.refuses(401, "invalid_client");
}

fn private(path: &Path, content: &[u8]) {
    fs::write(path, content).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(path, mode).unwrap();
}
