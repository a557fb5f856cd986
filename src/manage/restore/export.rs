//! One export as it is read: of each organization it must end with the line that proves the end,
//! whatever other exports prove.

use std::collections::BTreeMap;

use super::log::Logs;
use crate::store::audit::AuditRow;
use crate::store::audit_readoption::ExportedEnd;

/// One file, which may hold several exports, one after the other.
pub struct Export<'a> {
    logs: &'a mut Logs,
    /// What it is called.
    name: String,
    /// The last entry of each organization behind which its end has not come yet.
    open: BTreeMap<String, i64>,
}

impl Logs {
    /// Begins to take what the export of this name tells.
    pub fn export(&mut self, name: String) -> Export<'_> {
        Export {
            logs: self,
            name,
            open: BTreeMap::new(),
        }
    }
}

impl Export<'_> {
    /// Takes an entry.
    pub fn add(&mut self, organization: &str, row: AuditRow) {
        let before = self.open.insert(organization.to_owned(), row.sequence);
        // Another export begins, and the one before did not end.
        if let Some(before) = before.filter(|before| row.sequence <= *before) {
            self.logs.add_cut(organization, &self.name, before);
        }
        self.logs.add(organization, row);
    }

    /// Takes the line that ends an organization.
    pub fn add_end(&mut self, end: &ExportedEnd) {
        if self.open.get(&end.organization) == Some(&end.sequence) {
            self.open.remove(&end.organization);
        }
        self.logs.add_end(end);
    }

    /// There is no more of it.
    pub fn finish(self) {
        for (organization, last) in self.open {
            self.logs.add_cut(&organization, &self.name, last);
        }
    }
}
