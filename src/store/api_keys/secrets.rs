//! The secrets of a key, replaced and ended within an act.

use super::credential::StoredHash;
use crate::domain::api_key::{ApiKey, Overlap};
use crate::domain::secret::KeyId;
use crate::domain::timestamp::Timestamp;
use crate::store::Store;
use crate::store::engine::sql;
use crate::store::error::StoreError;
use crate::store::write::Write;

impl Store {
    /// Puts another hash of the same secret in the place of one; false if that is there no more,
    /// because the secret was replaced or ended, or another node was first.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn renew_hash(
        &self,
        id: KeyId,
        before: &StoredHash,
        after: &StoredHash,
    ) -> Result<bool, StoreError> {
        let renewed = sql!(
            run self.writer(),
            "UPDATE api_key_secrets SET hash = $3, root_key = $4
             WHERE api_key_id = $1 AND hash = $2",
            id.to_string(), &*before.phc, &*after.phc, &*after.root_key
        )?;
        Ok(renewed == 1)
    }
}

impl Write {
    /// Puts a new secret in the place of a key's own, as `key` has become by it. The one before
    /// ends with the key's overlap, or at once without one.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn replace_secret(
        &mut self,
        key: &ApiKey,
        secret: &StoredHash,
    ) -> Result<(), StoreError> {
        // Of a rotation that is over.
        self.end_secret_before(key.id).await?;
        let id = key.id.to_string();
        match key.overlap.as_ref().map(|Overlap { ends_at, .. }| ends_at) {
            Some(end) => sql!(
                run self.on(),
                "UPDATE api_key_secrets SET expires_at = $2
                 WHERE api_key_id = $1 AND expires_at IS NULL",
                &id, end.unix()
            )?,
            None => sql!(
                run self.on(),
                "DELETE FROM api_key_secrets WHERE api_key_id = $1 AND expires_at IS NULL",
                &id
            )?,
        };
        self.insert_secret(key, secret).await
    }

    /// Whether the secret of this fingerprint is one of the key's own at `now`.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn secret_counts(
        &mut self,
        id: KeyId,
        fingerprint: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let row = sql!(
            optional(String,),
            self.on(),
            "SELECT fingerprint FROM api_key_secrets
             WHERE api_key_id = $1 AND fingerprint = $2
               AND (expires_at IS NULL OR expires_at > $3)",
            id.to_string(),
            fingerprint,
            now.unix()
        )?;
        Ok(row.is_some())
    }

    /// Forgets the secret that a rotation replaced.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn end_secret_before(&mut self, id: KeyId) -> Result<(), StoreError> {
        sql!(
            run self.on(),
            "DELETE FROM api_key_secrets WHERE api_key_id = $1 AND expires_at IS NOT NULL",
            id.to_string()
        )?;
        Ok(())
    }

    /// Stores the hash of a key's own secret.
    pub(super) async fn insert_secret(
        &mut self,
        key: &ApiKey,
        secret: &StoredHash,
    ) -> Result<(), StoreError> {
        sql!(
            run self.on(),
            "INSERT INTO api_key_secrets (api_key_id, fingerprint, hash, root_key, created_at)
             VALUES ($1, $2, $3, $4, $5)",
            key.id.to_string(), &key.fingerprint, &*secret.phc, &*secret.root_key,
            key.secret_created_at.unix()
        )?;
        Ok(())
    }
}
