//! PostgreSQL: a pool of connections that are tested where they may have died.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool};

use super::{ANSWER, PATIENCE};
use crate::store::error::StoreError;

/// How long a connection may take to show that it still lives.
const PULSE: Duration = Duration::from_millis(500);

/// PostgreSQL.
#[derive(Clone)]
pub(in crate::store) struct Postgres {
    pub(in crate::store) pool: PgPool,
    pub(in crate::store) options: PgConnectOptions,
    pub(in crate::store) losses: Losses,
}

/// When a connection was last found to have ended. What ends one mostly ends all.
#[derive(Clone, Default)]
pub(in crate::store) struct Losses(Arc<Mutex<Option<Instant>>>);

impl Postgres {
    pub(in crate::store) async fn open(options: &PgConnectOptions) -> Result<Self, StoreError> {
        let options = options
            .clone()
            .application_name("tenmint")
            .disable_statement_logging();
        // A pool says only that it timed out; a connection says why.
        let unreachable = |why| StoreError::Unreachable {
            server: format!("{}:{}", options.get_host(), options.get_port()),
            why,
        };
        let first = PgConnection::connect_with(&options).await;
        first.map_err(unreachable)?.close().await?;
        let losses = Losses::default();
        let pool = PgPoolOptions::new()
            .max_connections(16)
            .acquire_timeout(PATIENCE)
            // Of many connections that died in silence, each would cost all of one's patience.
            .test_before_acquire(false)
            .before_acquire({
                let losses = losses.clone();
                move |connection, about| {
                    let doubtful = about.idle_for >= PULSE || losses.cast_doubt(about.idle_for);
                    Box::pin(async move {
                        if !doubtful {
                            return Ok(true);
                        }
                        Ok(shows_its_pulse(connection).await.is_ok())
                    })
                }
            })
            // sqlx asks this as well, without end: a connection on which a request gave up waiting
            // would never come free while nobody at its other end says that it is over.
            .after_release({
                let losses = losses.clone();
                move |connection, _| {
                    let losses = losses.clone();
                    Box::pin(async move {
                        let shown = shows_its_pulse(connection).await;
                        shown.inspect_err(|_| losses.note()).map(|()| true)
                    })
                }
            })
            // PostgreSQL waits for a lock without end, and each who waits holds a connection. What a
            // node had locked that is cut off in the middle of an act stays locked for all others,
            // and its connections taken, until PostgreSQL looks whether it is still there: by itself
            // after two hours.
            .after_connect(|connection, _| {
                Box::pin(async move {
                    let set = "SELECT set_config('lock_timeout', $1, false),
                                      set_config('idle_in_transaction_session_timeout', $2, false),
                                      set_config('tcp_keepalives_idle', $3, false),
                                      set_config('tcp_keepalives_interval', '5', false),
                                      set_config('tcp_keepalives_count', '3', false)";
                    sqlx::query(set)
                        .bind(PATIENCE.as_millis().to_string())
                        .bind(ANSWER.as_millis().to_string())
                        .bind(ANSWER.as_secs().to_string())
                        .execute(connection)
                        .await
                        .map(drop)
                })
            })
            .connect_with(options.clone())
            .await?;
        Ok(Self {
            pool,
            options,
            losses,
        })
    }

    /// Closes the pool, after what is under way, or when that took too long.
    pub(in crate::store) async fn close(&self) {
        if tokio::time::timeout(PATIENCE, self.pool.close())
            .await
            .is_err()
        {
            tracing::warn!("PostgreSQL does not answer: its connections are cut");
        }
    }
}

/// Whether a connection still lives, and shows it in time.
async fn shows_its_pulse(connection: &mut PgConnection) -> sqlx::Result<()> {
    let shown = tokio::time::timeout(PULSE, connection.ping()).await;
    shown.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

impl Losses {
    /// Notes that a connection has ended. Whichever was put by before is tested before it is used
    /// again, however short a time ago that was: after a restart of the server, one after the other
    /// would fail whoever is given it.
    pub(in crate::store) fn note(&self) {
        *self.lock() = Some(Instant::now());
    }

    /// Whether one that was put by so long ago was put by before the last that ended.
    fn cast_doubt(&self, idle_for: Duration) -> bool {
        self.lock().is_some_and(|noted| noted.elapsed() <= idle_for)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
