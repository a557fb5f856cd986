//! What logs tell of the time after a backup: their entries, taken in whatever order they come.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use super::chapter::Chapter;
use super::fork::{copy_parts_from, forked};
use super::made::{made, tells_of_keys};
use super::succession::RootKeysSince;
use super::told::{End, Lost, Told};
use crate::crypto::Crypto;
use crate::domain::timestamp::Timestamp;
use crate::store::Store;
use crate::store::audit::{AuditRow, Head};
use crate::store::audit_readoption::ExportedEnd;
use crate::store::error::StoreError;

/// Rows held in memory at a time while another copy of the database is read.
pub(super) const BATCH: i64 = 500;

/// What logs tell of the time after a backup.
pub struct Logs {
    /// What they are held against.
    store: Store,
    heads: BTreeMap<String, Head>,
    told: BTreeMap<String, Told>,
    /// Organizations that the backup does not have.
    lost: BTreeMap<String, Lost>,
}

impl Logs {
    /// Nothing is known yet of what came after what `store` has.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn after(store: &Store) -> Result<Self, StoreError> {
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
            heads,
            told: BTreeMap::new(),
            lost: BTreeMap::new(),
        })
    }

    /// Takes an entry of a log, in whatever order they come.
    pub(super) fn add(&mut self, log: &str, organization: &str, row: AuditRow) {
        let Some(head) = self.heads.get(organization) else {
            let lost = self.lost.entry(organization.to_owned()).or_default();
            lost.last = row.sequence.max(lost.last);
            if tells_of_keys(&row) {
                lost.of_keys.insert(row.sequence, row);
            }
            return;
        };
        let told = self.told.entry(organization.to_owned()).or_default();
        let other =
            |at| format!("entry {at} of {log} is not the one that the backup, or another log, has");
        match row.sequence.cmp(&head.sequence) {
            Ordering::Equal if row.mac == head.mac => told.met = true,
            Ordering::Equal => told.fault(other(row.sequence)),
            Ordering::Less => {
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
    pub fn add_end(&mut self, end: &ExportedEnd) {
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

    /// Takes it that a log tells another history of an organization than the backup, from this
    /// entry on.
    pub(super) fn add_fork(&mut self, organization: &str, log: &str, from: i64) {
        let told = self.told.entry(organization.to_owned()).or_default();
        told.fork.get_or_insert_with(|| forked(log, from));
    }

    /// Where the backup ends, if it has the organization.
    pub(super) fn head(&self, organization: &str) -> Option<i64> {
        Some(self.heads.get(organization)?.sequence)
    }

    /// What logs are held against.
    pub(super) const fn store(&self) -> &Store {
        &self.store
    }

    /// Takes what another copy of the database knows, which is called `name`. A chain that cannot
    /// be read to its end is known up to there.
    ///
    /// # Errors
    /// When that database is unavailable, or the one that it is held against.
    pub async fn add_all_of(&mut self, copy: &Store, name: &str) -> Result<(), StoreError> {
        // Until when it was in use; where that cannot be read, each log's own last entry says.
        let times = copy.times().await.unwrap_or_default();
        let alive = times.newest_entry.max(times.last_sign_of_life);
        let mut after = String::new();
        loop {
            let heads = copy.audit_heads(&after, BATCH).await?;
            let Some(last) = heads.last() else {
                return Ok(());
            };
            after.clone_from(&last.organization);
            for head in heads {
                self.add_chain((copy, name), head, alive).await?;
            }
        }
    }

    async fn add_chain(
        &mut self,
        (copy, name): (&Store, &str),
        end: Head,
        alive: Option<i64>,
    ) -> Result<(), StoreError> {
        let organization = end.organization;
        let known = self.heads.get(&organization);
        let mut after = known.map_or(0, |head| head.sequence - 1);
        let mut at = alive;
        loop {
            let rows = match copy.audit_rows(&organization, after, BATCH).await {
                Ok(rows) => rows,
                Err(error) => {
                    let why = format!("what follows entry {after} cannot be read: {error}");
                    self.told.entry(organization).or_default().fault(why);
                    return Ok(());
                }
            };
            let Some(last) = rows.last() else { break };
            after = last.sequence;
            at = at.max(Some(last.at));
            for row in rows {
                self.add(name, &organization, row);
            }
        }
        if let Some(backup) = self.head(&organization) {
            let both = backup.min(end.sequence);
            let parts = copy_parts_from(&self.store, copy, &organization, both).await?;
            if let Some(from) = parts {
                self.add_fork(&organization, name, from);
            }
        }
        let told = self.told.entry(organization).or_default();
        if after < end.sequence {
            told.fault(format!(
                "it ends with entry {after}, and there were {}",
                end.sequence
            ));
        } else if let Some(Ok(at)) = at.map(Timestamp::from_unix) {
            told.ends.push(End {
                sequence: end.sequence,
                mac: end.mac,
                at,
                proof: None,
            });
        }
        Ok(())
    }

    /// Organizations that were made after the backup, and the last entry that is known of each:
    /// they are gone, and their keys with them.
    #[must_use]
    pub fn lost(&self) -> BTreeMap<String, i64> {
        let lost = self.lost.iter();
        lost.map(|(id, lost)| (id.clone(), lost.last)).collect()
    }

    /// The signing keys of these organizations that had not ended, by `kid`.
    #[must_use]
    pub fn lost_signing_keys(&self) -> BTreeMap<String, BTreeSet<String>> {
        let lost = self.lost.iter();
        let named = lost.map(|(id, lost)| (id.clone(), made(lost.of_keys.values())));
        named.filter(|(_, kids)| !kids.is_empty()).collect()
    }

    /// What is known of each organization of the backup: first the operator, whose log tells which
    /// root keys became current, then the others in the order of their ids.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn chapters(
        mut self,
        store: &Store,
        crypto: &Crypto,
    ) -> Result<Vec<Chapter>, StoreError> {
        let mut since = RootKeysSince::of(store).await?;
        let mut heads: Vec<_> = self.heads.into_values().collect();
        heads.sort_by_key(|head| head.organization != "operator");
        let mut chapters = Vec::with_capacity(heads.len());
        for head in heads {
            let told = self.told.remove(&head.organization).unwrap_or_default();
            chapters.push(Chapter::of(head, told, store, crypto, &mut since).await?);
        }
        Ok(chapters)
    }
}
