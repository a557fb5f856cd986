//! What still depends on each root key.

use crate::domain::timestamp::Timestamp;
use crate::store::Store;
use crate::store::engine::sql;
use crate::store::error::StoreError;
use crate::store::write::Write;

/// What depends on one root key.
#[derive(Default, Clone, PartialEq, Eq, Debug, sqlx::FromRow)]
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
    /// 1 if it is its organization's management key, else 0.
    pub manages: i64,
    /// How many of its secrets count and do not depend on that root key.
    pub other_secrets: i64,
}

/// An API key `k` depends on a root key while it is not revoked and one of its secrets `s`, which
/// may still count, does. Keys of deleted organizations are on their way out.
macro_rules! needy {
    () => {
        " FROM api_key_secrets s JOIN api_keys k ON k.id = s.api_key_id
          WHERE k.revoked_at IS NULL AND (s.expires_at IS NULL OR s.expires_at > $1)
            AND k.organization_id NOT IN
                (SELECT id FROM organizations WHERE deleted_at IS NOT NULL)"
    };
}

pub(super) use needy;

/// What depends on each root key that something depends on.
const NEEDS: &str = concat!(
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
);

impl Need {
    /// Whether something depends on it.
    #[must_use]
    pub const fn is_any(&self) -> bool {
        self.organizations > 0 || self.signing_keys > 0 || self.api_keys > 0
    }
}

impl std::fmt::Display for Need {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let counts = [
            (self.organizations, "organizations"),
            (self.signing_keys, "signing keys"),
            (self.api_keys, "API keys"),
        ];
        let counts = counts.iter().filter(|(count, _)| *count > 0);
        let counts: Vec<_> = counts.map(|(count, of)| format!("{count} {of}")).collect();
        f.write_str(&counts.join(", "))
    }
}

impl Store {
    /// What depends on each root key that something depends on.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn root_key_needs(&self, now: Timestamp) -> Result<Vec<Need>, StoreError> {
        Ok(sql!(all Need, self.reader(), NEEDS, now.unix())?)
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
                         WHERE u.api_key_id = k.id) AS last_used_at,
                        (SELECT COUNT(*) FROM organizations o
                         WHERE o.id = k.organization_id AND o.management_key_id = k.id) AS manages,
                        (SELECT COUNT(*) FROM api_key_secrets t
                         WHERE t.api_key_id = k.id AND t.root_key <> $2
                           AND (t.expires_at IS NULL OR t.expires_at > $1)) AS other_secrets",
                needy!(),
                " AND s.root_key = $2 AND k.id > $3 ORDER BY k.id LIMIT $4"
            ),
            now.unix(), root_key, after, count
        )?)
    }
}

impl Write {
    /// What depends on a root key now.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn root_key_need(
        &mut self,
        root_key: &str,
        now: Timestamp,
    ) -> Result<Need, StoreError> {
        let all = sql!(all Need, self.on(), NEEDS, now.unix())?;
        let found = all.into_iter().find(|need| need.root_key == root_key);
        Ok(found.unwrap_or_default())
    }

    /// The API keys of the organization of this act that depend on a root key now.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn own_keys_needing(
        &mut self,
        root_key: &str,
        now: Timestamp,
    ) -> Result<Vec<String>, StoreError> {
        let organization = self.organization().id.clone();
        let rows = sql!(
            all(String,),
            self.on(),
            concat!(
                "SELECT DISTINCT k.id",
                needy!(),
                " AND s.root_key = $2 AND k.organization_id = $3 ORDER BY k.id"
            ),
            now.unix(),
            root_key,
            organization.as_str()
        )?;
        Ok(rows.into_iter().map(|(id,)| id).collect())
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
