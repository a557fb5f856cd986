//! `tenmint backup`: whole, also under load; for one account alone; and never in the wrong place.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::StatusCode;
use serde_json::json;

use crate::support::operations::{at, backup, database, does, files, refuses, tells};
use crate::support::process::{Process, run};
use crate::support::server::{Key, Place, Server};

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_taken_under_load_has_all_that_was_acknowledged_before() {
    let server = Arc::new(Server::on_sqlite().await);
    let acme = server.organization("acme").await;
    let stop = Arc::new(AtomicBool::new(false));
    let makers: Vec<_> = (0..4)
        .map(|_| {
            let (server, stop, acme) = (Arc::clone(&server), Arc::clone(&stop), acme.clone());
            tokio::spawn(async move {
                let mut made: Vec<Key> = Vec::new();
                while !stop.load(Ordering::SeqCst) {
                    made.push(server.key_with(&acme, &["read"]).await);
                }
                made
            })
        })
        .collect();
    let before = server.key_with(&acme, &["read"]).await;
    let files = ["one.db", "two.db", "three.db"]
        .map(|name| tokio::task::block_in_place(|| backup(server.place(), name)));
    stop.store(true, Ordering::SeqCst);
    let mut made = 0;
    for maker in makers {
        made += maker.await.unwrap().len();
    }
    assert!(made > 0, "the server worked meanwhile");
    // Each copy is served by itself, and has the key that was there before the first.
    let place = Arc::into_inner(server).unwrap().stop().await;
    for file in files {
        fs::copy(&file, database(&place)).unwrap();
        fs::remove_file(place.folder().join("tenmint.db.mark")).unwrap();
        let copy = Process::serve(&place, &["serve"], &[]);
        let client = reqwest::Client::new();
        let request = client.post(format!("{}/oauth/token", copy.base));
        let request = request.basic_auth(&before.id, Some(&before.secret));
        let reply = request
            .form(&[("grant_type", "client_credentials")])
            .send()
            .await;
        assert_eq!(reply.unwrap().status(), StatusCode::OK);
        assert!(copy.stop());
        assert!(does(&place, &["audit", "verify"]).contains("acme: verified"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_for_its_owner_alone_and_says_what_is_in_it() {
    let server = Server::on_sqlite().await;
    let acme = server.organization("acme").await;
    server.key_with(&acme, &["read"]).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("b.db");
    let told = tells(server.place(), &["backup", file.to_str().unwrap()]);
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(files(folder.path()), ["b.db"], "nothing else was left");
    let bytes = fs::read(&file).unwrap();
    let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
    let root = server.app.management.crypto.keyring().current().to_string();
    assert_eq!(told["file"], file.to_str().unwrap());
    assert_eq!(told["bytes"], bytes.len());
    assert_eq!(told["sha256"], tenmint::domain::hex::hex(digest.as_ref()));
    assert_eq!(told["root_key"], root);
    assert_eq!(
        (&told["organizations"], &told["api_keys"]),
        (&json!(2), &json!(3))
    );
    // What a thief of the backup has: neither a secret nor the root key.
    let text = String::from_utf8_lossy(&bytes);
    let line = fs::read_to_string(server.place().root_key_file()).unwrap();
    assert!(!text.contains(line.trim().rsplit(':').next().unwrap()));
    assert!(!text.contains(acme.secret.rsplit('_').next().unwrap()));
    let words = does(server.place(), &["backup", &at(server.place(), "w.db")]);
    assert!(
        words.contains(&root) && words.contains("not in it"),
        "{words}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_takes_no_other_files_place_unless_told_to() {
    let server = Server::on_sqlite().await;
    let place = server.place();
    let file = at(place, "b.db");
    fs::write(&file, "precious").unwrap();
    refuses(place, &["backup", &file], 5, "--overwrite");
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    does(place, &["backup", &file, "--overwrite"]);
    assert!(fs::read(&file).unwrap().starts_with(b"SQLite format 3"));
    std::os::unix::fs::symlink(database(place), place.folder().join("link.db")).unwrap();
    let relative = format!("{}/keys/../tenmint.db", place.folder().display());
    for itself in [
        at(place, "tenmint.db"),
        at(place, "tenmint.db-wal"),
        at(place, "tenmint.db.lock"),
        at(place, "tenmint.db.mark"),
        at(place, "link.db"),
        relative,
    ] {
        let said = "the database itself";
        refuses(place, &["backup", &itself, "--overwrite"], 2, said);
    }
    let root_key = place.root_key_file();
    let held = fs::read(&root_key).unwrap();
    let said = "that is the root key";
    refuses(
        place,
        &["backup", root_key.to_str().unwrap(), "--overwrite"],
        2,
        said,
    );
    assert_eq!(fs::read(&root_key).unwrap(), held);
    let nowhere = at(place, "none/b.db");
    refuses(place, &["backup", &nowhere], 2, "no folder");
    let folder = at(place, "keys");
    refuses(place, &["backup", &folder, "--overwrite"], 2, "no file");
    let left = files(place.folder());
    assert!(
        !left.iter().any(|name| name.contains("partial")),
        "{left:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_database_gives_no_backup() {
    let server = Server::on_sqlite().await;
    for _ in 0..40 {
        let made = server.operate(
            reqwest::Method::POST,
            "/v1/organizations",
            json!({ "name": "x".repeat(100) }),
        );
        made.await.expect(StatusCode::CREATED);
    }
    let place = server.stop().await;
    let mut bytes = fs::read(database(&place)).unwrap();
    // Not a page alone, which nothing may use any more.
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..].fill(0xa5);
    fs::write(database(&place), bytes).unwrap();
    let file = at(&place, "b.db");
    refuses(&place, &["backup", &file], 1, "no backup was written");
    let left = files(place.folder());
    assert!(
        !left.iter().any(|name| name.starts_with("b.db")),
        "{left:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_no_backup_of_nothing_and_none_of_postgresql() {
    let place = Place::sqlite();
    let file = at(&place, "b.db");
    refuses(&place, &["backup", &file], 1, "no tenmint deployment");
    assert!(!database(&place).exists(), "none was made");
    let environment = [("TENMINT_DATABASE_URL", "postgres://u:hunter2@h/d")];
    let refused = run(&["backup", &file], &environment);
    assert_eq!(refused.code, Some(2));
    assert!(refused.err.contains("pg_dump") && refused.err.contains("docs/operations.md"));
    assert!(!refused.err.contains("hunter2"));
}
