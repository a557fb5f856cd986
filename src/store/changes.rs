//! News of what other processes changed: NOTIFY on PostgreSQL, `data_version` on SQLite.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ring::rand::{SecureRandom, SystemRandom};
use sqlx::postgres::{PgListener, PgPoolOptions};
use ulid::Ulid;

use super::Store;
use super::engine::Engine;
use super::error::StoreError;
use crate::domain::organization::OrganizationId;
use crate::domain::secret::KeyId;

/// The channel that acts notify on.
pub(super) const CHANNEL: &str = "tenmint_changes";

/// How often an SQLite file is asked whether another process wrote to it.
const ASK_SQLITE: Duration = Duration::from_secs(1);

/// How often a listener sends itself a heartbeat: on the connection it listens on, through the
/// channel it listens to. A paused server gives no error at all, and a connection that a pooler
/// shares out answers every question and hears nothing.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// How long ago the last heartbeat to come back may have been sent before nothing heard is trusted.
const DEAF: Duration = Duration::from_secs(5);

/// What a heartbeat says before the name of whose it is.
const BEAT: &str = "heartbeat:";

/// Something that caches must forget.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// One API key.
    Key(KeyId),
    /// An organization: its state, its signing key.
    Organization(OrganizationId),
    /// Which access tokens are denied.
    Denials,
    /// Which strings of other systems are API keys.
    Imports,
    /// Anything: some news may have been missed.
    Everything,
}

/// What a listener hears.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum News {
    /// Something changed.
    Changed(Change),
    /// Whatever was committed before that time, of the clock that the listener was given, has been
    /// told.
    Heard(Duration),
}

/// Hears of changes made by other processes, this one's own included.
pub struct Changes(Engine<SqliteWatch, PgEar>);

/// Tells the time of heartbeats.
type Clock = fn() -> Duration;

struct SqliteWatch {
    store: Store,
    version: Option<(u64, i64)>,
    clock: Clock,
}

struct PgEar {
    listener: PgListener,
    /// The heartbeats of this listener, apart from those of other nodes.
    beat: String,
    /// When the last heartbeat to come back was sent.
    trusted: Instant,
    /// When the heartbeat that is under way was sent, by either clock.
    sent: Option<(Instant, Duration)>,
    clock: Clock,
}

impl Store {
    /// Begins to listen. What was changed before is not reported. Heartbeats are told by `clock`.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn listen(&self, clock: fn() -> Duration) -> Result<Changes, StoreError> {
        match &self.engine {
            Engine::Sqlite(_) => Ok(Changes(Engine::Sqlite(SqliteWatch {
                version: self.data_version().await?,
                store: self.clone(),
                clock,
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
                let listen = async {
                    let mut listener = PgListener::connect_with(&pool).await?;
                    listener.eager_reconnect(false);
                    listener.listen(CHANNEL).await.map(|()| listener)
                };
                // A server that vanishes at this moment is not to be waited for without end.
                let listener = tokio::time::timeout(DEAF, listen).await;
                let listener = listener.unwrap_or(Err(sqlx::Error::PoolTimedOut))?;
                // Whoever listens anew has lost the connection of before; and as everything is
                // forgotten then, the others are asked at once.
                postgres.losses.note();
                Ok(Changes(Engine::Postgres(PgEar {
                    listener,
                    beat: format!("{BEAT}{}", Ulid::from_parts(0, unique())),
                    trusted: Instant::now(),
                    sent: None,
                    clock,
                })))
            }
        }
    }

    /// Changes whenever another connection commits. Asked on the writing connection, whose
    /// own commits do not count.
    async fn data_version(&self) -> Result<Option<(u64, i64)>, StoreError> {
        match &self.engine {
            Engine::Sqlite(sqlite) => {
                let row: (i64,) = sqlx::query_as("PRAGMA data_version")
                    .fetch_one(&sqlite.writer)
                    .await?;
                Ok(Some((sqlite.writers_opened.load(Ordering::SeqCst), row.0)))
            }
            Engine::Postgres(_) => Ok(None),
        }
    }
}

impl Changes {
    /// Waits for the next news.
    ///
    /// # Errors
    /// When nothing can be heard any longer: forget everything and listen anew.
    pub async fn next(&mut self) -> Result<News, StoreError> {
        match &mut self.0 {
            Engine::Sqlite(watch) => {
                tokio::time::sleep(ASK_SQLITE).await;
                let asked = (watch.clock)();
                let version = watch.store.data_version().await?;
                if version == watch.version {
                    return Ok(News::Heard(asked));
                }
                watch.version = version;
                Ok(News::Changed(Change::Everything))
            }
            Engine::Postgres(ear) => ear.next().await,
        }
    }
}

impl PgEar {
    async fn next(&mut self) -> Result<News, StoreError> {
        let deaf = || StoreError::Unavailable(sqlx::Error::PoolTimedOut);
        loop {
            if self.trusted.elapsed() > DEAF {
                return Err(deaf());
            }
            let due = self.sent.is_none() && self.trusted.elapsed() >= HEARTBEAT;
            if due {
                let sent = (Instant::now(), (self.clock)());
                let beat = sqlx::query("SELECT pg_notify($1, $2)")
                    .bind(CHANNEL)
                    .bind(&self.beat)
                    .execute(&mut self.listener);
                tokio::time::timeout(DEAF, beat)
                    .await
                    .map_err(|_| deaf())??;
                self.sent = Some(sent);
            }
            let Ok(heard) = tokio::time::timeout(HEARTBEAT, self.listener.try_recv()).await else {
                continue;
            };
            // None: the connection was lost, and with it whatever was said meanwhile.
            let heard = heard?.ok_or(StoreError::Unavailable(sqlx::Error::WorkerCrashed))?;
            match heard.payload() {
                own if own == self.beat => {
                    if let Some((sent, told)) = self.sent.take() {
                        self.trusted = sent;
                        return Ok(News::Heard(told));
                    }
                }
                others if others.starts_with(BEAT) => {}
                news => {
                    let change = news.parse().unwrap_or(Change::Everything);
                    return Ok(News::Changed(change));
                }
            }
        }
    }
}

/// Tells this listener from every other, in this process and elsewhere.
pub(super) fn unique() -> u128 {
    let mut bytes = [0; 16];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.expect("the operating system gives random bytes");
    u128::from_le_bytes(bytes)
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(id) => write!(f, "key:{id}"),
            Self::Organization(id) => write!(f, "organization:{id}"),
            Self::Denials => f.write_str("denials"),
            Self::Imports => f.write_str("imports"),
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
            None if text == "denials" => Ok(Self::Denials),
            None if text == "imports" => Ok(Self::Imports),
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
            Change::Key(KeyId::new(Ulid(7))),
            Change::Organization("acme".parse().unwrap()),
            Change::Denials,
            Change::Imports,
            Change::Everything,
        ];
        for change in changes {
            assert_eq!(change.to_string().parse(), Ok(change));
        }
    }
}
