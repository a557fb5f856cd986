//! What is left of a private half that was destroyed: nothing, in any file of the database, as soon
//! as nobody reads there who began before.

use std::fs;
use std::path::Path;
use std::time::Duration;

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};

use super::signing_keys::kid_in;
use crate::support::postgres::server_of_its_own;
use crate::support::private_keys::RSA_4096;
use crate::support::process::{Process, run};
use crate::support::server::{Place, Server};

/// Which files of a folder hold some of these bytes, or might a while ago.
pub fn files_with(folder: &Path, bytes: &[u8]) -> Vec<String> {
    let mut folders = vec![folder.to_owned()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(folder) else {
            continue;
        };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(content) = fs::read(&path)
                && content.windows(bytes.len()).any(|part| part == bytes)
            {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

/// From hexadecimal digits, in either case.
pub fn from_hex(text: &str) -> Vec<u8> {
    let digits = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digits).collect()
}

/// Waits until nothing is owed any more.
async fn until_forgotten(place: &Place) {
    let owed = "SELECT organization_id FROM erasures";
    for _ in 0..600 {
        if place.query(owed).await.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("something is owed for ever: {:?}", place.query(owed).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_elsewhere_only_delays_that_a_destroyed_key_leaves_the_log() {
    leaves_the_log(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_leave_the_log_before_a_kill_does_after_the_next_start() {
    leaves_the_log(true).await;
}

async fn leaves_the_log(killed: bool) {
    let place = Place::sqlite();
    let mut process = Process::serve(&place, &["serve"], &[]);
    let (url, root) = (place.database_url(), place.root_key_file());
    let environment = [
        ("TENMINT_DATABASE_URL", &*url),
        ("TENMINT_ROOT_KEY_FILE", root.to_str().unwrap()),
    ];
    let operator = run(&["operator-key", "--quiet"], &environment).out;
    let kid = place.query("SELECT kid FROM signing_keys").await.remove(0);
    let private = place.query("SELECT hex(sealed) FROM signing_keys").await;
    let private = &from_hex(&private[0])[32..96];

    let mut reader = SqliteConnection::connect(&url).await.unwrap();
    for sql in ["BEGIN", "SELECT COUNT(*) FROM signing_keys"] {
        let query = sqlx::raw_sql(AssertSqlSafe(sql));
        query.execute(&mut reader).await.unwrap();
    }
    let revoke = format!("{}/v1/signing-keys/{kid}/revoke", process.base);
    let revoke = Client::new().post(revoke).bearer_auth(operator.trim());
    assert_eq!(revoke.send().await.unwrap().status(), StatusCode::OK);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let found = files_with(place.folder(), private);
    assert!(!found.is_empty(), "the reader may still read it");
    if killed {
        process.kill();
        process = Process::serve(&place, &["serve"], &[]);
    }
    sqlx::raw_sql("COMMIT").execute(&mut reader).await.unwrap();
    until_forgotten(&place).await;
    let found = files_with(place.folder(), private);
    assert!(found.is_empty(), "{found:?}");
    reader.close().await.unwrap();
    assert!(process.stop());
}

/// Read as an insider does who has the disk, past PostgreSQL. What it writes ahead is another
/// matter: that is written over in its time.
#[tokio::test(flavor = "multi_thread")]
async fn the_tables_of_postgres_hold_no_private_half_of_a_key_that_is_gone() {
    let started = tokio::task::spawn_blocking(server_of_its_own).await;
    let Some(mut postgres) = started.unwrap() else {
        return;
    };
    let database = tokio::task::block_in_place(|| postgres.fresh_database());
    let server = Place::on(database).start().await;
    let acme = server.organization("acme").await;
    let halves = async || {
        let sealed = "SELECT encode(sealed, 'hex') FROM signing_keys
             WHERE organization_id = 'acme' AND retired_at IS NULL ORDER BY kid";
        let halves = server.place().query(sealed).await;
        halves.iter().map(|half| from_hex(half)).collect::<Vec<_>>()
    };
    // PostgreSQL keeps the larger ones in a table of their own.
    let path = "/v1/organizations/acme/signing-keys/import";
    let large = json!({ "private_key_pem": RSA_4096 });
    let imported = server.operate(Method::POST, path, large).await;
    imported.expect(StatusCode::CREATED);
    let gone = halves().await;
    assert_eq!(gone.len(), 2);
    let tables = postgres.data().join("base");
    let found = |half: &[u8]| files_with(&tables, &half[half.len() - 96..half.len() - 32]);
    // Whoever stops writes everything to where it belongs.
    tokio::task::block_in_place(|| postgres.stop());
    for half in &gone {
        assert!(!found(half).is_empty(), "the test knows where to look");
    }
    tokio::task::block_in_place(|| postgres.start());

    // Somebody reads the table, and does not end.
    let mut reader = PgConnection::connect(&server.place().database_url())
        .await
        .unwrap();
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT COUNT(*) FROM signing_keys";
    sqlx::raw_sql(begin).execute(&mut reader).await.unwrap();
    let active = until_answered(&server, &acme).await;
    let path = format!("/v1/signing-keys/{active}/revoke");
    let revoked = server.call(&acme.secret, Method::POST, &path, Value::Null);
    revoked.await.expect(StatusCode::OK);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let owed = "SELECT organization_id FROM erasures WHERE organization_id = 'acme'";
    assert!(!server.place().query(owed).await.is_empty());
    // Meanwhile nobody waits for long.
    server.organization("globex").await;

    sqlx::raw_sql("COMMIT").execute(&mut reader).await.unwrap();
    until_forgotten(server.place()).await;
    let left = halves().await;
    tokio::task::block_in_place(|| postgres.stop());
    for half in &gone {
        assert_eq!(found(half), Vec::<String>::new());
    }
    for half in &left {
        assert!(!found(half).is_empty(), "those that are in use stay");
    }
    tokio::task::block_in_place(|| postgres.start());
}

/// The active key of an organization, once the database answers again.
async fn until_answered(server: &Server, acme: &crate::support::server::Key) -> String {
    for _ in 0..200 {
        if server.get("/readyz").await.status == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    kid_in(server, acme, "active").await.unwrap()
}
