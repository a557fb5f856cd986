//! What still depends on each root key.

use crate::domain::timestamp::Timestamp;
use crate::store::Store;
use crate::store::engine::sql;
use crate::store::error::StoreError;
use crate::store::write::Write;

/// What depends on one root key.
#[derive(Clone, PartialEq, Eq, Debug, sqlx::FromRow)]
pub struct Need {
    /// Its id.
    pub root_key: String,
    /// Organizations whose audit chains go on under it.
    pub organizations: i64,
    /// Signing keys that it sealed.
    pub signing_keys: i64,
    /// API keys that were not revoked, and that have a secret whose hash it peppers.
    pub api_keys: i64,
}

/// An API key that depends on a root key. As it is stored: one corrupt row must not hide the
/// others.
#[derive(Clone, PartialEq, Eq, Debug, sqlx::FromRow)]
pub struct NeedyKey {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub organization_id: String,
    /// What it is called.
    pub name: String,
    /// When it ends, Unix seconds.
    pub expires_at: Option<i64>,
    /// Since when it is disabled, Unix seconds.
    pub disabled_at: Option<i64>,
    /// When it was last used, Unix seconds.
    pub last_used_at: Option<i64>,
}

/// An API key `k` depends on a root key while it is not revoked and one of its secrets `s`, which
/// may still count, does.
macro_rules! needy {
    () => {
        " FROM api_key_secrets s JOIN api_keys k ON k.id = s.api_key_id
          WHERE k.revoked_at IS NULL AND (s.expires_at IS NULL OR s.expires_at > $1)"
    };
}

impl Store {
    /// What depends on each root key that something depends on.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn root_key_needs(&self, now: Timestamp) -> Result<Vec<Need>, StoreError> {
        Ok(sql!(
            all Need, self.reader(),
            concat!(
                "SELECT root_key, CAST(SUM(organizations) AS BIGINT) AS organizations,
                        CAST(SUM(signing_keys) AS BIGINT) AS signing_keys,
                        CAST(SUM(api_keys) AS BIGINT) AS api_keys
                 FROM (
                   SELECT root_key, COUNT(*) AS organizations, 0 AS signing_keys, 0 AS api_keys
                   FROM organizations GROUP BY root_key
                   UNION ALL
                   SELECT root_key, 0, COUNT(*), 0 FROM signing_keys
                   WHERE LENGTH(sealed) > 0 GROUP BY root_key
                   UNION ALL
                   SELECT s.root_key, 0, 0, COUNT(DISTINCT s.api_key_id)",
                needy!(),
                " GROUP BY s.root_key
                 ) AS needs
                 GROUP BY root_key ORDER BY root_key"
            ),
            now.unix()
        )?)
    }

    /// At most `count` of the API keys that depend on a root key, in the order of their ids,
    /// behind `after`.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn keys_needing(
        &self,
        root_key: &str,
        now: Timestamp,
        after: &str,
        count: i64,
    ) -> Result<Vec<NeedyKey>, StoreError> {
        Ok(sql!(
            all NeedyKey, self.reader(),
            concat!(
                "SELECT DISTINCT k.id, k.organization_id, k.name, k.expires_at, k.disabled_at,
                        (SELECT MAX(u.last_used_at) FROM secret_uses u
                         WHERE u.api_key_id = k.id) AS last_used_at",
                needy!(),
                " AND s.root_key = $2 AND k.id > $3 ORDER BY k.id LIMIT $4"
            ),
            now.unix(), root_key, after, count
        )?)
    }
}

impl Write {
    /// How many API keys depend on a root key now.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn count_needy(&mut self, root_key: &str, now: Timestamp) -> Result<i64, StoreError> {
        let (count,) = sql!(
            one(i64,),
            self.on(),
            concat!(
                "SELECT COUNT(DISTINCT s.api_key_id)",
                needy!(),
                " AND s.root_key = $2"
            ),
            now.unix(),
            root_key
        )?;
        Ok(count)
    }

    /// How many organizations and signing keys depend on a root key now.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn count_sealed(&mut self, root_key: &str) -> Result<i64, StoreError> {
        let (count,) = sql!(
            one(i64,),
            self.on(),
            "SELECT (SELECT COUNT(*) FROM organizations WHERE root_key = $1)
                  + (SELECT COUNT(*) FROM signing_keys
                     WHERE root_key = $1 AND LENGTH(sealed) > 0)",
            root_key
        )?;
        Ok(count)
    }
}
