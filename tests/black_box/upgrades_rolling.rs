//! A server of the version before goes on while the next one migrates the database under it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use sqlx::error::DatabaseError;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::doctor::finds;
use super::upgrades::{exchanged, lived, ready};
use crate::support::older::{newest, record_migration};
use crate::support::operations::{does, refuses};
use crate::support::process::Process;
use crate::support::root_keys::until;
use crate::support::server::{Key, Place, Server};

/// What the next version could do to a database that this one uses: new columns in tables of every
/// request and every act, a new table, a new index.
fn next_migration() -> String {
    format!(
        "ALTER TABLE api_keys ADD COLUMN next_thing BIGINT NOT NULL DEFAULT 0;
         ALTER TABLE organizations ADD COLUMN next_thing TEXT;
         ALTER TABLE audit_events ADD COLUMN next_thing TEXT NOT NULL DEFAULT '';
         ALTER TABLE signing_keys ADD COLUMN next_thing BIGINT;
         CREATE TABLE next_things (id BIGINT NOT NULL PRIMARY KEY);
         CREATE INDEX api_keys_by_next_thing ON api_keys (next_thing);
         INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES ({}, 'next things since {}', TRUE, '\\x00', 0)",
        newest() + 1,
        newest()
    )
}

/// Clients that exchange, and administrators that make keys and revoke them, until told to stop.
/// What was not done as it should be, they say.
struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    running: Vec<tokio::task::JoinHandle<Vec<String>>>,
}

impl Load {
    fn on(base: &str, operator: &str, kept: &Key) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let done = Arc::new(AtomicU64::new(0));
        let running = (0..2)
            .map(|n| {
                let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
                let (base, operator) = (base.to_owned(), operator.to_owned());
                let kept = kept.clone();
                tokio::spawn(async move {
                    let mut failed = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        let outcome = if n == 0 {
                            let found = exchanged(&base, &kept).await;
                            (found == StatusCode::OK)
                                .then_some(())
                                .ok_or(found.to_string())
                        } else {
                            life_of_a_key(&base, &operator).await
                        };
                        failed.extend(outcome.err());
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                    failed
                })
            })
            .collect();
        Self {
            stop,
            done,
            running,
        }
    }

    /// Waits until that much more was done.
    async fn goes_on(&self) {
        let before = self.done.load(Ordering::Relaxed);
        until("the load goes on", async || {
            self.done.load(Ordering::Relaxed) > before + 12
        })
        .await;
    }

    /// Requires that everything was done as it should be.
    async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for load in self.running {
            assert_eq!(load.await.unwrap(), Vec::<String>::new());
        }
    }
}

/// A key is made, exchanged, revoked, and refused.
async fn life_of_a_key(base: &str, operator: &str) -> Result<(), String> {
    let client = Client::new();
    let keys = format!("{base}/v1/organizations/acme/api-keys");
    let post = async |url: String, body: Value| {
        let request = client.post(url).bearer_auth(operator).json(&body);
        let reply = request.send().await.unwrap();
        let (status, body) = (reply.status(), reply.text().await.unwrap());
        if status.is_success() {
            Ok(serde_json::from_str::<Value>(&body).unwrap())
        } else {
            Err(format!("{status} {body}"))
        }
    };
    let made = post(keys.clone(), json!({ "name": "n", "scopes": ["read"] })).await?;
    let key = Key::of(&made);
    let found = exchanged(base, &key).await;
    if found != StatusCode::OK {
        return Err(format!("new key: {found}"));
    }
    post(format!("{keys}/{}/revoke", key.id), json!({})).await?;
    let found = exchanged(base, &key).await;
    if found != StatusCode::UNAUTHORIZED {
        return Err(format!("revoked key: {found}"));
    }
    Ok(())
}

/// Migrates as tenmint does, giving way to whoever uses a table.
async fn migrate_to_next(place: &Place) {
    let mut connection = PgConnection::connect(&place.database_url()).await.unwrap();
    sqlx::query("SET lock_timeout = 400")
        .execute(&mut connection)
        .await
        .unwrap();
    loop {
        let mut migration = connection.begin().await.unwrap();
        let text = AssertSqlSafe(next_migration());
        match sqlx::raw_sql(text).execute(&mut *migration).await {
            Ok(_) => return migration.commit().await.unwrap(),
            Err(error) => {
                let code = error.as_database_error().and_then(DatabaseError::code);
                assert_eq!(code.as_deref(), Some("55P03"), "{error}");
                migration.rollback().await.unwrap();
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_server_goes_on_while_the_next_version_migrates() {
    let Some(server) = Server::on_postgres().await else {
        return;
    };
    let operator = server.operator.clone();
    let (place, [_, kept]) = lived(server).await;
    let old = Process::serve(&place, &["serve"], &[]);
    let load = Load::on(&old.base, &operator, &kept);
    load.goes_on().await;
    migrate_to_next(&place).await;
    load.goes_on().await;
    assert!(ready(&old).await);
    until("it is told", async || {
        old.log().contains("is to be upgraded too")
    })
    .await;
    finds(&place, "database", "warning", "a newer tenmint migrated it");

    // One more of the old version, as when a machine restarts before its turn to be upgraded.
    let another = Process::serve(&place, &["serve"], &[]);
    assert!(ready(&another).await);
    let load_there = Load::on(&another.base, &operator, &kept);
    load_there.goes_on().await;
    load_there.stop().await;
    load.goes_on().await;
    load.stop().await;
    assert!(does(&place, &["audit", "verify"]).contains("acme: verified"));
    does(&place, &["operator-key", "--quiet"]);

    // What comes next is not for this version any more: load balancers are told to send nothing.
    record_migration(&place, newest() + 2, "other things").await;
    assert!(!ready(&old).await && !ready(&another).await);
    until("it is told", async || {
        old.log().contains("is not ready any more")
    })
    .await;
    refuses(&place, &["serve"], 1, "by a newer tenmint");
    assert!(old.stop() && another.stop());
}
