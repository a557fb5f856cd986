//! What is known of the time after a backup: entries of audit logs, each proven to be the next.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use ring::hmac;

use crate::crypto::Crypto;
use crate::manage::audit_verification::erased_through;
use crate::store::Store;
use crate::store::audit::{AuditRow, Head};
use crate::store::audit_chain::Integrity;
use crate::store::error::StoreError;

/// Rows held in memory at a time while another copy of the database is read.
const BATCH: i64 = 500;

/// What logs tell of the time after a backup.
pub struct Logs {
    heads: BTreeMap<String, Head>,
    /// Organizations whose last entry in the backup a log has too.
    met: BTreeSet<String>,
    /// The last entry before that one, and its MAC, that a log has of each organization.
    earlier: BTreeMap<String, (i64, Vec<u8>)>,
    /// Entries behind the last that the backup has.
    later: BTreeMap<String, BTreeMap<i64, AuditRow>>,
    faults: BTreeMap<String, String>,
    /// Organizations that the backup does not have, and the last entry that is known of each.
    lost: BTreeMap<String, i64>,
}

/// What is known of one organization since the backup.
pub struct Chapter {
    /// The last entry that the backup has.
    pub head: Head,
    /// The entries behind it, in order, each proven.
    pub rows: Vec<AuditRow>,
    /// Whether a log tells of the organization at all, from the backup on.
    pub told: bool,
    /// Why nothing is known behind the last of `rows`, although a log goes on.
    pub fault: Option<String>,
}

impl Chapter {
    /// The last entry that is known.
    #[must_use]
    pub fn last(&self) -> i64 {
        let last = self.rows.last();
        last.map_or(self.head.sequence, |row| row.sequence)
    }

    /// Whether a log tells everything up to its own end.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.told && self.fault.is_none()
    }
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
            heads,
            met: BTreeSet::new(),
            earlier: BTreeMap::new(),
            later: BTreeMap::new(),
            faults: BTreeMap::new(),
            lost: BTreeMap::new(),
        })
    }

    /// Takes an entry of a log, in whatever order they come.
    pub fn add(&mut self, organization: &str, row: AuditRow) {
        let Some(head) = self.heads.get(organization) else {
            let last = self.lost.entry(organization.to_owned()).or_default();
            *last = row.sequence.max(*last);
            return;
        };
        let other = |at| format!("entry {at} is not the one that the backup, or another log, has");
        match row.sequence.cmp(&head.sequence) {
            Ordering::Equal if row.mac == head.mac => {
                self.met.insert(organization.to_owned());
            }
            Ordering::Equal => self.fault(organization, other(row.sequence)),
            Ordering::Less => {
                let last = self.earlier.entry(organization.to_owned());
                let last = last.or_insert((row.sequence, row.mac.clone()));
                if row.sequence > last.0 {
                    *last = (row.sequence, row.mac);
                }
            }
            Ordering::Greater => {
                let later = self.later.entry(organization.to_owned()).or_default();
                let sequence = row.sequence;
                let known = later.get(&sequence);
                if known.is_some_and(|known| known.mac != row.mac) {
                    self.fault(organization, other(sequence));
                } else {
                    later.insert(sequence, row);
                }
            }
        }
    }

    /// Takes what another copy of the database knows. A chain that cannot be read to its end is
    /// known up to there.
    ///
    /// # Errors
    /// When that database is unavailable.
    pub async fn add_all_of(&mut self, copy: &Store) -> Result<(), StoreError> {
        let mut after = String::new();
        loop {
            let heads = copy.audit_heads(&after, BATCH).await?;
            let Some(last) = heads.last() else {
                return Ok(());
            };
            after.clone_from(&last.organization);
            for head in heads {
                self.add_chain(copy, &head).await?;
            }
        }
    }

    async fn add_chain(&mut self, copy: &Store, end: &Head) -> Result<(), StoreError> {
        let organization = &end.organization;
        let known = self.heads.get(organization);
        let mut after = known.map_or(0, |head| head.sequence - 1);
        loop {
            let rows = match copy.audit_rows(organization, after, BATCH).await {
                Ok(rows) => rows,
                Err(error) => {
                    let why = format!("what follows entry {after} cannot be read: {error}");
                    self.fault(organization, why);
                    return Ok(());
                }
            };
            let Some(last) = rows.last() else { break };
            after = last.sequence;
            for row in rows {
                self.add(organization, row);
            }
        }
        if after < end.sequence {
            let why = format!(
                "it ends with entry {after}, and there were {}",
                end.sequence
            );
            self.fault(organization, why);
        }
        Ok(())
    }

    fn fault(&mut self, organization: &str, why: String) {
        self.faults.entry(organization.to_owned()).or_insert(why);
    }

    /// Organizations that were made after the backup: they are gone, and their keys with them.
    #[must_use]
    pub fn lost(&self) -> &BTreeMap<String, i64> {
        &self.lost
    }

    /// What is known of each organization of the backup, in the order of their ids: entries are
    /// taken as far as they follow each other, each under the MAC of the one before.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn chapters(
        mut self,
        store: &Store,
        crypto: &Crypto,
    ) -> Result<Vec<Chapter>, StoreError> {
        let mut chapters = Vec::with_capacity(self.heads.len());
        for (organization, head) in self.heads {
            let later = self.later.remove(&organization).unwrap_or_default();
            let met = self.met.contains(&organization);
            let mut chapter = follow(head, later, crypto);
            chapter.told = met || !chapter.rows.is_empty();
            if !chapter.told
                && let Some(earlier) = self.earlier.remove(&organization)
            {
                chapter.told = was_done(store, &organization, earlier).await?;
            }
            chapter.fault = chapter.fault.or(self.faults.remove(&organization));
            chapters.push(chapter);
        }
        Ok(chapters)
    }
}

/// Whether all that came after the last entry of a log was done by a restore, which has therefore
/// done what there was to do and broke off later.
async fn was_done(
    store: &Store,
    organization: &str,
    (last, mac): (i64, Vec<u8>),
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
    let by_restore = |row: &AuditRow| {
        ["api_key.disable", "deployment.restore"].contains(&&*row.action)
            && row.is_by_command_line()
    };
    Ok(rows.first().is_some_and(|row| row.mac == mac)
        && rows.iter().skip(1).all(by_restore)
        && rows
            .last()
            .is_some_and(|row| row.action == "deployment.restore"))
}

fn follow(head: Head, later: BTreeMap<i64, AuditRow>, crypto: &Crypto) -> Chapter {
    let mut rows: Vec<AuditRow> = Vec::with_capacity(later.len());
    let (mut expected, mut previous) = (head.sequence + 1, head.mac.clone());
    // The first and the last entry found emptied that no later one has accounted for yet.
    let mut emptied: Option<(i64, i64)> = None;
    let mut fault = None;
    // Without that root key nothing can be verified, and nothing done either.
    let chain = crypto.chain(&head.root_key).ok();
    for (sequence, row) in later {
        let under = |chain: &hmac::Key| row.integrity(&head.organization, chain, &previous);
        if sequence != expected {
            fault = Some(format!(
                "entry {expected} is missing: an export must not be filtered"
            ));
            break;
        }
        match chain.as_ref().map_or(Integrity::Edited, under) {
            Integrity::Edited
                if crypto
                    .keyring()
                    .chains()
                    .any(|chain| under(chain) != Integrity::Edited) =>
            {
                fault = Some(format!(
                    "from entry {sequence} on it goes on under another root key: what was done \
                     since the root key was rotated cannot be done again"
                ));
                break;
            }
            Integrity::Edited => {
                fault = Some(format!(
                    "entry {sequence} cannot be verified: it was changed, or the organization \
                     itself exported it, which is not shown everything; an operator's export is"
                ));
                break;
            }
            Integrity::Erased => {
                let first = emptied.map_or(sequence, |(first, _)| first);
                emptied = Some((first, sequence));
            }
            Integrity::Whole if emptied.is_some_and(|(_, last)| last <= erased_through(&row)) => {
                emptied = None;
            }
            Integrity::Whole => {}
        }
        previous.clone_from(&row.mac);
        rows.push(row);
        expected += 1;
    }
    if let Some((first, _)) = emptied {
        rows.retain(|row| row.sequence < first);
        fault = Some(format!(
            "entry {first} was emptied, and no later entry says that an act erased it"
        ));
    }
    Chapter {
        head,
        rows,
        told: false,
        fault,
    }
}
