//! An old copy that somebody puts back in silence is noticed.

use std::fs;

use reqwest::{Method, StatusCode};
use serde_json::json;
use tenmint::app::StartError;
use tenmint::store::error::StoreError;

use crate::support::operations::{backup, database, does, refuses, tenmint};
use crate::support::process::Process;
use crate::support::server::{Place, Server};

#[tokio::test(flavor = "multi_thread")]
async fn an_old_file_copied_back_is_not_served() {
    let server = Server::on_sqlite().await;
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let file = tokio::task::block_in_place(|| backup(server.place(), "b.db"));
    let path = format!("/v1/api-keys/{}/revoke", key.id);
    let revoked = server.call(&acme.secret, Method::POST, &path, json!({}));
    revoked.await.expect(StatusCode::OK);
    let clock = server.clock.clone();
    let place = server.stop().await;
    let newest = fs::read(database(&place)).unwrap();

    fs::copy(&file, database(&place)).unwrap();
    let Err((why, place)) = Server::start(place, clock.clone()).await else {
        panic!("it started")
    };
    assert!(
        matches!(why, StartError::Store(StoreError::Older { .. })),
        "{why}"
    );
    assert!(why.to_string().contains("restore --in-place"), "{why}");
    let served = tenmint(&place, &["serve"]);
    assert_eq!(served.code, Some(1), "{}", served.err);

    // It is brought up to date where it is, with what there is.
    refuses(&place, &["restore", "--in-place"], 5, "1 acts were done");
    let kept = place.folder().join("newest.db");
    fs::write(&kept, &newest).unwrap();
    let with = [
        "restore",
        "--in-place",
        "--audit-database",
        kept.to_str().unwrap(),
    ];
    does(&place, &with);
    assert_eq!(fs::read(&kept).unwrap(), newest, "it is read, not changed");
    let server = match Server::start(place, clock).await {
        Ok(server) => server,
        Err((why, _)) => panic!("{why}"),
    };
    let refused = server.exchange(&key, &[]).await;
    refused.refuses(401, "invalid_client");

    // The one from before the restore is old now, however many acts it knows.
    let place = server.stop().await;
    fs::write(database(&place), newest).unwrap();
    assert_eq!(tenmint(&place, &["serve"]).code, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_not_older_is_served() {
    let server = Server::on_sqlite().await;
    server.organization("acme").await;
    let file = tokio::task::block_in_place(|| backup(server.place(), "b.db"));
    let place = server.stop().await;
    let mark = place.folder().join("tenmint.db.mark");
    let mode = fs::metadata(&mark).unwrap().permissions();
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777,
        0o600
    );
    // A backup of the very end.
    fs::copy(&file, database(&place)).unwrap();
    assert!(Process::serve(&place, &["serve"], &[]).stop());
    // A mark that cannot be read, and none.
    fs::write(&mark, "x").unwrap();
    assert!(Process::serve(&place, &["serve"], &[]).stop());
    fs::remove_file(&mark).unwrap();
    assert!(Process::serve(&place, &["serve"], &[]).stop());
    // Another deployment at the same place, under the same root key.
    for ending in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{ending}", database(&place).display()));
    }
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert!(Process::serve(&place, &["serve"], &[]).stop());
    let _: &Place = &place;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_kill_9_the_newest_is_served_and_a_copy_from_before_is_not() {
    let place = Place::sqlite();
    let server = Process::serve(&place, &["serve"], &[]);
    let file = backup(&place, "b.db");
    for n in 0..3 {
        does(
            &place,
            &["operator-key", "--quiet", "--name", &n.to_string()],
        );
    }
    // It notes by itself, without being asked to stop.
    let mark = place.folder().join("tenmint.db.mark");
    let first = fs::read_to_string(&mark).unwrap();
    while fs::read_to_string(&mark).unwrap() == first {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    server.kill();
    let server = Process::serve(&place, &["serve"], &[]);
    server.kill();
    for ending in ["-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{ending}", database(&place).display()));
    }
    fs::copy(&file, database(&place)).unwrap();
    let served = tenmint(&place, &["serve"]);
    assert!(served.err.contains("older than the one"), "{}", served.err);
}
