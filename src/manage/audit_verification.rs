//! Whether audit chains are as they were written.

use std::collections::BTreeMap;
use std::sync::Arc;

use ring::hmac;
use serde::Deserialize;

use crate::crypto::Crypto;
use crate::crypto::keyring::Keyring;
use crate::domain::hex::hex;
use crate::store::Store;
use crate::store::audit::{AuditRow, Head};
use crate::store::audit_chain::{Integrity, anchor_proof};
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
    /// The chain goes on under a root key that is not in force.
    #[error("its row names root key {0}, under which no chain goes on any more")]
    RootKey(String),
    /// What vouches for the chain before its root key was replaced does not.
    #[error("entry {0} is not where it went over to another root key: the chain was rewritten")]
    Anchor(i64),
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

/// What entries are held against: the root keys, and which of them chains may still go on under.
pub struct Keys {
    keyring: Arc<Keyring>,
    /// The current one, and while a rotation away from it is under way, the one before.
    in_force: Vec<(String, hmac::Key, hmac::Key)>,
}

impl Keys {
    /// Those of a deployment, and the root keys that are just being replaced: what is under them
    /// alone is taken on trust, as far as they can be trusted.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn of(store: &Store, crypto: &Crypto) -> Result<(Self, Vec<String>), StoreError> {
        let keyring = crypto.keyring();
        let former = store.root_keys().await?.map(|stored| stored.former);
        let replacing: Vec<_> = former
            .unwrap_or_default()
            .into_iter()
            .filter(|former| former.trace.is_none() && keyring.holds(&former.id))
            .map(|former| former.id)
            .collect();
        let current = keyring.current().to_string();
        let in_force = std::iter::once(&current).chain(&replacing);
        let in_force = in_force.filter_map(|id| {
            let (chain, anchor) = (crypto.chain(id).ok()?, crypto.anchor(id).ok()?);
            Some((id.clone(), chain, anchor))
        });
        let in_force = in_force.collect();
        Ok((Self { keyring, in_force }, replacing))
    }

    /// Whether the deployment still goes on under the same root key.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn are_those_of(&self, store: &Store) -> Result<bool, StoreError> {
        let now = store.root_keys().await?;
        Ok(now.is_some_and(|now| now.current == self.keyring.current().as_str()))
    }
}

/// Walks the chain of one organization, or every chain, and tells of each as it is done. Changes
/// nothing, and can run while servers append.
///
/// # Errors
/// When the database is unavailable: what was not told of is then not verified.
pub async fn verify(
    store: &Store,
    keys: &Keys,
    only: Option<&str>,
    checkpoints: &Checkpoints,
    mut tell: impl FnMut(&Report),
) -> Result<(), StoreError> {
    let none = BTreeMap::new();
    let known = |organization: &str| checkpoints.0.get(organization).unwrap_or(&none);
    if let Some(organization) = only {
        tell(&walk(store, keys, organization, known(organization)).await?);
        return Ok(());
    }
    let mut after = String::new();
    loop {
        let heads = store.audit_heads(&after, BATCH).await?;
        for head in &heads {
            let organization = &head.organization;
            tell(&walk(store, keys, organization, known(organization)).await?);
        }
        match heads.into_iter().next_back() {
            Some(last) => after = last.organization,
            None => break,
        }
    }
    for organization in checkpoints.0.keys() {
        if store.audit_head(organization).await?.is_none() {
            tell(&walk(store, keys, organization, known(organization)).await?);
        }
    }
    Ok(())
}

/// Where a walk has come to.
struct Walk<'a> {
    keys: &'a Keys,
    known: &'a BTreeMap<i64, Vec<String>>,
    last: i64,
    mac: Vec<u8>,
    /// The first and the last entry found emptied that no later one has accounted for yet.
    emptied: Option<(i64, i64)>,
    report: Report,
}

async fn walk(
    store: &Store,
    keys: &Keys,
    organization: &str,
    known: &BTreeMap<i64, Vec<String>>,
) -> Result<Report, StoreError> {
    loop {
        let mut walk = Walk {
            keys,
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
        let began = store.audit_head(organization).await?;
        let Some(head) = began else {
            walk.report.fault = Some(Fault::Gone);
            return Ok(walk.report);
        };
        walk.report.fault = walk.walk_on(store, &head).await?.err();
        // A chain that went over to another root key meanwhile was held against the wrong one.
        let now = match &walk.report.fault {
            Some(_) => store.audit_head(organization).await?,
            None => None,
        };
        if now.is_none_or(|now| now.root_key == head.root_key) {
            return Ok(walk.report);
        }
    }
}

impl Walk<'_> {
    async fn walk_on(
        &mut self,
        store: &Store,
        began: &Head,
    ) -> Result<Result<(), Fault>, StoreError> {
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
                if let Err(fault) = self.step(row, began) {
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
                return Ok(self.finish(&before));
            }
            head = store.audit_head(&organization).await?;
            if head.as_ref().is_some_and(|now| now.sequence < self.last) {
                return Ok(Err(Fault::PutIn(self.last)));
            }
        }
    }

    /// Takes the next row of the chain.
    fn step(&mut self, row: &AuditRow, head: &Head) -> Result<(), Fault> {
        let expected = self.last + 1;
        if row.sequence < expected {
            return Err(Fault::PutIn(row.sequence));
        }
        if row.sequence > expected {
            return Err(Fault::Missing(expected));
        }
        match self.integrity(row, head)? {
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

    /// Up to the anchor, which the root key that the chain goes on under vouches for, entries may
    /// be under any root key there was: each MAC is over the one before, so the anchor's holds
    /// them all. Behind it, they are under that root key alone: whoever has an earlier one can
    /// neither add an entry nor put others in the place of these.
    fn integrity(&self, row: &AuditRow, head: &Head) -> Result<Integrity, Fault> {
        let organization = &self.report.organization;
        let mut in_force = self.keys.in_force.iter();
        let (_, chain, anchor) = in_force
            .find(|(id, _, _)| *id == head.root_key)
            .ok_or_else(|| Fault::RootKey(head.root_key.clone()))?;
        let under = |key| row.integrity(organization, key, &self.mac);
        let stood = head.anchor_sequence.unwrap_or(0);
        if row.sequence > stood {
            return Ok(under(chain));
        }
        if row.sequence == stood {
            let proof = anchor_proof(anchor, organization, (stood, &row.mac));
            if head.anchor_proof.as_deref() != Some(&*proof) {
                return Err(Fault::Anchor(stood));
            }
        }
        let mut found = self.keys.keyring.chains().map(under);
        Ok(found
            .find(|found| *found != Integrity::Edited)
            .unwrap_or(Integrity::Edited))
    }

    fn finish(&self, head: &Head) -> Result<(), Fault> {
        let last = self.last;
        if head.mac != self.mac {
            return Err(Fault::Head(last));
        }
        if let Some(checkpoint) = head.anchor_sequence.filter(|anchor| *anchor > last) {
            return Err(Fault::Truncated { last, checkpoint });
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
pub(super) fn erased_through(row: &AuditRow) -> i64 {
    let details: Option<serde_json::Value> = serde_json::from_str(&row.details).ok();
    let through = details.and_then(|details| details.get(ERASED_THROUGH)?.as_i64());
    through.unwrap_or(0)
}
