//! A copy of an SQLite database: made while servers use it, and looked at before it is trusted.

use std::path::{Path, PathBuf};

use serde::Serialize;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use super::Store;
use super::engine::Engine;
use super::error::StoreError;

/// What a copy of a database holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Contents {
    /// The newest migration that was applied to it.
    pub schema_version: i64,
    /// The id of the root key that it belongs to, which is not in it.
    pub root_key: String,
    /// How many organizations it has, deleted ones among them.
    pub organizations: i64,
    /// How many API keys it has, ended ones among them.
    pub api_keys: i64,
    /// How many audit entries it has.
    pub audit_entries: i64,
}

/// Why a file is not a database that could be restored.
#[derive(Debug, thiserror::Error)]
pub enum Unsound {
    /// SQLite cannot make sense of it.
    #[error("SQLite cannot read it: {0}")]
    Unreadable(#[from] sqlx::Error),
    /// SQLite reads it, and finds it damaged.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// It is a database of something else, or an empty one.
    #[error("it holds no tenmint deployment")]
    NoDeployment,
}

impl Store {
    /// Writes a copy of an SQLite database as it is at one instant to `path`, where there must be
    /// no file or an empty one. Servers read and write meanwhile. Nothing is brought to the disk.
    ///
    /// # Errors
    /// [`StoreError::NotSqlite`] on PostgreSQL; otherwise what SQLite said, such as that the disk
    /// is full: what is at `path` is then of no use.
    pub async fn copy_to(&self, path: &Path) -> Result<(), StoreError> {
        let Engine::Sqlite(sqlite) = &self.engine else {
            return Err(StoreError::NotSqlite);
        };
        let path = path.to_str().ok_or_else(|| StoreError::File {
            path: path.to_owned(),
            why: std::io::Error::other("the path is not UTF-8"),
        })?;
        // One statement reads one snapshot, and in WAL mode keeps no writer waiting.
        sqlx::query("VACUUM INTO $1")
            .bind(path)
            .execute(&sqlite.readers)
            .await?;
        Ok(())
    }

    /// The file of an SQLite database.
    #[must_use]
    pub fn file(&self) -> Option<&PathBuf> {
        match &self.engine {
            Engine::Sqlite(sqlite) => Some(&sqlite.path),
            Engine::Postgres(_) => None,
        }
    }
}

/// Reads all of a copy that nobody writes to, and says what is in it.
///
/// # Errors
/// See [`Unsound`].
pub async fn inspect(path: &Path) -> Result<Contents, Unsound> {
    // Immutable: no file is made beside it, and none that lies there is taken for a part of it.
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .immutable(true)
        .disable_statement_logging();
    let mut on = options.connect().await?;
    let contents = look_at(&mut on).await;
    let _ = on.close().await;
    contents
}

async fn look_at(on: &mut SqliteConnection) -> Result<Contents, Unsound> {
    for check in ["PRAGMA integrity_check(3)", "PRAGMA foreign_key_check"] {
        let rows = sqlx::query(check).fetch_all(&mut *on).await?;
        let faults: Vec<String> = rows.iter().map(fault).collect();
        if faults.iter().any(|fault| fault != "ok") {
            return Err(Unsound::Damaged(faults.join("; ")));
        }
    }
    let (tables,): (i64,) = sqlx::query_as(
        "SELECT COUNT(*) FROM sqlite_schema WHERE name IN ('_sqlx_migrations', 'deployment')",
    )
    .fetch_one(&mut *on)
    .await?;
    if tables != 2 {
        return Err(Unsound::NoDeployment);
    }
    let row: Option<(i64, String, i64, i64, i64)> = sqlx::query_as(
        "SELECT (SELECT COALESCE(MAX(version), 0) FROM _sqlx_migrations), root_key,
                (SELECT COUNT(*) FROM organizations), (SELECT COUNT(*) FROM api_keys),
                (SELECT COUNT(*) FROM audit_events)
         FROM deployment WHERE id = 1",
    )
    .fetch_optional(&mut *on)
    .await?;
    let (schema_version, root_key, organizations, api_keys, audit_entries) =
        row.ok_or(Unsound::NoDeployment)?;
    Ok(Contents {
        schema_version,
        root_key,
        organizations,
        api_keys,
        audit_entries,
    })
}

/// What a check found: a sentence, or the table of a row that refers to nothing.
fn fault(row: &sqlx::sqlite::SqliteRow) -> String {
    let text: Result<String, _> = sqlx::Row::try_get(row, 0);
    match text {
        Ok(text) if sqlx::Row::len(row) > 1 => format!("a row of {text} refers to nothing"),
        Ok(text) => text,
        Err(error) => error.to_string(),
    }
}
