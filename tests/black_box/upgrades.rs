//! Upgrades: many servers that start at once migrate once, and a server starts on what another version
//! migrated if that fits.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use reqwest::{Client, Method, StatusCode};
use serde_json::json;
use sqlx::{Connection, PgConnection};

use super::doctor::finds;
use crate::on_both_engines;
use crate::support::older::{newest, record_migration, without_newest_migration};
use crate::support::operations::{does, refuses, tenmint};
use crate::support::process::{Process, program};
use crate::support::root_keys::until;
use crate::support::server::{Key, Place, Server};

on_both_engines!(
    a_server_starts_on_what_a_newer_one_migrated_if_that_says_so,
    a_database_that_was_migrated_by_other_means_is_not_served,
);

/// How a real server answers a key.
pub async fn exchanged(base: &str, key: &Key) -> StatusCode {
    let request = Client::new().post(format!("{base}/oauth/token"));
    let request = request.basic_auth(&key.id, Some(&key.secret));
    let form = [("grant_type", "client_credentials")];
    request.form(&form).send().await.unwrap().status()
}

pub async fn ready(server: &Process) -> bool {
    let answer = reqwest::get(format!("{}/readyz", server.base)).await;
    answer.unwrap().status() == StatusCode::OK
}

/// Four servers and two migrations by hand, all at once. What is to be done is done by one of them.
async fn start_at_once(place: &Place) -> Vec<Process> {
    let (servers, by_hand) = tokio::task::block_in_place(|| {
        thread::scope(|scope| {
            let serve = || Process::serve(place, &["serve"], &[]);
            let servers: Vec<_> = (0..4).map(|_| scope.spawn(serve)).collect();
            let migrate = || tenmint(place, &["migrate"]);
            let by_hand: Vec<_> = (0..2).map(|_| scope.spawn(migrate)).collect();
            let servers: Vec<_> = servers.into_iter().map(|s| s.join().unwrap()).collect();
            let by_hand: Vec<_> = by_hand.into_iter().map(|m| m.join().unwrap()).collect();
            (servers, by_hand)
        })
    });
    let mut migrated = 0;
    for server in &servers {
        assert!(ready(server).await, "{}", server.log());
        migrated += server.log().matches("migrated the database").count();
    }
    for run in by_hand {
        assert!(run.success, "{}", run.err);
        migrated += run.err.matches(" went from version ").count();
        let to = format!("to {}", newest());
        assert!(
            run.err.contains(&to) || run.err.contains("is up to date"),
            "{}",
            run.err
        );
    }
    assert_eq!(migrated, 1, "one of them migrates");
    let recorded = "SELECT COUNT(*)::text FROM _sqlx_migrations";
    assert_eq!(place.query(recorded).await, [newest().to_string()]);
    servers
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_start_at_once_on_an_empty_database_migrate_it_once() {
    let Some(place) = Place::postgres().await else {
        return;
    };
    let servers = start_at_once(&place).await;
    let operators = "SELECT COUNT(*)::text FROM organizations";
    assert_eq!(place.query(operators).await, ["1"]);
    let secret = does(&place, &["operator-key", "--quiet"]);
    for server in &servers {
        let list = Client::new().get(format!("{}/v1/organizations", server.base));
        let reply = list.bearer_auth(secret.trim()).send().await.unwrap();
        assert_eq!(reply.status(), StatusCode::OK);
    }
    for server in servers {
        assert!(server.stop());
    }
    finds(&place, "database", "ok", "what this version needs");
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_start_at_once_on_an_older_database_migrate_it_once() {
    let Some(server) = Server::on_postgres().await else {
        return;
    };
    let (place, [revoked, kept]) = lived(server).await;
    without_newest_migration(&place).await;
    finds(&place, "database", "problem", "must be migrated first");
    let servers = start_at_once(&place).await;
    for server in &servers {
        assert_eq!(exchanged(&server.base, &kept).await, StatusCode::OK);
        let refused = exchanged(&server.base, &revoked).await;
        assert_eq!(refused, StatusCode::UNAUTHORIZED);
    }
    for server in servers {
        assert!(server.stop());
    }
    assert!(does(&place, &["audit", "verify"]).contains("acme: verified"));
}

/// A deployment with a key that was revoked, and one that was not.
pub async fn lived(server: Server) -> (Place, [Key; 2]) {
    let acme = server.organization("acme").await;
    let keys = [
        server.key_with(&acme, &["read"]).await,
        server.key_with(&acme, &["read"]).await,
    ];
    let path = format!("/v1/api-keys/{}/revoke", keys[0].id);
    let done = server.call(&acme.secret, Method::POST, &path, json!({}));
    done.await.expect(StatusCode::OK);
    (server.stop().await, keys)
}

/// Somebody uses what is to be migrated, for longer than a server waits for anything else; and
/// whoever was about to migrate is killed.
#[tokio::test(flavor = "multi_thread")]
async fn servers_wait_for_whoever_migrates_and_go_on_when_it_dies() {
    let Some(server) = Server::on_postgres().await else {
        return;
    };
    let (place, [_, kept]) = lived(server).await;
    without_newest_migration(&place).await;
    let mut other = PgConnection::connect(&place.database_url()).await.unwrap();
    let mut held = other.begin().await.unwrap();
    sqlx::query("LOCK TABLE _sqlx_migrations IN SHARE MODE")
        .execute(&mut *held)
        .await
        .unwrap();
    let (url, root) = (place.database_url(), place.root_key_file());
    let environment = [
        ("TENMINT_DATABASE_URL", &*url),
        ("TENMINT_ROOT_KEY_FILE", root.to_str().unwrap()),
        ("TENMINT_LISTEN", "127.0.0.1:0"),
    ];
    let mut first = program(&["serve"], &environment).spawn().unwrap();
    let turn = "SELECT COUNT(*)::text FROM pg_locks
         WHERE locktype = 'advisory' AND granted
           AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    until("one is about to migrate", async || {
        place.query(turn).await == ["1"]
    })
    .await;
    let place = Arc::new(place);
    let started: Vec<_> = (0..2)
        .map(|_| {
            let place = Arc::clone(&place);
            thread::spawn(move || Process::serve(&place, &["serve"], &[]))
        })
        .collect();
    let waiting = "SELECT COUNT(*)::text FROM pg_stat_activity
         WHERE datname = current_database() AND query LIKE 'SELECT pg_try_advisory_lock%'";
    until("two wait for it", async || {
        place.query(waiting).await == ["2"]
    })
    .await;
    // Longer than anybody waits for a lock elsewhere.
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert!(started.iter().all(|server| !server.is_finished()));
    assert!(first.try_wait().unwrap().is_none(), "it still tries");
    first.kill().unwrap();
    first.wait().unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    held.rollback().await.unwrap();
    let join = |server: thread::JoinHandle<_>| server.join().unwrap();
    let servers: Vec<Process> =
        tokio::task::block_in_place(|| started.into_iter().map(join).collect());
    let mut migrated = 0;
    for server in servers {
        let log = server.log();
        assert!(
            log.contains("another tenmint migrates this database"),
            "{log}"
        );
        migrated += log.matches("migrated the database").count();
        assert_eq!(exchanged(&server.base, &kept).await, StatusCode::OK);
        assert!(server.stop());
    }
    assert_eq!(migrated, 1);
}

async fn a_server_starts_on_what_a_newer_one_migrated_if_that_says_so(server: Server) {
    let (place, [_, kept]) = lived(server).await;
    let wider = "ALTER TABLE api_keys ADD COLUMN next_thing INTEGER NOT NULL DEFAULT 0";
    place.execute(wider).await;
    let name = format!("next things since {}", newest());
    record_migration(&place, newest() + 1, &name).await;
    let server = Process::serve(&place, &["serve"], &[]);
    assert!(ready(&server).await);
    assert_eq!(exchanged(&server.base, &kept).await, StatusCode::OK);
    finds(&place, "database", "warning", "upgrade every server");
    does(&place, &["operator-key", "--quiet"]);
    assert!(server.stop());
    let migrated = tenmint(&place, &["migrate"]);
    assert!(migrated.err.contains("is up to date"), "{}", migrated.err);
    // One that was written for later versions alone, one that says nothing, one that says it wrong.
    for name in [
        format!("next things since {}", newest() + 1),
        "next things".to_owned(),
        "next things since always".to_owned(),
    ] {
        record_migration(&place, newest() + 2, &name).await;
        for command in [&["serve"][..], &["operator-key", "--quiet"], &["migrate"]] {
            let said = refuses(&place, command, 1, "by a newer tenmint");
            assert!(
                said.contains(&format!("version {}", newest() + 2)),
                "{said}"
            );
        }
        finds(
            &place,
            "database",
            "problem",
            "run that version, or a later",
        );
        let forget = format!(
            "DELETE FROM _sqlx_migrations WHERE version = {}",
            newest() + 2
        );
        place.execute(&forget).await;
    }
}

/// What is recorded of a migration is held against what this version has, and against whether it
/// went well.
async fn a_database_that_was_migrated_by_other_means_is_not_served(server: Server) {
    let place = server.stop().await;
    for (change, back, said) in [
        (
            "success = FALSE WHERE version = 3",
            "success = TRUE",
            "migration 3 of this database is recorded as failed",
        ),
        (
            "checksum = (SELECT checksum FROM _sqlx_migrations WHERE version = 2)
             WHERE version = 1",
            "",
            "migration 1 of this database is not the one",
        ),
    ] {
        place
            .execute(&format!("UPDATE _sqlx_migrations SET {change}"))
            .await;
        finds(&place, "database", "problem", said);
        for command in [&["serve"][..], &["migrate"], &["operator-key", "--quiet"]] {
            refuses(&place, command, 1, said);
        }
        if !back.is_empty() {
            let back = format!("UPDATE _sqlx_migrations SET {back}");
            place.execute(&back).await;
        }
    }
    // One in the middle is not recorded: what there is, is not what it says.
    place
        .execute("DELETE FROM _sqlx_migrations WHERE version = 1")
        .await;
    finds(&place, "database", "problem", "must be migrated first");
    assert_eq!(tenmint(&place, &["serve"]).code, Some(1));
}
