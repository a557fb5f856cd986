//! What is destroyed leaves the files of the database too: not only its rows.
//!
//! That cannot be had in the act that destroys: SQLite empties its log only when nobody reads in
//! it, and PostgreSQL rewrites a table only when nobody uses it. So each such act notes, in its
//! own transaction, that this is owed, and a job sees to it, also after a crash. Where rows have yet
//! to go, another note is there besides, under the act's place in the log with a minus before it.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};

use super::Store;
use super::engine::{Engine, sql};
use super::error::StoreError;
use super::write::Write;

/// How long others are kept waiting for it, at most: whoever would write to SQLite's file, whoever
/// would read PostgreSQL's table. Whoever reads for longer is waited for between attempts.
const PATIENCE: Duration = Duration::from_millis(100);

impl Store {
    /// Whether anything was destroyed that may still be in tables or files.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn owes_erasure(&self) -> Result<bool, StoreError> {
        let owed = sql!(
            optional(i64,),
            self.reader(),
            "SELECT sequence FROM erasures LIMIT 1"
        )?;
        Ok(owed.is_some())
    }

    /// Sees to it that nothing is left in files of what was destroyed until now, if anything may
    /// be; false when that cannot be yet, because somebody still reads there. It stays owed then.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn forget_destroyed(&self) -> Result<bool, StoreError> {
        let owed = sql!(
            all(String, i64),
            self.reader(),
            "SELECT organization_id, sequence FROM erasures WHERE sequence >= 0 LIMIT 1000"
        )?;
        if owed.is_empty() {
            return Ok(true);
        }
        let forgotten = match &self.engine {
            Engine::Sqlite(_) => self.truncate_log().await?,
            Engine::Postgres(postgres) => rewrite(&postgres.options).await?,
        };
        if !forgotten {
            return Ok(false);
        }
        for (organization, sequence) in &owed {
            sql!(
                run self.writer(),
                "DELETE FROM erasures WHERE organization_id = $1 AND sequence = $2",
                organization, sequence
            )?;
        }
        Ok(true)
    }

    /// Empties SQLite's write-ahead log; false while somebody reads in it. PostgreSQL keeps its
    /// own as it is told to.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn truncate_log(&self) -> Result<bool, StoreError> {
        let Engine::Sqlite(sqlite) = &self.engine else {
            return Ok(true);
        };
        // A connection of its own: acts are not to queue behind one that waits for readers.
        let mut connection = SqliteConnectOptions::new()
            .filename(&sqlite.path)
            .busy_timeout(PATIENCE)
            .disable_statement_logging()
            .connect()
            .await?;
        let (busy, _, _): (i64, i64, i64) = sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)")
            .fetch_one(&mut connection)
            .await?;
        connection.close().await?;
        Ok(busy == 0)
    }
}

impl Write {
    /// Notes in the transaction of this act that it destroys what is not to be found again.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub(super) async fn owe_erasure(&mut self) -> Result<(), StoreError> {
        let (organization, sequence) = (self.organization().id.clone(), self.sequence);
        sql!(
            run self.on(),
            "INSERT INTO erasures (organization_id, sequence) VALUES ($1, $2)
             ON CONFLICT (organization_id, sequence) DO NOTHING",
            organization.as_str(), sequence
        )?;
        Ok(())
    }
}

/// Writes the table of signing keys anew, without what its pages hold of rows that are gone; false
/// while that cannot be.
///
/// VACUUM alone gives space free and leaves in it what was there. VACUUM FULL alone takes along
/// the rows that some transaction may still see: so it comes when the first left none of those.
async fn rewrite(options: &PgConnectOptions) -> Result<bool, StoreError> {
    let mut connection = options.connect().await?;
    let done = rewrite_on(&mut connection).await;
    let _ = connection.close().await;
    match done {
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(NOT_AVAILABLE) => {
            Ok(false)
        }
        other => Ok(other?),
    }
}

/// `lock_not_available`.
const NOT_AVAILABLE: &str = "55P03";

async fn rewrite_on(connection: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query("SELECT set_config('lock_timeout', $1, false)")
        .bind(PATIENCE.as_millis().to_string())
        .execute(&mut *connection)
        .await?;
    sqlx::query("VACUUM signing_keys")
        .execute(&mut *connection)
        .await?;
    let (dead,): (i64,) = sqlx::query_as(
        "SELECT COALESCE(MAX(n_dead_tup), 0)::bigint FROM pg_stat_user_tables
         WHERE relid = 'signing_keys'::regclass",
    )
    .fetch_one(&mut *connection)
    .await?;
    if dead > 0 {
        return Ok(false);
    }
    let before = file(connection).await?;
    sqlx::query("VACUUM FULL signing_keys")
        .execute(&mut *connection)
        .await?;
    // Whoever does not own the table is warned, and told that all went well.
    if file(connection).await? == before {
        return Err(sqlx::Error::Protocol(
            "VACUUM FULL left the table signing_keys as it was: let tenmint's role own it".into(),
        ));
    }
    Ok(true)
}

/// Which file the table is in: written anew, it is in another.
async fn file(connection: &mut PgConnection) -> sqlx::Result<Option<i64>> {
    let (file,) = sqlx::query_as("SELECT pg_relation_filenode('signing_keys'::regclass)::bigint")
        .fetch_one(connection)
        .await?;
    Ok(file)
}
