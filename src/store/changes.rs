//! News of what other processes changed: NOTIFY on PostgreSQL, `data_version` on SQLite.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgListener, PgPoolOptions};

use super::Store;
use super::engine::Engine;
use super::error::StoreError;
use crate::domain::organization::OrganizationId;
use crate::domain::secret::KeyId;

/// The channel that acts notify on.
pub(super) const CHANNEL: &str = "tenmint_changes";

/// How often an SQLite file is asked whether another process wrote to it.
const ASK_SQLITE: Duration = Duration::from_secs(1);

/// How often a listener proves that it still hears: it sends itself a heartbeat on the very
/// connection it listens on. A paused server gives no error at all.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// How long a heartbeat may take to come back before nothing heard is trusted.
const DEAF: Duration = Duration::from_secs(5);

/// Something that caches must forget.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// One API key.
    Key(KeyId),
    /// An organization: its state, its signing key.
    Organization(OrganizationId),
    /// Anything: some news may have been missed.
    Everything,
}

/// Hears of changes made by other processes, this one's own included.
pub struct Changes(Engine<SqliteWatch, PgListener>);

struct SqliteWatch {
    store: Store,
    version: Option<i64>,
}

impl Store {
    /// Begins to listen. What was changed before is not reported.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn listen(&self) -> Result<Changes, StoreError> {
        match &self.engine {
            Engine::Sqlite(_) => Ok(Changes(Engine::Sqlite(SqliteWatch {
                version: self.data_version().await?,
                store: self.clone(),
            }))),
            Engine::Postgres(postgres) => {
                // A connection of its own: behind a busy pool, news would wait.
                let pool = PgPoolOptions::new()
                    .max_connections(1)
                    .idle_timeout(None)
                    .max_lifetime(None)
                    .acquire_timeout(DEAF)
                    .connect_with(postgres.options.clone())
                    .await?;
                let mut listener = PgListener::connect_with(&pool).await?;
                listener.eager_reconnect(false);
                listener.listen(CHANNEL).await?;
                Ok(Changes(Engine::Postgres(listener)))
            }
        }
    }

    /// Changes whenever another connection commits. Asked on the writing connection, whose
    /// own commits do not count.
    async fn data_version(&self) -> Result<Option<i64>, StoreError> {
        match &self.engine {
            Engine::Sqlite(sqlite) => {
                let row: (i64,) = sqlx::query_as("PRAGMA data_version")
                    .fetch_one(&sqlite.writer)
                    .await?;
                Ok(Some(row.0))
            }
            Engine::Postgres(_) => Ok(None),
        }
    }
}

impl Changes {
    /// Waits for the next change.
    ///
    /// # Errors
    /// When nothing can be heard any longer: forget everything and listen anew.
    pub async fn next(&mut self) -> Result<Change, StoreError> {
        match &mut self.0 {
            Engine::Sqlite(watch) => loop {
                tokio::time::sleep(ASK_SQLITE).await;
                let version = watch.store.data_version().await?;
                if version != watch.version {
                    watch.version = version;
                    return Ok(Change::Everything);
                }
            },
            Engine::Postgres(listener) => loop {
                let heard = match tokio::time::timeout(HEARTBEAT, listener.try_recv()).await {
                    Ok(heard) => heard?,
                    Err(_) => {
                        let beat = sqlx::query("SELECT 1").execute(&mut *listener);
                        tokio::time::timeout(DEAF, beat)
                            .await
                            .map_err(|_| StoreError::Unavailable(sqlx::Error::PoolTimedOut))??;
                        continue;
                    }
                };
                // None: the connection was lost, and with it whatever was said meanwhile.
                let heard = heard.ok_or(StoreError::Unavailable(sqlx::Error::WorkerCrashed))?;
                return Ok(heard.payload().parse().unwrap_or(Change::Everything));
            },
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(id) => write!(f, "key:{id}"),
            Self::Organization(id) => write!(f, "organization:{id}"),
            Self::Everything => f.write_str("everything"),
        }
    }
}

impl FromStr for Change {
    /// Said by a newer tenmint: whoever does not understand it forgets everything.
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text.split_once(':') {
            Some(("key", id)) => id.parse().map(Self::Key).map_err(|_| ()),
            Some(("organization", id)) => id.parse().map(Self::Organization).map_err(|_| ()),
            _ => Ok(Self::Everything),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_read_as_it_was_told() {
        let changes = [
            Change::Key(KeyId::new(ulid::Ulid(7))),
            Change::Organization("acme".parse().unwrap()),
            Change::Everything,
        ];
        for change in changes {
            assert_eq!(change.to_string().parse(), Ok(change));
        }
    }
}
