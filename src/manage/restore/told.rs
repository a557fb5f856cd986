//! What logs tell of one organization, before it is put in order.

use std::collections::{BTreeMap, BTreeSet};

use super::earlier::Reached;
use super::fork::Fork;
use super::made::tells_of_keys;
use crate::crypto::keyring::Keyring;
use crate::domain::timestamp::Timestamp;
use crate::store::audit::AuditRow;
use crate::store::audit_chain::Integrity;

/// What logs tell of one organization.
#[derive(Default)]
pub(super) struct Told {
    /// Whether a log has the last entry of the backup too.
    pub(super) met: bool,
    /// The last entry before that one, and its MAC, that a log has.
    pub(super) earlier: Option<(i64, Vec<u8>)>,
    /// Entries behind the last that the backup has.
    pub(super) later: BTreeMap<i64, AuditRow>,
    pub(super) ends: Vec<End>,
    pub(super) fault: Option<String>,
    /// That a log tells another history, and which.
    pub(super) fork: Option<Fork>,
    /// That an export of it was cut off, and which.
    pub(super) cut: Option<String>,
    /// How far those reach that end before the backup.
    pub(super) reached: Option<Reached>,
}

/// Where a log ended at some time.
pub(super) struct End {
    pub(super) sequence: i64,
    pub(super) mac: Vec<u8>,
    pub(super) at: Timestamp,
    /// What vouches for it; `None` where a whole database says so.
    pub(super) proof: Option<Vec<u8>>,
}

/// What logs tell of an organization that the backup does not have.
#[derive(Default)]
pub(super) struct Lost {
    /// The last entry that a log tells of.
    pub(super) last: i64,
    /// The last that is whole and under the MAC of a root key that is held: only this deployment
    /// has written that.
    pub(super) proven: i64,
    /// The entry that came before, which the next one may follow.
    before: Option<(i64, Vec<u8>)>,
    /// Entries that may tell of its signing keys.
    pub(super) of_keys: BTreeMap<i64, AuditRow>,
    /// Which logs tell of it.
    pub(super) logs: BTreeSet<String>,
}

impl Lost {
    /// Takes an entry, in whatever order they come.
    pub(super) fn add(&mut self, log: &str, organization: &str, row: AuditRow, keyring: &Keyring) {
        self.last = row.sequence.max(self.last);
        let before = self.before.take();
        let before = before.filter(|(sequence, _)| sequence + 1 == row.sequence);
        let before = before.map(|(_, mac)| mac);
        // The first entry follows nothing.
        let before = before.or((row.sequence == 1).then(Vec::new));
        let follows = before.is_some_and(|before| {
            let mut chains = keyring.chains();
            chains.any(|chain| row.integrity(organization, chain, &before) == Integrity::Whole)
        });
        if follows {
            self.proven = row.sequence.max(self.proven);
        }
        self.before = Some((row.sequence, row.mac.clone()));
        if !self.logs.contains(log) {
            self.logs.insert(log.to_owned());
        }
        if tells_of_keys(&row) {
            self.of_keys.insert(row.sequence, row);
        }
    }
}

impl Told {
    /// Notes that a log tells of it up to an entry that is before the backup's last.
    pub(super) fn reaches(&mut self, sequence: i64, log: &str) {
        match &mut self.reached {
            Some(reached) if reached.sequence >= sequence => {}
            Some(reached) if reached.log == log => reached.sequence = sequence,
            reached => {
                let log = log.to_owned();
                *reached = Some(Reached { sequence, log });
            }
        }
    }

    /// Notes why it is not all of it, unless that is known.
    pub(super) fn fault(&mut self, why: String) {
        self.fault.get_or_insert(why);
    }
}
