//! API keys that end with a root key: which they are, what each has beside it, and what is known of
//! them afterwards.

use crate::domain::api_key::{ApiKey, RevokeReason};
use crate::domain::organization::OrganizationId;
use crate::domain::secret::KeyId;
use crate::domain::timestamp::Timestamp;
use crate::store::Store;
use crate::store::engine::{Engine, sql};
use crate::store::error::{StoreError, corrupt};
use crate::store::write::Write;

/// A secret that counts, of an API key that was not revoked. As it is stored: one corrupt row must
/// not hide the others.
#[derive(Clone, PartialEq, Eq, Debug, sqlx::FromRow)]
pub struct CountingSecret {
    /// The key's id.
    pub api_key_id: String,
    /// What the key is called.
    pub name: String,
    /// The beginning of the SHA-256 of the secret.
    pub fingerprint: String,
    /// When it ends before the key does, because a rotation replaced it, Unix seconds.
    pub expires_at: Option<i64>,
    /// The root key that peppers its hash.
    pub root_key: String,
}

/// An API key that ended with a root key, as it is stored.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, sqlx::FromRow)]
pub struct EndedKey {
    /// Its id.
    pub id: String,
    /// Whose it was.
    #[serde(rename = "organization")]
    pub organization_id: String,
    /// What it was called.
    pub name: String,
}

// Each key is found by its id, whatever a planner thinks of an organization's size.
macro_rules! counting {
    ($is_among:literal $(, $end:literal)?) => {
        concat!(
            "SELECT s.api_key_id, k.name, s.fingerprint, s.expires_at, s.root_key
             FROM api_keys k JOIN api_key_secrets s ON s.api_key_id = k.id
             WHERE k.id ",
            $is_among,
            " AND k.organization_id || '' = $1 AND COALESCE(k.revoked_at, -1) = -1
              AND (s.expires_at IS NULL OR s.expires_at > $3)
             ORDER BY s.api_key_id, s.fingerprint"
            $(, $end)?
        )
    };
}

/// API keys `k` that ended with a root key, by their secrets `s`.
macro_rules! ended {
    () => {
        " FROM api_key_secrets s JOIN api_keys k ON k.id = s.api_key_id
          WHERE s.root_key = $1 AND k.revoke_reason = $2"
    };
}

const COUNT_ENDED: &str = concat!("SELECT COUNT(DISTINCT k.id)", ended!());

impl Store {
    /// At most `count` of the API keys that depend on a root key, and whose each is, in the order of
    /// their ids, behind `after`.
    ///
    /// # Errors
    /// When the database is unavailable or a row corrupt.
    pub async fn ids_needing(
        &self,
        root_key: &str,
        now: Timestamp,
        after: &str,
        count: i64,
    ) -> Result<Vec<(KeyId, OrganizationId)>, StoreError> {
        let rows = sql!(
            all(String, String),
            self.reader(),
            concat!(
                "SELECT DISTINCT s.api_key_id, k.organization_id",
                super::needs::needy!(),
                " AND s.root_key = $2 AND s.api_key_id > $3 ORDER BY s.api_key_id LIMIT $4"
            ),
            now.unix(),
            root_key,
            after,
            count
        )?;
        let row = |(id, organization): (String, String)| {
            let id = id.parse().map_err(|_| corrupt("api_keys", "id"))?;
            let organization = organization.parse();
            Ok((
                id,
                organization.map_err(|_| corrupt("api_keys", "organization_id"))?,
            ))
        };
        rows.into_iter().map(row).collect()
    }

    /// At most `count` of the API keys that ended with a root key, in the order of their ids.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn ended_with(
        &self,
        root_key: &str,
        count: i64,
    ) -> Result<Vec<EndedKey>, StoreError> {
        Ok(sql!(
            all EndedKey, self.reader(),
            concat!(
                "SELECT DISTINCT k.id, k.organization_id, k.name", ended!(),
                " ORDER BY k.id LIMIT $3"
            ),
            root_key, RevokeReason::RootKeyDropped.as_str(), count
        )?)
    }

    /// How many API keys ended with a root key.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn count_ended_with(&self, root_key: &str) -> Result<i64, StoreError> {
        let reason = RevokeReason::RootKeyDropped.as_str();
        let (count,) = sql!(one(i64,), self.reader(), COUNT_ENDED, root_key, reason)?;
        Ok(count)
    }

    /// Organizations whose management keys ended with a root key, but the operator's: at most
    /// `count`, by their ids.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn managers_ended_with(
        &self,
        root_key: &str,
        count: i64,
    ) -> Result<Vec<String>, StoreError> {
        let operator = OrganizationId::operator();
        let rows = sql!(
            all(String,),
            self.reader(),
            "SELECT DISTINCT o.id FROM organizations o
             JOIN api_keys k ON k.id = o.management_key_id
             JOIN api_key_secrets s ON s.api_key_id = k.id
             WHERE s.root_key = $1 AND k.revoke_reason = $2 AND o.deleted_at IS NULL AND o.id <> $3
             ORDER BY o.id LIMIT $4",
            root_key,
            RevokeReason::RootKeyDropped.as_str(),
            operator.as_str(),
            count
        )?;
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }

    /// How many of the operator's API keys ended with a root key, and how many are of use at `now`
    /// without it.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn operator_keys_without(
        &self,
        root_key: &str,
        now: Timestamp,
    ) -> Result<(i64, i64), StoreError> {
        let operator = OrganizationId::operator();
        Ok(sql!(
            one(i64, i64),
            self.reader(),
            "SELECT (SELECT COUNT(*) FROM api_keys k
                     WHERE k.organization_id = $4 AND k.revoke_reason = $2
                       AND EXISTS (SELECT 1 FROM api_key_secrets s
                                   WHERE s.api_key_id = k.id AND s.root_key = $1)),
                    (SELECT COUNT(*) FROM api_keys k
                     WHERE k.organization_id = $4 AND k.revoked_at IS NULL
                       AND k.disabled_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > $3)
                       AND EXISTS (SELECT 1 FROM api_key_secrets s
                                   WHERE s.api_key_id = k.id AND s.root_key <> $1
                                     AND (s.expires_at IS NULL OR s.expires_at > $3)))",
            root_key,
            RevokeReason::RootKeyDropped.as_str(),
            now.unix(),
            operator.as_str()
        )?)
    }
}

impl Write {
    /// The secrets that count at `now` of those of these keys that are of the organization of this
    /// act and were not revoked: key by key. They stay so until the act ends, also where a server
    /// would make a hash anew.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn counting_secrets(
        &mut self,
        keys: &[KeyId],
        now: Timestamp,
    ) -> Result<Vec<CountingSecret>, StoreError> {
        let organization = self.organization().id.clone();
        let ids = serde_json::to_string(keys).expect("ids are JSON");
        let on = self.on();
        let text = match on {
            Engine::Sqlite(_) => counting!("IN (SELECT value FROM json_each($2))"),
            Engine::Postgres(_) => counting!(
                "= ANY (ARRAY (SELECT json_array_elements_text(CAST($2 AS JSON))))",
                " FOR UPDATE OF s"
            ),
        };
        Ok(sql!(
            all CountingSecret, on, text, organization.as_str(), &ids, now.unix()
        )?)
    }

    /// Forgets a key's own secret, and has the one before take its place, as `key` has become by it.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn end_newest_secret(&mut self, key: &ApiKey) -> Result<(), StoreError> {
        let id = key.id.to_string();
        sql!(
            run self.on(),
            "DELETE FROM api_key_secrets WHERE api_key_id = $1 AND expires_at IS NULL", &id
        )?;
        sql!(
            run self.on(),
            "UPDATE api_key_secrets SET expires_at = NULL
             WHERE api_key_id = $1 AND fingerprint = $2",
            &id, &key.fingerprint
        )?;
        Ok(())
    }

    /// How many API keys ended with a root key.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn count_ended_with(&mut self, root_key: &str) -> Result<i64, StoreError> {
        let reason = RevokeReason::RootKeyDropped.as_str();
        let (count,) = sql!(one(i64,), self.on(), COUNT_ENDED, root_key, reason)?;
        Ok(count)
    }
}
