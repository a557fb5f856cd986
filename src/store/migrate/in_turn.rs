//! Migrations on PostgreSQL, where several servers start at once, and others serve meanwhile.

use std::time::Duration;

use sqlx::error::DatabaseError;
use sqlx::migrate::MigrateError;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};

use super::{Migrated, POSTGRES, newest};
use crate::store::Store;
use crate::store::error::StoreError;

/// The advisory lock of whoever migrates this database.
const LOCK: i64 = 0x7465_6e6d_696e_7401;

/// How often to ask whether whoever migrates is done.
const ASK: Duration = Duration::from_millis(200);

/// How long a migration waits for a table that others use. Whoever comes after it for that table
/// waits behind it, so it is short; and shorter than `deadlock_timeout` (1 s), so that between a
/// migration and a server it is the migration that gives way.
const YIELD: Duration = Duration::from_millis(400);

/// How soon it tries again, and how often before it gives up: some three minutes.
const AGAIN: (Duration, u32) = (Duration::from_millis(600), 180);

/// `lock_not_available` and `deadlock_detected`.
const IN_USE: [&str; 2] = ["55P03", "40P01"];

/// Migrates, unless another process did while this one waited for its turn.
pub(super) async fn migrate(
    store: &Store,
    options: &PgConnectOptions,
) -> Result<Option<Migrated>, StoreError> {
    // A connection of its own: when it ends, also by the death of the process, the lock is free.
    let mut connection = options.connect().await?;
    let done = in_turn(store, &mut connection).await;
    let _ = connection.close().await;
    done
}

async fn in_turn(
    store: &Store,
    connection: &mut PgConnection,
) -> Result<Option<Migrated>, StoreError> {
    take_turn(connection).await?;
    let Some(from) = store.behind().await? else {
        return Ok(None);
    };
    sqlx::query("SELECT set_config('lock_timeout', $1, false)")
        .bind(YIELD.as_millis().to_string())
        .execute(&mut *connection)
        .await?;
    let (pause, attempts) = AGAIN;
    for attempt in 0..attempts {
        match POSTGRES.run(&mut *connection).await {
            Ok(()) => {
                let to = newest();
                return Ok(Some(Migrated { from, to }));
            }
            Err(error) if !is_in_use(&error) => return Err(error.into()),
            Err(error) if attempt == 0 => tracing::info!(
                %error,
                "somebody uses what is to be migrated: tried again until they let go of it"
            ),
            Err(_) => {}
        }
        tokio::time::sleep(pause).await;
    }
    Err(StoreError::MigrationKeptWaiting)
}

/// Waits until nobody else migrates. It asks again and again, because a statement that waits in the
/// database is ended by timeouts that somebody may have set there, and holds a snapshot.
async fn take_turn(connection: &mut PgConnection) -> Result<(), StoreError> {
    let mut told = false;
    loop {
        let (mine,): (bool,) = sqlx::query_as("SELECT pg_try_advisory_lock($1)")
            .bind(LOCK)
            .fetch_one(&mut *connection)
            .await?;
        if mine {
            return Ok(());
        }
        if !told {
            tracing::info!("another tenmint migrates this database: waiting for it");
            told = true;
        }
        tokio::time::sleep(ASK).await;
    }
}

fn is_in_use(error: &MigrateError) -> bool {
    let (MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) = error else {
        return false;
    };
    let code = error.as_database_error().and_then(DatabaseError::code);
    code.is_some_and(|code| IN_USE.contains(&&*code))
}
