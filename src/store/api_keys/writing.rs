//! Keys and the hashes of their secrets, written within an act.

use super::row::{ApiKeyRow, OPERATOR};
use super::{ONE_OF_ORGANIZATION, StoredHash};
use crate::domain::api_key::{ApiKey, Creator};
use crate::domain::secret::KeyId;
use crate::domain::text::{Description, ExternalId};
use crate::domain::timestamp::Timestamp;
use crate::store::engine::sql;
use crate::store::error::StoreError;
use crate::store::write::Write;

impl Write {
    /// One key of the organization of this act, as it is now.
    ///
    /// # Errors
    /// When the database is unavailable or the row corrupt.
    pub async fn api_key(&mut self, id: KeyId) -> Result<Option<ApiKey>, StoreError> {
        let organization = self.organization().id.clone();
        let row = sql!(
            optional ApiKeyRow, self.on(), ONE_OF_ORGANIZATION,
            organization.as_str(), id.to_string()
        )?;
        row.map(TryInto::try_into).transpose()
    }

    /// Stores a new key with its secret's hash and its roles.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn insert_api_key(
        &mut self,
        key: &ApiKey,
        secret: &StoredHash,
    ) -> Result<(), StoreError> {
        let id = key.id.to_string();
        let created_by = match key.created_by {
            Creator::Key(creator) => Some(creator.to_string()),
            Creator::Operator(creator) => Some(format!("{OPERATOR}{creator}")),
            Creator::CommandLine => None,
        };
        sql!(
            run self.on(),
            "INSERT INTO api_keys
             (id, organization_id, name, scopes, allowed_ip_cidrs, metadata, created_at,
              created_by, revision)
             VALUES ($1, $2, $3, '[]', '[]', '{}', $4, $5, 0)",
            &id, key.organization.as_str(), key.name.as_str(), key.created_at.unix(), &created_by
        )?;
        self.insert_secret(key, secret).await?;
        self.save_api_key(key).await
    }

    /// Stores a key as it has become: all that can change of it but its secrets.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn save_api_key(&mut self, key: &ApiKey) -> Result<(), StoreError> {
        let organization = self.organization().id.clone();
        let id = key.id.to_string();
        let json = |value: serde_json::Result<String>| value.expect("strings are JSON");
        sql!(
            run self.on(),
            "UPDATE api_keys SET
                 name = $3, description = $4, scopes = $5, allowed_ip_cidrs = $6,
                 rate_limit = $7, rate_window = $8, external_id = $9, metadata = $10,
                 expires_at = $11, disabled_at = $12, revoked_at = $13, revoke_reason = $14,
                 revision = $15, next_notice_at = $16, unused_warned_at = $17,
                 narrowed_at = $18, exchange_only = $19
             WHERE organization_id = $1 AND id = $2",
            organization.as_str(), &id, key.name.as_str(),
            key.description.as_ref().map(Description::as_str),
            json(serde_json::to_string(&key.scopes)), json(serde_json::to_string(&key.networks)),
            key.rate_limit.map(|rate| i64::from(rate.limit)),
            key.rate_limit.map(|rate| i64::from(rate.window)),
            key.external_id.as_ref().map(ExternalId::as_str),
            json(serde_json::to_string(&key.metadata)),
            key.expires_at.map(Timestamp::unix), key.disabled_at.map(Timestamp::unix),
            key.revoked.map(|revoked| revoked.at.unix()),
            key.revoked.map(|revoked| revoked.reason.as_str()),
            key.revision, key.next_notice_at.map(Timestamp::unix),
            key.unused_warned_at.map(Timestamp::unix), key.narrowed_at.map(Timestamp::unix),
            i64::from(key.exchange_only)
        )?;
        sql!(run self.on(), "DELETE FROM api_key_roles WHERE api_key_id = $1", &id)?;
        for role in &key.roles {
            sql!(
                run self.on(),
                "INSERT INTO api_key_roles (api_key_id, organization_id, role)
                 VALUES ($1, $2, $3)",
                &id, organization.as_str(), role.as_str()
            )?;
        }
        Ok(())
    }
}
