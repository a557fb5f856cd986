//! What logs tell of one organization, before it is put in order.

use std::collections::BTreeMap;

use crate::domain::timestamp::Timestamp;
use crate::store::audit::AuditRow;

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
    pub(super) fork: Option<String>,
    /// That an export of it was cut off, and which.
    pub(super) cut: Option<String>,
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
    /// The last entry that is known.
    pub(super) last: i64,
    /// Entries that may tell of its signing keys.
    pub(super) of_keys: BTreeMap<i64, AuditRow>,
}

impl Told {
    /// Notes why it is not all of it, unless that is known.
    pub(super) fn fault(&mut self, why: String) {
        self.fault.get_or_insert(why);
    }
}
