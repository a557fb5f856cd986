//! The two engines: how each is reached, and how one SQL text runs on either.

mod postgres;
pub(super) mod rows;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqlitePool};

use super::error::StoreError;
use super::files;

pub(super) use postgres::Postgres;

/// How long a caller waits for a connection or a lock before it is told to come back.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long PostgreSQL may take over one statement: longer than any takes, and less than a request
/// may take. One that vanished without a word never answers; whoever waits for it is to be told so,
/// and holds one of few connections.
const ANSWER: Duration = Duration::from_secs(15);

/// How much of the file each connection that reads keeps in memory, in KiB, as `PRAGMA cache_size` has
/// it: the upper levels of a few indexes. The system keeps the whole file where it has room.
const READERS_CACHE: &str = "-512";

/// One thing for SQLite, another for PostgreSQL.
#[derive(Clone, Copy, Debug)]
pub(super) enum Engine<S, P> {
    /// Embedded.
    Sqlite(S),
    /// A server.
    Postgres(P),
}

/// Runs one `$1`-style SQL text on whichever engine is there.
///
/// `all`, `optional` and `one` name the row type; `run` gives the number of rows changed.
macro_rules! sql {
    (run $on:expr, $text:expr $(, $bind:expr)* $(,)?) => {
        match $on {
            $crate::store::engine::Engine::Sqlite(on) => {
                let work = sqlx::query($text)$(.bind($bind))*.execute(on);
                $crate::telemetry::spans::query("sqlite", $text, work).await
                    .map(|done| done.rows_affected())
            }
            $crate::store::engine::Engine::Postgres(on) => {
                let work = sqlx::query($text)$(.bind($bind))*.execute(on);
                let work = $crate::store::engine::answered(work);
                $crate::telemetry::spans::query("postgresql", $text, work).await
                    .map(|done| done.rows_affected())
            }
        }
    };
    (all $row:ty, $on:expr, $text:expr $(, $bind:expr)* $(,)?) => {
        $crate::store::engine::sql!(
            @fetch fetch, $crate::store::engine::rows::all, $row, $on, $text $(, $bind)*
        )
    };
    (optional $row:ty, $on:expr, $text:expr $(, $bind:expr)* $(,)?) => {
        $crate::store::engine::sql!(
            @fetch fetch_optional, std::convert::identity, $row, $on, $text $(, $bind)*
        )
    };
    (one $row:ty, $on:expr, $text:expr $(, $bind:expr)* $(,)?) => {
        $crate::store::engine::sql!(
            @fetch fetch_one, std::convert::identity, $row, $on, $text $(, $bind)*
        )
    };
    (@fetch $how:ident, $taken_in:expr, $row:ty, $on:expr, $text:expr $(, $bind:expr)*) => {
        match $on {
            $crate::store::engine::Engine::Sqlite(on) => {
                let work = sqlx::query_as::<_, $row>($text)$(.bind($bind))*.$how(on);
                $crate::telemetry::spans::query("sqlite", $text, $taken_in(work)).await
            }
            $crate::store::engine::Engine::Postgres(on) => {
                let work = sqlx::query_as::<_, $row>($text)$(.bind($bind))*.$how(on);
                let work = $crate::store::engine::answered($taken_in(work));
                $crate::telemetry::spans::query("postgresql", $text, work).await
            }
        }
    };
}
pub(super) use sql;

/// What PostgreSQL answers, in time.
pub(super) fn answered<T>(
    asked: impl Future<Output = sqlx::Result<T>>,
) -> impl Future<Output = sqlx::Result<T>> {
    // On the heap: or each act would be as large as all its statements together.
    let answer = tokio::time::timeout(ANSWER, Box::pin(asked));
    async move { answer.await.unwrap_or(Err(sqlx::Error::PoolTimedOut)) }
}

/// Where the database is. Shows no password.
#[derive(Clone)]
pub enum DatabaseUrl {
    /// An SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL server.
    Postgres(Box<PgConnectOptions>),
}

/// Not a database URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseUrlError {
    /// Neither of the two forms.
    #[error("write sqlite:<path of a file> or postgres://user@host/database")]
    Shape,
    /// It would be gone with the process, and every key with it.
    #[error("tenmint keeps no database in memory: name a file")]
    InMemory,
}

/// SQLite: one connection writes, several read.
#[derive(Clone)]
pub(super) struct Sqlite {
    pub(super) path: PathBuf,
    /// One: SQLite has a single writer, and a pool of them would only wait on each other.
    pub(super) writer: SqlitePool,
    pub(super) readers: SqlitePool,
    /// How often the writing connection was opened: what one counts, another does not continue.
    pub(super) writers_opened: Arc<AtomicU64>,
}

impl FromStr for DatabaseUrl {
    type Err = DatabaseUrlError;

    fn from_str(text: &str) -> Result<Self, DatabaseUrlError> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return match path {
                "" | "/" => Err(DatabaseUrlError::Shape),
                path if path.contains(":memory:") || path.contains("mode=memory") => {
                    Err(DatabaseUrlError::InMemory)
                }
                path if path.contains('?') => Err(DatabaseUrlError::Shape),
                path => Ok(Self::Sqlite(PathBuf::from(path))),
            };
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            let options = text.parse().map_err(|_| DatabaseUrlError::Shape)?;
            return Ok(Self::Postgres(Box::new(options)));
        }
        Err(DatabaseUrlError::Shape)
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(options) => {
                let database = options.get_database().unwrap_or_default();
                write!(
                    f,
                    "postgres://{}:{}/{database}",
                    options.get_host(),
                    options.get_port()
                )
            }
        }
    }
}

impl Sqlite {
    pub(super) async fn open(path: &Path) -> Result<Self, StoreError> {
        make_private_file(path)?;
        // FULL: an act that was answered survives the loss of power, not only of the process.
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            // What is erased is overwritten, not only given free.
            .pragma("secure_delete", "ON")
            .busy_timeout(PATIENCE)
            .disable_statement_logging();
        let writers_opened = Arc::new(AtomicU64::new(0));
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(PATIENCE)
            .idle_timeout(None)
            .max_lifetime(None)
            // A full disk makes SQLite roll back by itself, and the connection then takes
            // itself to be in a transaction for ever: such a one is given up.
            .before_acquire(|connection, _| {
                let fit = !connection.is_in_transaction();
                Box::pin(async move { Ok(fit) })
            })
            .after_connect({
                let opened = Arc::clone(&writers_opened);
                move |_, _| {
                    opened.fetch_add(1, Ordering::SeqCst);
                    Box::pin(async { Ok(()) })
                }
            })
            .connect_with(options.clone())
            .await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(4)
            .acquire_timeout(PATIENCE)
            .connect_with(options.read_only(true).pragma("cache_size", READERS_CACHE))
            .await?;
        let path = path.to_owned();
        Ok(Self {
            path,
            writer,
            readers,
            writers_opened,
        })
    }
}

/// Hashes and sealed keys are for the server's account alone.
fn make_private_file(path: &Path) -> Result<(), StoreError> {
    let file_error = |why| StoreError::File {
        path: path.to_owned(),
        why,
    };
    files::create_private_folder(files::folder_of(path)).map_err(file_error)?;
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop).map_err(file_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_url_is_a_file_or_a_postgres_server() {
        let shown = |text: &str| text.parse::<DatabaseUrl>().map(|url| url.to_string());
        assert_eq!(shown("sqlite:data/t.db").unwrap(), "sqlite:data/t.db");
        assert_eq!(shown("sqlite:///var/t.db").unwrap(), "sqlite:/var/t.db");
        for bad in ["", "sqlite:", "mysql://x", "data/t.db", "sqlite:x?mode=ro"] {
            assert_eq!(shown(bad), Err(DatabaseUrlError::Shape), "{bad}");
        }
        assert_eq!(shown("sqlite::memory:"), Err(DatabaseUrlError::InMemory));
    }

    #[test]
    fn a_database_password_is_never_shown() {
        let url: DatabaseUrl = "postgres://u:hunter2@db.example:5433/mint".parse().unwrap();
        assert_eq!(format!("{url:?}"), "postgres://db.example:5433/mint");
    }
}
