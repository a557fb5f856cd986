//! Numbers of what there is, for those who watch a deployment.

use super::Store;
use super::engine::{Engine, sql};
use super::error::StoreError;
use crate::domain::timestamp::Timestamp;

/// How many there are of what needs watching.
#[derive(Clone, Copy, PartialEq, Eq, Debug, sqlx::FromRow)]
pub struct Census {
    /// Organizations that are neither suspended nor deleted.
    pub organizations: i64,
    /// API keys in force.
    pub api_keys: i64,
    /// Those of them that end before the first of the times asked about.
    pub ending_soon: i64,
    /// Those of them that end before the second.
    pub ending_later: i64,
    /// Signing keys that are published and do not sign yet.
    pub next: i64,
    /// Signing keys that sign.
    pub active: i64,
    /// Signing keys that are published and sign no more.
    pub retiring: i64,
    /// When the signing key that signs for longest began to, Unix seconds.
    pub oldest_active: Option<i64>,
}

/// The connections of a process to its database.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Connections {
    /// Open ones.
    pub open: u32,
    /// Those of them that nobody uses.
    pub idle: usize,
    /// Most that there may be.
    pub most: u32,
}

impl Store {
    /// Counts. On a large deployment this reads an index of all keys: not for every request.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn census(
        &self,
        now: Timestamp,
        soon: Timestamp,
        later: Timestamp,
    ) -> Result<Census, StoreError> {
        Ok(sql!(
            one Census, self.reader(),
            "SELECT
                 (SELECT COUNT(*) FROM organizations
                  WHERE suspended_at IS NULL AND deleted_at IS NULL) AS organizations,
                 keys.api_keys, keys.ending_soon, keys.ending_later,
                 signing.next, signing.active, signing.retiring, signing.oldest_active
             FROM
                 (SELECT COUNT(*) AS api_keys,
                         COUNT(CASE WHEN expires_at <= $2 THEN 1 END) AS ending_soon,
                         COUNT(CASE WHEN expires_at <= $3 THEN 1 END) AS ending_later
                  FROM api_keys
                  WHERE revoked_at IS NULL AND disabled_at IS NULL
                    AND (expires_at IS NULL OR expires_at > $1)) AS keys,
                 (SELECT COUNT(CASE WHEN activated_at IS NULL THEN 1 END) AS next,
                         COUNT(CASE WHEN activated_at IS NOT NULL AND retiring_at IS NULL
                                    THEN 1 END) AS active,
                         COUNT(CASE WHEN retiring_at IS NOT NULL THEN 1 END) AS retiring,
                         MIN(CASE WHEN retiring_at IS NULL THEN activated_at END) AS oldest_active
                  FROM signing_keys WHERE retired_at IS NULL) AS signing",
            now.unix(), soon.unix(), later.unix()
        )?)
    }

    /// How this process is connected; on SQLite, its connections for reading.
    #[must_use]
    pub fn connections(&self) -> Connections {
        match &self.engine {
            Engine::Sqlite(sqlite) => of(&sqlite.readers),
            Engine::Postgres(postgres) => of(&postgres.pool),
        }
    }
}

fn of<DB: sqlx::Database>(pool: &sqlx::Pool<DB>) -> Connections {
    Connections {
        open: pool.size(),
        idle: pool.num_idle(),
        most: pool.options().get_max_connections(),
    }
}
