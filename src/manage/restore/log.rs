//! What logs tell of the time after a backup: their entries, taken in whatever order they come.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::chapter::Chapter;
use super::fork::{Fork, Parting};
use super::made::made;
use super::succession::RootKeysSince;
use super::told::{End, Lost, Told};
use crate::crypto::Crypto;
use crate::crypto::keyring::Keyring;
use crate::store::Store;
use crate::store::audit::{AuditRow, Head};
use crate::store::audit_readoption::ExportedEnd;
use crate::store::error::StoreError;

/// Whose log begins with the deployment.
pub(super) const OPERATOR: &str = "operator";

/// Rows held in memory at a time while another copy of the database is read.
pub(super) const BATCH: i64 = 500;

/// What logs tell of the time after a backup.
pub struct Logs {
    /// What they are held against.
    store: Store,
    keyring: Arc<Keyring>,
    heads: BTreeMap<String, Head>,
    told: BTreeMap<String, Told>,
    /// Organizations that the backup does not have.
    lost: BTreeMap<String, Lost>,
    /// Logs that are another deployment's.
    foreign: BTreeSet<String>,
    /// Exports in which there is nothing.
    empty: Vec<String>,
}

impl Logs {
    /// Nothing is known yet of what came after what `store` has.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn after(store: &Store, crypto: &Crypto) -> Result<Self, StoreError> {
        let mut heads = BTreeMap::new();
        let mut after = String::new();
        loop {
            let batch = store.audit_heads(&after, BATCH).await?;
            let Some(last) = batch.last() else { break };
            after.clone_from(&last.organization);
            heads.extend(
                batch
                    .into_iter()
                    .map(|head| (head.organization.clone(), head)),
            );
        }
        Ok(Self {
            store: store.clone(),
            keyring: crypto.keyring(),
            heads,
            told: BTreeMap::new(),
            lost: BTreeMap::new(),
            foreign: BTreeSet::new(),
            empty: Vec::new(),
        })
    }

    /// Takes an entry of a log, in whatever order they come.
    pub(super) fn add(&mut self, log: &str, organization: &str, row: AuditRow) {
        let Some(head) = self.heads.get(organization) else {
            let lost = self.lost.entry(organization.to_owned()).or_default();
            lost.add(log, organization, row, &self.keyring);
            return;
        };
        let told = self.told.entry(organization.to_owned()).or_default();
        let other =
            |at| format!("entry {at} of {log} is not the one that the backup, or another log, has");
        match row.sequence.cmp(&head.sequence) {
            Ordering::Equal if row.mac == head.mac => told.met = true,
            Ordering::Equal => told.fault(other(row.sequence)),
            Ordering::Less => {
                told.reaches(row.sequence, log);
                let last = told.earlier.get_or_insert((row.sequence, row.mac.clone()));
                if row.sequence > last.0 {
                    *last = (row.sequence, row.mac);
                }
            }
            Ordering::Greater => {
                let sequence = row.sequence;
                let known = told.later.get(&sequence);
                if known.is_some_and(|known| known.mac != row.mac) {
                    told.fault(other(sequence));
                } else {
                    told.later.insert(sequence, row);
                }
            }
        }
    }

    /// Takes the line that an export ends with. What it says is held against entries later.
    pub(super) fn add_end(&mut self, export: &str, end: &ExportedEnd) {
        if (self.head(&end.organization)).is_some_and(|head| end.sequence < head) {
            self.add_reach(&end.organization, end.sequence, export);
        }
        let told = self.told.entry(end.organization.clone()).or_default();
        match end.proof() {
            Some((mac, proof)) => told.ends.push(End {
                sequence: end.sequence,
                mac,
                at: end.at,
                proof: Some(proof),
            }),
            None => told.fault("the last line of its export was changed".to_owned()),
        }
    }

    /// Takes it that an export, which has entries of an organization, does not end as a whole one
    /// does. Whether there were others behind `last` is then not known from it.
    pub(super) fn add_cut(&mut self, organization: &str, export: &str, last: i64) {
        if !self.heads.contains_key(organization) {
            return;
        }
        let told = self.told.entry(organization.to_owned()).or_default();
        told.cut.get_or_insert_with(|| {
            format!(
                "{export} tells of it up to entry {last} and lacks the line that proves the end: \
                 it was cut off, or exported with filters. Export it again; or leave that file \
                 out, if another that was given is newer"
            )
        });
    }

    /// Takes it that in this export there is nothing.
    pub(super) fn add_empty(&mut self, export: String) {
        self.empty.push(export);
    }

    /// Takes it that a log tells another history of an organization than the backup.
    pub(super) fn add_fork(&mut self, organization: &str, log: &str, parting: Parting) {
        let log = log.to_owned();
        if organization == OPERATOR && parting.is_at_the_beginning() {
            self.foreign.insert(log.clone());
        }
        let told = self.told.entry(organization.to_owned()).or_default();
        told.fork.get_or_insert(Fork { log, parting });
    }

    /// Takes it that of this organization a log does not tell everything, and why.
    pub(super) fn add_fault(&mut self, organization: String, why: String) {
        self.told.entry(organization).or_default().fault(why);
    }

    /// Takes it that a log ends with an entry that is before the backup's last.
    pub(super) fn add_reach(&mut self, organization: &str, sequence: i64, log: &str) {
        let told = self.told.entry(organization.to_owned()).or_default();
        told.reaches(sequence, log);
    }

    /// Takes it where another copy of the database ends.
    pub(super) fn add_end_of_copy(&mut self, organization: String, end: End) {
        self.told.entry(organization).or_default().ends.push(end);
    }

    /// The exports in which there is nothing.
    #[must_use]
    pub fn empty(&self) -> Vec<String> {
        self.empty.clone()
    }

    /// Where the backup ends, if it has the organization.
    pub(super) fn head(&self, organization: &str) -> Option<i64> {
        Some(self.heads.get(organization)?.sequence)
    }

    /// What logs are held against.
    pub(super) const fn store(&self) -> &Store {
        &self.store
    }

    /// Organizations that were made after the backup, and the last entry that is known of each:
    /// they are gone, and their keys with them.
    #[must_use]
    pub fn lost(&self) -> BTreeMap<String, i64> {
        let lost = self.lost_here();
        lost.map(|(id, lost)| (id.clone(), lost.last)).collect()
    }

    /// The same, as far as it is proven to be of this deployment: what anybody can write proves
    /// nothing of what was done here.
    #[must_use]
    pub fn proven_lost(&self) -> BTreeMap<String, i64> {
        let lost = self.lost.iter();
        lost.map(|(id, lost)| (id.clone(), lost.proven)).collect()
    }

    /// The signing keys of these organizations that had not ended, by `kid`.
    #[must_use]
    pub fn lost_signing_keys(&self) -> BTreeMap<String, BTreeSet<String>> {
        let lost = self.lost_here();
        let named = lost.map(|(id, lost)| (id.clone(), made(lost.of_keys.values())));
        named.filter(|(_, kids)| !kids.is_empty()).collect()
    }

    /// Those of them of which not only another deployment's logs tell.
    fn lost_here(&self) -> impl Iterator<Item = (&String, &Lost)> {
        let lost = self.lost.iter();
        lost.filter(|(_, lost)| !lost.logs.is_subset(&self.foreign))
    }

    /// What is known of each organization of the backup: first the operator, whose log tells which
    /// root keys became current, then the others in the order of their ids.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn chapters(
        self,
        store: &Store,
        crypto: &Crypto,
    ) -> Result<Vec<Chapter>, StoreError> {
        let mut since = RootKeysSince::of(store).await?;
        let Self {
            heads,
            mut told,
            foreign,
            ..
        } = self;
        let mut heads: Vec<_> = heads.into_values().collect();
        heads.sort_by_key(|head| head.organization != OPERATOR);
        let mut chapters = Vec::with_capacity(heads.len());
        for head in heads {
            let told = told.remove(&head.organization).unwrap_or_default();
            let fork = told.fork.as_ref().map(|fork| fork.said(&foreign));
            chapters.push(Chapter::of(head, (told, fork), store, crypto, &mut since).await?);
        }
        Ok(chapters)
    }
}
