//! Whose signing keys are due for a step of their lives.

use crate::domain::organization::OrganizationId;
use crate::domain::signing_key::Schedule;
use crate::domain::timestamp::Timestamp;
use crate::store::Store;
use crate::store::engine::sql;
use crate::store::error::{StoreError, corrupt};

impl Store {
    /// Organizations with a signing key that is to begin to sign, or to be destroyed, by their ids
    /// after `after`.
    ///
    /// # Errors
    /// When the database is unavailable or a row corrupt.
    pub async fn due_signing_keys(
        &self,
        now: Timestamp,
        after: Option<&OrganizationId>,
        limit: i64,
    ) -> Result<Vec<OrganizationId>, StoreError> {
        let after = after.map_or("", OrganizationId::as_str);
        read(sql!(
            all(String,),
            self.reader(),
            "SELECT DISTINCT organization_id FROM signing_keys
             WHERE due_at IS NOT NULL AND due_at <= $1 AND organization_id > $2
               AND (activated_at IS NULL OR retiring_at IS NOT NULL)
             ORDER BY organization_id LIMIT $3",
            now.unix(),
            after,
            limit
        )?)
    }

    /// Organizations whose active signing key stands in for one that is still to be made, and that
    /// whoever put it there did not make, by their ids after `after`.
    ///
    /// # Errors
    /// When the database is unavailable or a row corrupt.
    pub async fn signing_keys_to_relieve(
        &self,
        now: Timestamp,
        after: Option<&OrganizationId>,
        limit: i64,
    ) -> Result<Vec<OrganizationId>, StoreError> {
        let after = after.map_or("", OrganizationId::as_str);
        read(sql!(
            all(String,),
            self.reader(),
            "SELECT organization_id FROM signing_keys
             WHERE due_at IS NOT NULL AND due_at <= $1 AND organization_id > $2
               AND activated_at IS NOT NULL AND retiring_at IS NULL
             ORDER BY organization_id LIMIT $3",
            now.unix(),
            after,
            limit
        )?)
    }

    /// Organizations whose active signing key is to have a successor published, and has none: those
    /// that sign with RSA keys, or the others, by their ids after `after`.
    ///
    /// # Errors
    /// When the database is unavailable or a row corrupt.
    pub async fn signing_keys_to_follow(
        &self,
        schedule: &Schedule,
        with_rsa: bool,
        now: Timestamp,
        after: Option<&OrganizationId>,
        limit: i64,
    ) -> Result<Vec<OrganizationId>, StoreError> {
        let Some(interval) = schedule.interval() else {
            return Ok(Vec::new());
        };
        let after = after.map_or("", OrganizationId::as_str);
        let whole = |span: std::time::Duration| i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
        // As `Life::rotates_at` has it, less the lead.
        read(sql!(
            all(String,),
            self.reader(),
            "SELECT active.organization_id FROM signing_keys AS active
             WHERE active.activated_at IS NOT NULL AND active.retiring_at IS NULL
               AND active.retired_at IS NULL AND active.organization_id > $1
               AND active.activated_at + $2 - $2 * active.jitter / 1000 - $3 <= $4
               AND CASE active.algorithm WHEN 'RS256' THEN 1 ELSE 0 END = $5
               AND NOT EXISTS (
                   SELECT 1 FROM signing_keys AS next
                   WHERE next.organization_id = active.organization_id
                     AND next.activated_at IS NULL AND next.retired_at IS NULL)
             ORDER BY active.organization_id LIMIT $6",
            after,
            whole(interval),
            whole(schedule.lead()),
            now.unix(),
            i64::from(with_rsa),
            limit
        )?)
    }
}

fn read(rows: Vec<(String,)>) -> Result<Vec<OrganizationId>, StoreError> {
    rows.into_iter()
        .map(|(id,)| {
            id.parse()
                .map_err(|_| corrupt("signing_keys", "organization_id"))
        })
        .collect()
}
