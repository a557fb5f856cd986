//! What a doctor asks the database, changing nothing.

use std::time::Duration;

use sqlx::postgres::{PgListener, PgPoolOptions};
use ulid::Ulid;

use super::Store;
use super::changes::unique;
use super::engine::{Engine, sql};
use super::error::StoreError;

/// How long a notification may take.
const SOON: Duration = Duration::from_secs(3);

/// Times by which clocks are judged, in Unix seconds.
#[derive(Clone, Debug, Default, sqlx::FromRow)]
pub struct Times {
    /// What the database server's clock says, if it has one of its own.
    pub database: Option<i64>,
    /// When the newest audit entry was written.
    pub newest_entry: Option<i64>,
    /// When a server last gave a sign of life.
    pub last_sign_of_life: Option<i64>,
    /// When the server that runs longest started.
    pub first_start: Option<i64>,
    /// Until when the clean-up of each hour need not be done again.
    pub cleaned_until: Option<i64>,
}

/// What was destroyed, and is not known to be gone from the database's files yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, sqlx::FromRow)]
pub struct OwedErasures {
    /// By how many acts.
    pub count: i64,
    /// When the first of them was done, Unix seconds; `None` where no audit entry tells.
    pub since: Option<i64>,
}

/// What a PostgreSQL server does before it says that something is committed.
#[derive(Clone, Debug, sqlx::FromRow)]
#[expect(missing_docs, reason = "each is a setting of PostgreSQL of that name")]
pub struct Durability {
    pub fsync: String,
    pub full_page_writes: String,
    pub synchronous_commit: String,
    pub synchronous_standby_names: String,
    /// Whether it is a standby.
    pub in_recovery: bool,
}

impl Store {
    /// What SQLite finds wrong with its file, looking at all of it or quickly; `None` on
    /// PostgreSQL, which looks after its own.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn integrity(&self, full: bool) -> Result<Option<Vec<String>>, StoreError> {
        let Engine::Sqlite(sqlite) = &self.engine else {
            return Ok(None);
        };
        let check = if full {
            "PRAGMA integrity_check(3)"
        } else {
            "PRAGMA quick_check(3)"
        };
        let rows: Vec<(String,)> = sqlx::query_as(check).fetch_all(&sqlite.readers).await?;
        let faults = rows.into_iter().map(|(text,)| text);
        Ok(Some(faults.filter(|text| text != "ok").collect()))
    }

    /// At most `count` organizations whose row does not name the last entry of their audit log.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn audit_heads_without_entry(&self, count: i64) -> Result<Vec<String>, StoreError> {
        let rows = sql!(
            all(String,),
            self.reader(),
            "SELECT o.id FROM organizations o
             WHERE NOT EXISTS (SELECT 1 FROM audit_events e
                               WHERE e.organization_id = o.id AND e.sequence = o.audit_sequence
                                 AND e.mac = o.audit_mac)
                OR EXISTS (SELECT 1 FROM audit_events e
                           WHERE e.organization_id = o.id AND e.sequence > o.audit_sequence)
             ORDER BY o.id LIMIT $1",
            count
        )?;
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }

    /// Times by which clocks are judged.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn times(&self) -> Result<Times, StoreError> {
        macro_rules! times {
            ($now:literal) => {
                concat!(
                    "SELECT ",
                    $now,
                    " AS database,
                     (SELECT MAX(e.at) FROM organizations o
                      JOIN audit_events e ON e.organization_id = o.id
                                         AND e.sequence = o.audit_sequence) AS newest_entry,
                     (SELECT MAX(flushed_at) FROM nodes) AS last_sign_of_life,
                     (SELECT MIN(started_at) FROM nodes) AS first_start,
                     (SELECT held_until FROM leases
                      WHERE name = 'usage_cleanup') AS cleaned_until"
                )
            };
        }
        let text = match &self.engine {
            // Its clock is this machine's.
            Engine::Sqlite(_) => times!("CAST(NULL AS INTEGER)"),
            Engine::Postgres(_) => {
                times!("CAST(extract(epoch FROM clock_timestamp()) AS BIGINT)")
            }
        };
        Ok(sql!(one Times, self.reader(), text)?)
    }

    /// What was destroyed, and is not known to be gone from the database's tables and files yet.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn owed_erasures(&self) -> Result<OwedErasures, StoreError> {
        Ok(sql!(
            one OwedErasures, self.reader(),
            "SELECT COUNT(*) AS count, MIN(e.at) AS since
             FROM (SELECT DISTINCT organization_id, ABS(sequence) AS sequence FROM erasures) AS x
             LEFT JOIN audit_events e ON e.organization_id = x.organization_id
                                     AND e.sequence = x.sequence"
        )?)
    }

    /// What PostgreSQL does before it says that something is committed; `None` on SQLite, where
    /// each connection of tenmint's sets that itself.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn durability(&self) -> Result<Option<Durability>, StoreError> {
        let Engine::Postgres(postgres) = &self.engine else {
            return Ok(None);
        };
        let durability = sqlx::query_as(
            "SELECT current_setting('fsync') AS fsync,
                    current_setting('full_page_writes') AS full_page_writes,
                    current_setting('synchronous_commit') AS synchronous_commit,
                    current_setting('synchronous_standby_names') AS synchronous_standby_names,
                    pg_is_in_recovery() AS in_recovery",
        )
        .fetch_one(&postgres.pool)
        .await?;
        Ok(Some(durability))
    }

    /// Whether what is notified on one connection is heard on another. On SQLite there is nothing
    /// to hear.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn hears_itself(&self) -> Result<bool, StoreError> {
        let Engine::Postgres(postgres) = &self.engine else {
            return Ok(true);
        };
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(SOON)
            .connect_with(postgres.options.clone())
            .await?;
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.eager_reconnect(false);
        // A channel of its own: servers are not to hear of it.
        let channel = format!("tenmint_doctor_{}", Ulid::from_parts(0, unique()));
        let channel = channel.to_lowercase();
        listener.listen(&channel).await?;
        sqlx::query("SELECT pg_notify($1, '')")
            .bind(&channel)
            .execute(&postgres.pool)
            .await?;
        let heard = tokio::time::timeout(SOON, listener.try_recv()).await;
        drop(listener);
        pool.close().await;
        Ok(matches!(heard, Ok(Ok(Some(_)))))
    }
}
