//! Whether audit chains are as they were written.

use std::collections::BTreeMap;

use ring::hmac;
use serde::Deserialize;

use crate::domain::hex::hex;
use crate::store::Store;
use crate::store::audit::AuditRow;
use crate::store::audit_chain::Integrity;
use crate::store::error::StoreError;
use crate::store::write::ERASED_THROUGH;

/// Rows held in memory at a time.
const BATCH: i64 = 500;

/// What was found in one organization's chain.
#[derive(Debug)]
pub struct Report {
    /// Whose chain.
    pub organization: String,
    /// How many entries hold, in order from the first.
    pub verified: u64,
    /// How many of these were erased by an act.
    pub erased: u64,
    /// The first fault, if there is one; nothing is said of what comes behind it.
    pub fault: Option<Fault>,
}

/// What is wrong with a chain.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Fault {
    /// Written by somebody without the root key, or changed since.
    #[error("entry {0} is not as it was written: it was edited, moved or put in")]
    Edited(i64),
    /// Nothing, where an entry must be.
    #[error("entry {0} is missing")]
    Missing(i64),
    /// Something, where no entry can be.
    #[error("entry {0} was put in")]
    PutIn(i64),
    /// Its personal parts are gone, and no act erased them.
    #[error("entry {0} was emptied, and no later entry says that an act erased it")]
    Emptied(i64),
    /// The database could not make sense of it.
    #[error("what follows entry {0} cannot be read")]
    Unreadable(i64),
    /// Fewer entries than the organization counts.
    #[error("it ends with entry {last}, and the organization counts {head}: the end was cut off")]
    CutOff {
        /// The last there is.
        last: i64,
        /// The last there should be.
        head: i64,
    },
    /// The head is not the last entry's MAC.
    #[error("the organization's row does not name entry {0}, the last, as its head")]
    Head(i64),
    /// The entry of a checkpoint is another now.
    #[error("entry {0} is not the one of the checkpoint: the chain was rewritten")]
    Rewritten(i64),
    /// The entry of a checkpoint is not there.
    #[error(
        "it ends with entry {last}, and a checkpoint knows entry {checkpoint}: the end was cut off"
    )]
    Truncated {
        /// The last there is.
        last: i64,
        /// That of the checkpoint.
        checkpoint: i64,
    },
    /// There is no such organization.
    #[error("there is no such organization: it was removed, or never was")]
    Gone,
}

/// What must be in a chain, as a checkpoint or a line of an export says.
#[derive(Debug, Deserialize)]
pub struct Known {
    organization: String,
    sequence: i64,
    mac: String,
}

/// What checkpoints know of each organization: MACs in hex by their place.
#[derive(Debug, Default)]
pub struct Checkpoints(BTreeMap<String, BTreeMap<i64, Vec<String>>>);

impl Extend<Known> for Checkpoints {
    fn extend<T: IntoIterator<Item = Known>>(&mut self, all: T) {
        for known in all {
            let chain = self.0.entry(known.organization).or_default();
            chain.entry(known.sequence).or_default().push(known.mac);
        }
    }
}

impl Checkpoints {
    /// Whether they know anything; of this organization, if one is named.
    #[must_use]
    pub fn know(&self, organization: Option<&str>) -> bool {
        organization.map_or(!self.0.is_empty(), |id| self.0.contains_key(id))
    }
}

/// Walks the chain of one organization, or every chain, and tells of each as it is done. Changes
/// nothing, and can run while servers append.
///
/// # Errors
/// When the database is unavailable: what was not told of is then not verified.
pub async fn verify(
    store: &Store,
    chain: &hmac::Key,
    only: Option<&str>,
    checkpoints: &Checkpoints,
    mut tell: impl FnMut(&Report),
) -> Result<(), StoreError> {
    let none = BTreeMap::new();
    let known = |organization: &str| checkpoints.0.get(organization).unwrap_or(&none);
    if let Some(organization) = only {
        tell(&walk(store, chain, organization, known(organization)).await?);
        return Ok(());
    }
    let mut after = String::new();
    loop {
        let heads = store.audit_heads(&after, BATCH).await?;
        for head in &heads {
            let organization = &head.organization;
            tell(&walk(store, chain, organization, known(organization)).await?);
        }
        match heads.into_iter().next_back() {
            Some(last) => after = last.organization,
            None => break,
        }
    }
    for organization in checkpoints.0.keys() {
        if store.audit_head(organization).await?.is_none() {
            tell(&walk(store, chain, organization, known(organization)).await?);
        }
    }
    Ok(())
}

/// Where a walk has come to.
struct Walk<'a> {
    chain: &'a hmac::Key,
    known: &'a BTreeMap<i64, Vec<String>>,
    last: i64,
    mac: Vec<u8>,
    /// The first and the last entry found emptied that no later one has accounted for yet.
    emptied: Option<(i64, i64)>,
    report: Report,
}

async fn walk(
    store: &Store,
    chain: &hmac::Key,
    organization: &str,
    known: &BTreeMap<i64, Vec<String>>,
) -> Result<Report, StoreError> {
    let mut walk = Walk {
        chain,
        known,
        last: 0,
        mac: Vec::new(),
        emptied: None,
        report: Report {
            organization: organization.to_owned(),
            verified: 0,
            erased: 0,
            fault: None,
        },
    };
    walk.report.fault = walk.walk_on(store).await?.err();
    Ok(walk.report)
}

impl Walk<'_> {
    async fn walk_on(&mut self, store: &Store) -> Result<Result<(), Fault>, StoreError> {
        let organization = self.report.organization.clone();
        let mut head = store.audit_head(&organization).await?;
        // Below every entry: one that was put in before the first is seen too.
        let mut after = i64::MIN;
        loop {
            let rows = match store.audit_rows(&organization, after, BATCH).await {
                Ok(rows) => rows,
                Err(error) if error.is_passing() => return Err(error),
                Err(_) => return Ok(Err(Fault::Unreadable(self.last))),
            };
            for row in &rows {
                if let Err(fault) = self.step(row) {
                    return Ok(Err(fault));
                }
                after = row.sequence;
            }
            if !rows.is_empty() {
                continue;
            }
            // An entry and its head come in one transaction. A head that was read before the
            // rows is therefore not ahead of them; it may be behind, and is then read again.
            let Some(before) = head else {
                return Ok(Err(Fault::Gone));
            };
            if before.sequence > self.last {
                let (last, head) = (self.last, before.sequence);
                return Ok(Err(Fault::CutOff { last, head }));
            }
            if before.sequence == self.last {
                return Ok(self.finish(&before.mac));
            }
            head = store.audit_head(&organization).await?;
            if head.as_ref().is_some_and(|now| now.sequence < self.last) {
                return Ok(Err(Fault::PutIn(self.last)));
            }
        }
    }

    /// Takes the next row of the chain.
    fn step(&mut self, row: &AuditRow) -> Result<(), Fault> {
        let expected = self.last + 1;
        if row.sequence < expected {
            return Err(Fault::PutIn(row.sequence));
        }
        if row.sequence > expected {
            return Err(Fault::Missing(expected));
        }
        let organization = &self.report.organization;
        match row.integrity(organization, self.chain, &self.mac) {
            Integrity::Edited => return Err(Fault::Edited(expected)),
            Integrity::Erased => {
                let first = self.emptied.map_or(expected, |(first, _)| first);
                self.emptied = Some((first, expected));
                self.report.erased += 1;
            }
            Integrity::Whole => {
                if self
                    .emptied
                    .is_some_and(|(_, last)| last <= erased_through(row))
                {
                    self.emptied = None;
                }
            }
        }
        if let Some(macs) = self.known.get(&expected)
            && macs.iter().any(|mac| *mac != hex(&row.mac))
        {
            return Err(Fault::Rewritten(expected));
        }
        self.last = expected;
        self.mac.clone_from(&row.mac);
        self.report.verified += 1;
        Ok(())
    }

    fn finish(&self, head: &[u8]) -> Result<(), Fault> {
        let last = self.last;
        if head != self.mac {
            return Err(Fault::Head(last));
        }
        if let Some((first, _)) = self.emptied {
            return Err(Fault::Emptied(first));
        }
        let beyond = |checkpoint: &&i64| !(1..=last).contains(*checkpoint);
        match self.known.keys().find(beyond) {
            Some(&checkpoint) => Err(Fault::Truncated { last, checkpoint }),
            None => Ok(()),
        }
    }
}

/// Up to which entry the act of this one erased what is personal; 0 if it erased nothing.
fn erased_through(row: &AuditRow) -> i64 {
    let details: Option<serde_json::Value> = serde_json::from_str(&row.details).ok();
    let through = details.and_then(|details| details.get(ERASED_THROUGH)?.as_i64());
    through.unwrap_or(0)
}
