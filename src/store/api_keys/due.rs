//! Keys of which something is due as time passes, and what is noted of them when it was done.

use super::super::Store;
use super::super::engine::sql;
use super::super::error::{StoreError, corrupt};
use super::super::write::Write;
use crate::domain::api_key::ApiKey;
use crate::domain::organization::OrganizationId;
use crate::domain::secret::KeyId;
use crate::domain::timestamp::Timestamp;

/// A key whose owner is to be told of its end. As it is stored: one corrupt id must not hide
/// the others.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct DueNotice {
    next_notice_at: i64,
    id: String,
    organization_id: String,
}

impl DueNotice {
    /// Which key, and whose.
    ///
    /// # Errors
    /// When the row is corrupt.
    pub fn key(&self) -> Result<(OrganizationId, KeyId), StoreError> {
        let wrong = |what| corrupt("api_keys", what);
        let organization = self.organization_id.parse();
        Ok((
            organization.map_err(|_| wrong("organization_id"))?,
            self.id.parse().map_err(|_| wrong("id"))?,
        ))
    }
}

impl Store {
    /// At most `count` of the keys of which a notice is due, the longest due first, beginning
    /// behind `after`.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn due_notices(
        &self,
        now: Timestamp,
        after: Option<&DueNotice>,
        count: i64,
    ) -> Result<Vec<DueNotice>, StoreError> {
        let (at, id) = after.map_or((i64::MIN, ""), |due| (due.next_notice_at, due.id.as_str()));
        Ok(sql!(
            all DueNotice, self.reader(),
            "SELECT k.next_notice_at, k.id, k.organization_id
             FROM api_keys k JOIN organizations o ON o.id = k.organization_id
             WHERE k.next_notice_at <= $1 AND k.next_notice_at >= $2
               AND (k.next_notice_at > $2 OR k.id > $3)
               AND k.revoked_at IS NULL AND k.expires_at IS NOT NULL AND o.deleted_at IS NULL
             ORDER BY k.next_notice_at, k.id LIMIT $4",
            now.unix(), at, id, count
        )?)
    }

    /// At most `count` ids of organizations whose unused keys may have to be looked at, beginning
    /// behind `after`: those with a policy, or with a key whose owner was warned. As they are
    /// stored: one corrupt id must not hide the others.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn organizations_of_unused_keys(
        &self,
        after: &str,
        count: i64,
    ) -> Result<Vec<String>, StoreError> {
        let rows = sql!(
            all(String,),
            self.reader(),
            "SELECT o.id FROM organizations o
             WHERE o.id > $1 AND o.id <> 'operator' AND o.deleted_at IS NULL
               AND (o.policy <> '{}' OR o.operator_policy <> '{}'
                    OR EXISTS (SELECT 1 FROM api_keys k
                               WHERE k.organization_id = o.id
                                 AND k.unused_warned_at IS NOT NULL))
             ORDER BY o.id LIMIT $2",
            after,
            count
        )?;
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }

    /// At most `count` keys of an organization, in the order of their ids and beginning behind
    /// `after`, whose owners were warned that nobody uses them, or which showed no sign of life
    /// after `since`. `None`: only the former.
    ///
    /// # Errors
    /// When the database is unavailable or an id corrupt.
    pub async fn unused_keys(
        &self,
        organization: &OrganizationId,
        since: Option<Timestamp>,
        now: Timestamp,
        after: Option<KeyId>,
        count: i64,
    ) -> Result<Vec<KeyId>, StoreError> {
        let after = after.map_or_else(String::new, |id| id.to_string());
        let rows = sql!(
            all(String,),
            self.reader(),
            "SELECT k.id FROM api_keys k
             WHERE k.organization_id = $1 AND k.id > $2 AND k.revoked_at IS NULL
               AND (k.unused_warned_at IS NOT NULL
                    OR (k.created_at <= $3 AND (k.expires_at IS NULL OR k.expires_at > $4)
                        AND NOT EXISTS (SELECT 1 FROM api_key_secrets s
                                        WHERE s.api_key_id = k.id AND s.created_at > $3)
                        AND NOT EXISTS (SELECT 1 FROM secret_uses u
                                        WHERE u.api_key_id = k.id AND u.last_used_at > $3)))
             ORDER BY k.id LIMIT $5",
            organization.as_str(),
            &after,
            since.map_or(-1, Timestamp::unix),
            now.unix(),
            count
        )?;
        let id = |(id,): (String,)| id.parse().map_err(|_| corrupt("api_keys", "id"));
        rows.into_iter().map(id).collect()
    }

    /// Forgets that the owner of a key was warned that nobody uses it, if the warning is still
    /// the one that `key` has. It is no act: nothing is decided by it.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn forget_unused_warning(&self, key: &ApiKey) -> Result<(), StoreError> {
        sql!(
            run self.writer(),
            "UPDATE api_keys SET unused_warned_at = NULL
             WHERE organization_id = $1 AND id = $2 AND unused_warned_at = $3",
            key.organization.as_str(), key.id.to_string(),
            key.unused_warned_at.map(Timestamp::unix)
        )?;
        Ok(())
    }
}

impl Write {
    /// Stores what the owner of a key was told, and when it is told more.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn save_notices(&mut self, key: &ApiKey) -> Result<(), StoreError> {
        let organization = self.organization().id.clone();
        sql!(
            run self.on(),
            "UPDATE api_keys SET next_notice_at = $3, unused_warned_at = $4
             WHERE organization_id = $1 AND id = $2",
            organization.as_str(), key.id.to_string(),
            key.next_notice_at.map(Timestamp::unix), key.unused_warned_at.map(Timestamp::unix)
        )?;
        Ok(())
    }
}
