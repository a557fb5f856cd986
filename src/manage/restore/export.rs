//! One export as it is read: of each organization it must end with the line that proves the end,
//! whatever other exports prove.

use std::collections::BTreeMap;

use super::fork::Traces;
use super::log::Logs;
use crate::store::audit::AuditRow;
use crate::store::audit_readoption::ExportedEnd;
use crate::store::error::StoreError;

/// One file, which may hold several exports, one after the other.
pub struct Export<'a> {
    logs: &'a mut Logs,
    /// What it is called.
    name: String,
    /// The last entry of each organization behind which its end has not come yet.
    open: BTreeMap<String, i64>,
    /// What it has that the backup should have too.
    traces: BTreeMap<String, Traces>,
    /// Whether nothing came yet.
    is_empty: bool,
}

impl Logs {
    /// Begins to take what the export of this name tells.
    pub fn export(&mut self, name: String) -> Export<'_> {
        Export {
            logs: self,
            name,
            open: BTreeMap::new(),
            traces: BTreeMap::new(),
            is_empty: true,
        }
    }
}

impl Export<'_> {
    /// Takes an entry.
    pub fn add(&mut self, organization: &str, row: AuditRow) {
        self.is_empty = false;
        let before = self.open.insert(organization.to_owned(), row.sequence);
        // Another export begins, and the one before did not end.
        if let Some(before) = before.filter(|before| row.sequence <= *before) {
            self.logs.add_cut(organization, &self.name, before);
        }
        self.trace(organization, row.sequence, &row.mac);
        self.logs.add(&self.name, organization, row);
    }

    /// Takes the line that ends an organization.
    pub fn add_end(&mut self, end: &ExportedEnd) {
        self.is_empty = false;
        if self.open.get(&end.organization) == Some(&end.sequence) {
            self.open.remove(&end.organization);
        }
        if let Some((mac, _)) = end.proof() {
            self.trace(&end.organization, end.sequence, &mac);
        }
        self.logs.add_end(&self.name, end);
    }

    /// There is no more of it.
    ///
    /// # Errors
    /// When the database that it is held against is unavailable.
    pub async fn finish(self) -> Result<(), StoreError> {
        if self.is_empty {
            self.logs.add_empty(self.name);
            return Ok(());
        }
        for (organization, last) in self.open {
            self.logs.add_cut(&organization, &self.name, last);
        }
        for (organization, traces) in self.traces {
            let parts = traces.parts_from(self.logs.store(), &organization).await?;
            if let Some(from) = parts {
                self.logs.add_fork(&organization, &self.name, from);
            }
        }
        Ok(())
    }

    fn trace(&mut self, organization: &str, sequence: i64, mac: &[u8]) {
        if self
            .logs
            .head(organization)
            .is_some_and(|head| sequence <= head)
        {
            let traces = self.traces.entry(organization.to_owned()).or_default();
            traces.add(sequence, mac);
        }
    }
}
