//! Logs that end before the backup does: of no use, unless what came after was done by a restore.

use super::log::BATCH;
use crate::store::Store;
use crate::store::audit::AuditRow;
use crate::store::error::StoreError;

/// What a restore does by itself, and another one need not do again.
const BY_RESTORES: [&str; 6] = [
    "api_key.disable",
    "signing_key.revoke",
    "signing_key.rotate",
    "deployment.restore",
    "root_key.rotate",
    "root_key.replace",
];

/// How far the logs reach that end before the backup.
pub(super) struct Reached {
    /// The last entry that one of them tells of.
    pub(super) sequence: i64,
    /// Which log that is.
    pub(super) log: String,
}

impl Reached {
    /// Says that it is not enough where the backup has `there_are` entries.
    pub(super) fn said(&self, there_are: i64) -> String {
        let Self { sequence, log } = self;
        format!(
            "no log that was given tells of it: {log} ends with entry {sequence}, and the backup \
             has {there_are}"
        )
    }
}

/// Whether all that came after the last entry of a log was done by a restore, which has therefore
/// done what there was to do and broke off later.
pub(super) async fn was_done(
    store: &Store,
    organization: &str,
    last: i64,
    mac: &[u8],
) -> Result<bool, StoreError> {
    let mut rows = Vec::new();
    loop {
        let after = rows.last().map_or(last - 1, |row: &AuditRow| row.sequence);
        let batch = store.audit_rows(organization, after, BATCH).await?;
        if batch.is_empty() {
            break;
        }
        rows.extend(batch);
    }
    let by_restore =
        |row: &AuditRow| BY_RESTORES.contains(&&*row.action) && row.is_by_command_line();
    Ok(rows.first().is_some_and(|row| row.mac == mac)
        && rows.iter().skip(1).all(by_restore)
        && rows
            .iter()
            .skip(1)
            .any(|row| row.action == "deployment.restore"))
}
