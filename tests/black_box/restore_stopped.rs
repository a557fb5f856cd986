//! A restore in place that is killed between two organizations: some are up to the present, others
//! are as they were in the backup. Nobody serves that, and the restore is done to its end.

use std::fs;
use std::process::Child;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use super::doctor::finds;
use super::restore_root_keys::again;
use crate::on_both_engines;
use crate::support::operations::{database, does, export, refuses, tells};
use crate::support::process::program;
use crate::support::root_keys::until;
use crate::support::server::{Key, Place, Server};
use crate::support::snapshot;

on_both_engines!(what_is_half_restored_is_not_served_and_is_finished_by_doing_it_again);

/// How many organizations there are, and before which of them a restore is stopped.
const ORGANIZATIONS: usize = 8;
const STOPPED_AT: &str = "o5";

/// Of each organization a key that is revoked after the snapshot, and one that is not.
async fn live(server: &Server) -> (Vec<[Key; 2]>, String, Vec<String>) {
    let mut keys = Vec::new();
    for n in 0..ORGANIZATIONS {
        let manager = server.organization(&format!("o{n}")).await;
        keys.push([
            server.key_with(&manager, &["read"]).await,
            server.key_with(&manager, &["read"]).await,
        ]);
    }
    let snapshot = snapshot::take(server);
    for (n, [revoked, _]) in keys.iter().enumerate() {
        revoke(server, n, revoked).await;
    }
    let mut restore = vec!["restore".to_owned(), "--in-place".to_owned()];
    let names = (0..ORGANIZATIONS).map(|n| format!("o{n}"));
    for organization in names.chain(["operator".to_owned()]) {
        let log = export(server, &organization).await;
        restore.extend(["--audit-export".to_owned(), log]);
    }
    (keys, snapshot, restore)
}

async fn revoke(server: &Server, n: usize, key: &Key) {
    let path = format!("/v1/organizations/o{n}/api-keys/{}/revoke", key.id);
    let done = server.operate(Method::POST, &path, json!({})).await;
    done.expect(StatusCode::OK);
}

/// Puts the snapshot in place by hand, as for `--in-place`; beside it lies what lay there.
async fn put_in_place(place: &Place, snapshot: &str) {
    if place.is_sqlite() {
        fs::copy(snapshot, database(place)).unwrap();
    } else {
        snapshot::put_back(place, snapshot).await;
    }
}

/// Begins a restore, and kills it when it is at `STOPPED_AT`, for which it is made to wait.
async fn kill_half_way(place: &Place, restore: &[&str]) {
    let begin = || {
        let (url, root) = (place.database_url(), place.root_key_file());
        let environment = [
            ("TENMINT_DATABASE_URL", &*url),
            ("TENMINT_ROOT_KEY_FILE", root.to_str().unwrap()),
        ];
        program(restore, &environment).spawn().unwrap()
    };
    let kill = async |mut child: Child| {
        until("the one before is done", async || {
            assert!(child.try_wait().unwrap().is_none(), "it ended");
            restored(place).await.iter().any(|done| done == "o4")
        })
        .await;
        child.kill().unwrap();
        child.wait().unwrap();
    };
    if place.is_sqlite() {
        // Its entry takes half a minute to write.
        let slow = format!(
            "CREATE TRIGGER slow BEFORE INSERT ON audit_events
             WHEN NEW.organization_id = '{STOPPED_AT}' BEGIN
               SELECT (WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c
                                               WHERE n < 100000000) SELECT COUNT(*) FROM c);
             END"
        );
        place.execute(&slow).await;
        kill(begin()).await;
        place.execute("DROP TRIGGER slow").await;
    } else {
        let mut other = PgConnection::connect(&place.database_url()).await.unwrap();
        let mut held = other.begin().await.unwrap();
        sqlx::query("UPDATE organizations SET name = name WHERE id = $1")
            .bind(STOPPED_AT)
            .execute(&mut *held)
            .await
            .unwrap();
        kill(begin()).await;
        held.rollback().await.unwrap();
        // PostgreSQL learns of it when it would answer.
        until("its connections are gone", async || {
            let left = "SELECT COUNT(*)::text FROM pg_stat_activity
                        WHERE datname = current_database() AND application_name = 'tenmint'";
            place.query(left).await == ["0"]
        })
        .await;
    }
}

/// The organizations whose logs tell of a restore, once for each time.
async fn restored(place: &Place) -> Vec<String> {
    let told = "SELECT organization_id FROM audit_events WHERE action = 'deployment.restore'
                ORDER BY organization_id";
    place.query(told).await
}

async fn what_is_half_restored_is_not_served_and_is_finished_by_doing_it_again(server: Server) {
    let (keys, snapshot, restore) = live(&server).await;
    let clock = server.clock.clone();
    let place = server.stop().await;
    put_in_place(&place, &snapshot).await;
    let restore: Vec<&str> = restore.iter().map(String::as_str).collect();
    kill_half_way(&place, &restore).await;
    let done = ["o0", "o1", "o2", "o3", "o4", "operator"];
    assert_eq!(restored(&place).await, done);

    // Nothing but the restore itself works on it, and each says what to do.
    let unfinished = "a restore of this database was begun and not finished";
    let said = refuses(&place, &["serve"], 1, unfinished);
    assert!(
        said.contains("`tenmint restore --in-place` again"),
        "{said}"
    );
    refuses(&place, &["operator-key", "--quiet"], 1, unfinished);
    finds(&place, "history", "problem", unfinished);
    assert_eq!(restored(&place).await, done, "and nothing was changed");

    let told = tells(&place, &restore);
    let organizations = told["organizations"].as_array().unwrap();
    let again_done = |outcome: &Value| outcome["reapplied"].as_u64().unwrap();
    assert_eq!(
        organizations.iter().map(again_done).sum::<u64>(),
        3,
        "{told}"
    );
    assert!(
        organizations.iter().all(|o| o["log_whole"] == true),
        "{told}"
    );
    let all = ["o0", "o1", "o2", "o3", "o4", "o5", "o6", "o7"];
    let restored = restored(&place).await;
    let of_theirs = restored.iter().filter(|name| *name != "operator");
    assert!(of_theirs.eq(&all), "each once: {restored:?}");

    finds(&place, "history", "ok", "older copy");
    let server = again(place, &clock).await;
    for [revoked, kept] in &keys {
        let refused = server.exchange(revoked, &[]).await;
        refused.refuses(401, "invalid_client");
        server.exchange(kept, &[]).await.expect(StatusCode::OK);
    }
    let verified = does(server.place(), &["audit", "verify"]);
    for organization in all {
        assert!(verified.contains(&format!("{organization}: verified")));
    }
}

/// What it knew when it began, it knows when it is begun again: the acts that no log tells of could
/// have been on any organization, also on those that it had not come to.
#[tokio::test(flavor = "multi_thread")]
async fn a_quarantine_that_was_stopped_is_done_to_its_end() {
    let server = Server::on_sqlite().await;
    let (keys, snapshot, restore) = live(&server).await;
    // After the exports.
    revoke(&server, 7, &keys[7][1]).await;
    let clock = server.clock.clone();
    let place = server.stop().await;
    put_in_place(&place, &snapshot).await;
    let mut restore: Vec<&str> = restore.iter().map(String::as_str).collect();
    refuses(&place, &restore, 5, "1 acts were done after the backup");
    restore.push("--quarantine");
    kill_half_way(&place, &restore).await;
    let told = tells(&place, &restore);
    assert_eq!(told["missing_acts"], 1);
    let server = again(place, &clock).await;
    for [revoked, kept] in &keys {
        for key in [revoked, kept] {
            let refused = server.exchange(key, &[]).await;
            refused.refuses(401, "invalid_client");
        }
    }
}
