//! PostgreSQL: a pool of connections that are tested where they may have died.

use std::time::Duration;

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
}

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
        let pool = PgPoolOptions::new()
            .max_connections(16)
            .acquire_timeout(PATIENCE)
            // Of many connections that died in silence, each would cost all of one's patience.
            .test_before_acquire(false)
            .before_acquire(|connection, about| {
                Box::pin(async move {
                    if about.idle_for < PULSE {
                        return Ok(true);
                    }
                    let alive = tokio::time::timeout(PULSE, connection.ping()).await;
                    Ok(matches!(alive, Ok(Ok(()))))
                })
            })
            // sqlx asks this as well, without end: a connection on which a request gave up waiting
            // would never come free while nobody at its other end says that it is over.
            .after_release(|connection, _| {
                Box::pin(async move {
                    let alive = tokio::time::timeout(PULSE, connection.ping()).await;
                    alive
                        .unwrap_or(Err(sqlx::Error::PoolTimedOut))
                        .map(|()| true)
                })
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
        Ok(Self { pool, options })
    }
}
