//! Many keys of one organization, ended at once within an act.

use crate::domain::api_key::Revocation;
use crate::domain::secret::KeyId;
use crate::store::engine::{Engine, sql};
use crate::store::error::StoreError;
use crate::store::write::Write;

/// How many keys one statement ends.
const BATCH: usize = 1_000;

// Each key is found by its id. All else is asked for in a way that no index knows: a planner with
// old statistics takes an organization for a few keys, and then compares each of them with each
// id.
macro_rules! revoke {
    ($is_among:literal) => {
        concat!(
            "UPDATE api_keys
             SET revoked_at = $3, revoke_reason = $4, next_notice_at = NULL,
                 revision = revision + 1
             WHERE id ",
            $is_among,
            " AND organization_id || '' = $1 AND COALESCE(revoked_at, -1) = -1"
        )
    };
}

impl Write {
    /// Revokes keys of the organization of this act that were not revoked, and says how many
    /// there were.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn revoke_api_keys(
        &mut self,
        keys: &[KeyId],
        revocation: Revocation,
    ) -> Result<u64, StoreError> {
        let organization = self.organization().id.clone();
        let mut revoked = 0;
        for batch in keys.chunks(BATCH) {
            let ids = serde_json::to_string(batch).expect("ids are JSON");
            let on = self.on();
            let text = match on {
                Engine::Sqlite(_) => revoke!("IN (SELECT value FROM json_each($2))"),
                Engine::Postgres(_) => {
                    revoke!("= ANY (ARRAY (SELECT json_array_elements_text(CAST($2 AS JSON))))")
                }
            };
            revoked += sql!(
                run on, text,
                organization.as_str(), &ids, revocation.at.unix(), revocation.reason.as_str()
            )?;
        }
        Ok(revoked)
    }
}
