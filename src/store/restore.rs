//! What is done to a database that was put in place of another.

mod unfinished;

use sqlx::{PgConnection, SqliteConnection};

use super::Store;
use super::engine::{Engine, sql};
use super::error::StoreError;
use super::history::History;
use super::write::Write;
use crate::domain::timestamp::Timestamp;

pub use unfinished::Unfinished;

/// How many keys one statement switches off: an organization may have a million.
const SWITCHED_OFF: usize = 10_000;

/// A key that was switched off with many others.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct SwitchedOff {
    /// Its id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// The beginning of the SHA-256 of its secret.
    pub fingerprint: String,
}

impl Store {
    /// Counts a restore, which is done now, and forgets what was about servers that no longer run:
    /// their leases, their deliveries, the root keys that they held, the requests that they were
    /// at. The count becomes one more than `before`, or than it is, whichever is more. What
    /// validators were told when the copy was made, they may have been told until now.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn finish_restore(
        &self,
        before: i64,
        now: Timestamp,
    ) -> Result<Option<History>, StoreError> {
        let place = self.place().await?;
        let mut transaction = self.transaction().await?;
        for text in [
            "DELETE FROM leases",
            "DELETE FROM nodes",
            "DELETE FROM root_key_holders",
            "DELETE FROM announced_issuers",
            "DELETE FROM idempotency WHERE result IS NULL",
        ] {
            sql!(run transaction.on(), text)?;
        }
        sql!(
            run transaction.on(),
            "UPDATE jwks_max_ages SET announced_until = $1 WHERE announced_until < $1", now.unix()
        )?;
        sql!(
            run transaction.on(),
            "UPDATE deployment
             SET restores = CASE WHEN restores < $1 THEN $1 ELSE restores END + 1, place = $2
             WHERE id = 1",
            before, place
        )?;
        transaction.commit().await?;
        self.history().await
    }

    /// On PostgreSQL, which database of which cluster this is, if the server tells: a copy made by
    /// `pg_restore` is another.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn place(&self) -> Result<Option<String>, StoreError> {
        let Engine::Postgres(postgres) = &self.engine else {
            return Ok(None);
        };
        let found: Result<(String,), sqlx::Error> = sqlx::query_as(
            "SELECT (SELECT system_identifier FROM pg_control_system()) || '/'
                    || (SELECT oid FROM pg_database WHERE datname = current_database())",
        )
        .fetch_one(&postgres.pool)
        .await;
        match found {
            Ok((place,)) => Ok(Some(place)),
            // Some who offer PostgreSQL as a service do not tell.
            Err(sqlx::Error::Database(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// On PostgreSQL, notes which database this is where nothing was noted, and says whether it is
    /// another than was noted: a copy that nobody treated as a restored one.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn is_untreated_copy(&self, note: bool) -> Result<bool, StoreError> {
        let Some(place) = self.place().await? else {
            return Ok(false);
        };
        if note {
            sql!(
                run self.writer(),
                "UPDATE deployment SET place = $1 WHERE id = 1 AND place IS NULL", &place
            )?;
        }
        let (others,) = sql!(
            one(i64,),
            self.reader(),
            "SELECT COUNT(*) FROM deployment WHERE place <> $1",
            &place
        )?;
        Ok(others > 0)
    }

    /// How many connections other tenmint processes have to this database. On SQLite, a server holds
    /// a lock, and this says nothing.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn others_connected(&self) -> Result<i64, StoreError> {
        let Engine::Postgres(postgres) = &self.engine else {
            return Ok(0);
        };
        let (connected,): (i64,) = sqlx::query_as(
            "SELECT COUNT(*) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name = 'tenmint'",
        )
        .fetch_one(&postgres.pool)
        .await?;
        Ok((connected - i64::from(postgres.pool.size())).max(0))
    }
}

impl Write {
    /// Switches off every key of the organization of this act that could be used at `now`, and says
    /// which.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn switch_off_all(&mut self, now: Timestamp) -> Result<Vec<SwitchedOff>, StoreError> {
        let organization = self.organization().id.clone();
        let found = usable(self.on(), organization.as_str(), now.unix()).await?;
        for some in found.chunks(SWITCHED_OFF) {
            let (Some(first), Some(last)) = (some.first(), some.last()) else {
                break;
            };
            sql!(
                run self.on(),
                "UPDATE api_keys SET disabled_at = $2, revision = revision + 1
                 WHERE organization_id = $1 AND id >= $3 AND id <= $4
                   AND revoked_at IS NULL AND disabled_at IS NULL
                   AND (expires_at IS NULL OR expires_at > $2)",
                organization.as_str(), now.unix(), &first.id, &last.id
            )?;
        }
        Ok(found)
    }
}

async fn usable(
    on: Engine<&mut SqliteConnection, &mut PgConnection>,
    organization: &str,
    now: i64,
) -> Result<Vec<SwitchedOff>, StoreError> {
    Ok(sql!(
        all SwitchedOff, on,
        "SELECT k.id, k.name, s.fingerprint
         FROM api_keys k
         JOIN api_key_secrets s ON s.api_key_id = k.id AND s.expires_at IS NULL
         WHERE k.organization_id = $1 AND k.revoked_at IS NULL AND k.disabled_at IS NULL
           AND (k.expires_at IS NULL OR k.expires_at > $2)
         ORDER BY k.id",
        organization, now
    )?)
}
