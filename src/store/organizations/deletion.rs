//! An organization deleted: what is of persons goes, its id and its audit chain stay.

use crate::domain::timestamp::Timestamp;
use crate::store::engine::sql;
use crate::store::error::StoreError;
use crate::store::write::Write;

/// What goes, in an order in which nothing refers to what is gone.
const ERASURES: [&str; 14] = [
    "DELETE FROM api_key_roles WHERE organization_id = $1",
    "DELETE FROM api_key_secrets
     WHERE api_key_id IN (SELECT id FROM api_keys WHERE organization_id = $1)",
    "DELETE FROM secret_uses
     WHERE api_key_id IN (SELECT id FROM api_keys WHERE organization_id = $1)",
    "DELETE FROM direct_uses WHERE organization_id = $1",
    "DELETE FROM exchange_records
     WHERE api_key_id IN (SELECT id FROM api_keys WHERE organization_id = $1)",
    "DELETE FROM imported_lookups
     WHERE api_key_id IN (SELECT id FROM api_keys WHERE organization_id = $1)",
    "DELETE FROM imports WHERE organization_id = $1",
    "DELETE FROM api_keys WHERE organization_id = $1",
    "DELETE FROM roles WHERE organization_id = $1",
    "DELETE FROM scope_catalogue WHERE organization_id = $1",
    "DELETE FROM signing_keys WHERE organization_id = $1",
    "DELETE FROM denied_tokens WHERE organization_id = $1",
    "DELETE FROM refusals WHERE organization_id = $1",
    "DELETE FROM usage_counts WHERE organization_id = $1",
];

impl Write {
    /// How many of the organization's keys are neither revoked nor past their end.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn count_living_keys(&mut self, now: Timestamp) -> Result<i64, StoreError> {
        let organization = self.organization().id.clone();
        let (count,) = sql!(
            one(i64,),
            self.on(),
            "SELECT COUNT(*) FROM api_keys
             WHERE organization_id = $1 AND revoked_at IS NULL
               AND (expires_at IS NULL OR expires_at > $2)",
            organization.as_str(),
            now.unix()
        )?;
        Ok(count)
    }

    /// Erases the organization: keys, roles, signing keys, usage, its name and its policies, and
    /// what is personal in its audit log. The row stays, so that its id is never given again and
    /// its chain still verifies.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn erase_organization(&mut self, at: Timestamp) -> Result<(), StoreError> {
        let organization = self.organization().id.clone();
        for erasure in ERASURES {
            sql!(run self.on(), erasure, organization.as_str())?;
        }
        sql!(
            run self.on(),
            "UPDATE organizations
             SET name = id, policy = '{}', operator_policy = '{}', suspended_at = NULL,
                 bootstrapped_at = NULL, management_key_id = NULL, deleted_at = $2
             WHERE id = $1",
            organization.as_str(), at.unix()
        )?;
        self.erase_audit_details().await?;
        self.owe_erasure().await
    }
}
