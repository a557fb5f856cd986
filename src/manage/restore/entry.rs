//! An audit entry whose act is done again.

use serde_json::Value;

use crate::domain::timestamp::Timestamp;
use crate::store::audit::AuditRow;

/// An entry, read once for whoever does its act again.
pub(super) struct Entry<'r> {
    /// As it was written.
    pub(super) row: &'r AuditRow,
    /// What changed; null where that cannot be read.
    pub(super) details: Value,
    /// When it was done.
    pub(super) at: Timestamp,
}

impl<'r> Entry<'r> {
    /// A time that there cannot be is taken for `now`.
    pub(super) fn of(row: &'r AuditRow, now: Timestamp) -> Self {
        Self {
            row,
            details: serde_json::from_str(&row.details).unwrap_or_default(),
            at: Timestamp::from_unix(row.at).unwrap_or(now),
        }
    }

    /// What was done, such as `api_key.revoke`.
    pub(super) fn action(&self) -> &'r str {
        &self.row.action
    }

    /// The id of what it was done to.
    pub(super) fn target(&self) -> &'r str {
        &self.row.target
    }
}
