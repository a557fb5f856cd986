//! Audit entries that a backup does not have, taken back into the log from an export or from
//! another copy of the database.

use ring::hmac;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::audit::AuditRow;
use super::audit_chain::Integrity;
use super::error::{StoreError, corrupt};
use super::write::{ERASED_THROUGH, Write};
use crate::domain::hex::unhex;
use crate::domain::timestamp::Timestamp;

/// A line of an export.
#[derive(Debug, Deserialize)]
pub struct ExportedEntry {
    /// Whose log it is of.
    pub organization: String,
    sequence: i64,
    at: Timestamp,
    actor: String,
    acting_for: Option<String>,
    address: Option<String>,
    request_id: Option<String>,
    action: String,
    target: String,
    details: Box<RawValue>,
    mac: String,
    salt: Option<String>,
    digest: Option<String>,
}

/// The last line of an export that leaves nothing out.
#[derive(Debug, Deserialize)]
pub struct ExportedEnd {
    /// Whose log it is of.
    pub organization: String,
    /// The place of the last entry.
    pub sequence: i64,
    /// When that was the last.
    pub at: Timestamp,
    mac: String,
    proof: String,
}

impl ExportedEnd {
    /// The MAC of the last entry, and what vouches for its being that; `None` if they are none.
    #[must_use]
    pub fn proof(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        unhex(&self.mac).zip(unhex(&self.proof))
    }
}

impl ExportedEntry {
    /// The entry as it was stored; `None` if something in it cannot have been stored.
    #[must_use]
    pub fn into_row(self) -> Option<AuditRow> {
        let bytes = |text: Option<String>| text.map(|text| unhex(&text).ok_or(())).transpose();
        // An export may have been escaped on its way to a file. This is how it was first written.
        let details: Value = serde_json::from_str(self.details.get()).ok()?;
        Some(AuditRow {
            sequence: self.sequence,
            at: self.at.unix(),
            actor: self.actor,
            acting_for: self.acting_for,
            address: self.address,
            request_id: self.request_id,
            action: self.action,
            target: self.target,
            details: details.to_string(),
            salt: bytes(self.salt).ok()?,
            digest: bytes(self.digest).ok()?,
            mac: unhex(&self.mac)?,
        })
    }
}

impl Write {
    /// Takes entries back into the chain, behind its last. The act's own entries follow them.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] for one that is not the next of this chain as it was written.
    pub async fn readopt(
        &mut self,
        rows: Vec<AuditRow>,
        chain: &hmac::Key,
    ) -> Result<(), StoreError> {
        let organization = self.organization().id.clone();
        for row in &rows {
            let integrity = row.integrity(organization.as_str(), chain, &self.previous_mac);
            if row.sequence != self.sequence || integrity == Integrity::Edited {
                return Err(corrupt("audit_events", "an entry to be taken back"));
            }
            if row.details.contains(ERASED_THROUGH) {
                // What this act erased, an entry accounts for already.
                self.erased = false;
            }
            self.previous_mac.clone_from(&row.mac);
            self.sequence += 1;
        }
        self.append(&rows).await
    }
}
