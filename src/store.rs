//! What outlives a restart: SQL on SQLite and PostgreSQL, one text for both.

pub mod announced_issuers;
pub mod api_keys;
pub mod audit;
pub mod audit_chain;
pub mod audit_readoption;
pub mod backup;
pub mod census;
pub mod changes;
pub mod denied_tokens;
pub mod deployment;
pub mod engine;
pub mod erasures;
pub mod error;
pub mod files;
pub mod forwarding;
pub mod health;
pub mod history;
pub mod idempotency;
pub mod imports;
pub mod jwks_max_ages;
pub mod leases;
pub mod lock;
pub mod mark;
pub mod migrate;
pub mod organizations;
pub mod policy;
pub mod privileges;
pub mod restore;
pub mod revocations;
pub mod roles;
pub mod root_keys;
pub mod scope_catalogue;
pub mod signing_keys;
pub mod usage;
pub mod write;

use engine::{DatabaseUrl, Engine, Postgres, Sqlite};
use error::StoreError;

/// The database. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    engine: Engine<Sqlite, Postgres>,
}

impl Store {
    /// Opens the database at `url`, making an SQLite file if there is none. Nothing is
    /// migrated.
    ///
    /// # Errors
    /// When the file or the server cannot be reached.
    pub async fn open(url: &DatabaseUrl) -> Result<Self, StoreError> {
        let engine = match url {
            DatabaseUrl::Sqlite(path) => Engine::Sqlite(Sqlite::open(path).await?),
            DatabaseUrl::Postgres(options) => Engine::Postgres(Postgres::open(options).await?),
        };
        Ok(Self { engine })
    }

    /// Whether the database answers now.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        engine::sql!(one(i64,), self.reader(), "SELECT CAST(1 AS BIGINT)")?;
        Ok(())
    }

    /// Asks, and once more if the connection had ended on which it was asked, as after a restart of
    /// PostgreSQL. For what changes nothing: nobody knows what came of the first.
    ///
    /// # Errors
    /// As it is asked.
    pub async fn asked_again<T, F>(&self, ask: impl Fn() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        match ask().await {
            Err(error) if error.is_lost_connection() => {
                if let Engine::Postgres(postgres) = &self.engine {
                    // The pool finds out as well, but maybe not before it is asked again.
                    postgres.losses.note();
                }
                ask().await
            }
            done => done,
        }
    }

    /// Closes every connection, after what is under way on it. A PostgreSQL server that says nothing
    /// more is not waited for: it may never do so.
    pub async fn close(&self) {
        match &self.engine {
            Engine::Sqlite(sqlite) => {
                sqlite.readers.close().await;
                sqlite.writer.close().await;
            }
            Engine::Postgres(postgres) => postgres.close().await,
        }
    }

    /// Connections for reading.
    fn reader(&self) -> Engine<&sqlx::SqlitePool, &sqlx::PgPool> {
        match &self.engine {
            Engine::Sqlite(sqlite) => Engine::Sqlite(&sqlite.readers),
            Engine::Postgres(postgres) => Engine::Postgres(&postgres.pool),
        }
    }

    /// Connections for writing what is one statement, and no act on an organization.
    fn writer(&self) -> Engine<&sqlx::SqlitePool, &sqlx::PgPool> {
        match &self.engine {
            Engine::Sqlite(sqlite) => Engine::Sqlite(&sqlite.writer),
            Engine::Postgres(postgres) => Engine::Postgres(&postgres.pool),
        }
    }
}
