//! The audit log of an organization: its entries, which of them are asked for, and who may
//! know which of the operator's keys acted.

use std::net::IpAddr;

use serde::Serialize;
use serde_json::value::RawValue;

use super::organization::OrganizationId;
use super::text::{ActingFor, Text};
use super::timestamp::Timestamp;

/// What stands before the operator's key id where the operator reached into an organization.
pub const OPERATOR: &str = "operator:";

/// An entry of an audit log.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its place in the organization's log, from 1 without a gap.
    pub sequence: i64,
    /// When it was done.
    pub at: Timestamp,
    /// Who: a key id of the organization, `operator:` and one of the operator's (or, for those
    /// who may not know which, `operator`), `command line`, or `tenmint` by itself.
    pub actor: String,
    /// Which of the caller's own users it was done for, as the caller said.
    pub acting_for: Option<ActingFor>,
    /// From where, if over the network.
    pub address: Option<IpAddr>,
    /// Under which request id, if over the network.
    pub request_id: Option<String>,
    /// What was done, such as `api_key.revoke`.
    pub action: String,
    /// The id of what it was done to.
    pub target: String,
    /// What changed, from what to what: a JSON object.
    pub details: Box<RawValue>,
    /// What chains it to the entry before.
    pub mac: Vec<u8>,
    /// With what is personal in the entry, what its digest is over. Not there where personal parts
    /// are not shown, or were erased.
    pub salt: Option<Vec<u8>>,
    /// What of the personal parts the MAC is over. Not there where they are not shown.
    pub digest: Option<Vec<u8>>,
}

/// Which entries are asked for. Each part that is there must hold.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// By what was done.
    pub action: Option<ActionFilter>,
    /// By who did it, as entries show it; `operator` stands for every key of the operator.
    pub actor: Option<Text<100>>,
    /// By the id of what it was done to.
    pub target: Option<Text<200>>,
    /// By the caller's own user.
    pub acting_for: Option<ActingFor>,
    /// By request id.
    pub request_id: Option<Text<100>>,
    /// From this instant on.
    pub since: Option<Timestamp>,
    /// Before this instant.
    pub until: Option<Timestamp>,
}

/// Which actions are asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ActionFilter {
    /// One action, such as `api_key.revoke`.
    One(String),
    /// What begins so, such as `api_key.`.
    Family(String),
}

/// The last entry of an organization's chain at some time. Kept where nobody who can write to
/// the database can, it shows later whether entries up to it were cut off or rewritten.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Checkpoint {
    /// Whose chain.
    pub organization: OrganizationId,
    /// The place of the entry.
    pub sequence: i64,
    /// Its MAC, in hex.
    pub mac: String,
    /// When this was the last entry.
    pub at: Timestamp,
}

/// What an export that leaves nothing out ends with: a checkpoint that whoever has the root key can
/// tell from one that somebody else wrote. An export without it was cut off.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct End {
    /// The last entry when the export began.
    #[serde(flatten)]
    pub checkpoint: Checkpoint,
    /// What vouches for that, in hex.
    pub proof: String,
}

impl Filter {
    /// Whether every entry that comes later than some time is asked for.
    #[must_use]
    pub const fn reaches_the_end(&self) -> bool {
        matches!(
            self,
            Self {
                action: None,
                actor: None,
                target: None,
                acting_for: None,
                request_id: None,
                since: _,
                until: None,
            }
        )
    }
}

impl Entry {
    /// The entry as the organization itself may see it: the operator acted, and which of its
    /// keys, from where and for whom is the operator's own affair.
    #[must_use]
    pub fn for_tenant(mut self) -> Self {
        if self.actor.starts_with(OPERATOR) {
            "operator".clone_into(&mut self.actor);
            self.address = None;
            self.acting_for = None;
            // With these two, what is hidden could be found by trying.
            self.salt = None;
            self.digest = None;
        }
        self
    }
}

impl From<Text<100>> for ActionFilter {
    /// `api_key.*` is a family; what does not end so is one action.
    fn from(text: Text<100>) -> Self {
        let text = text.as_str();
        match text.strip_suffix('*') {
            Some(family) if family.ends_with('.') => Self::Family(family.to_owned()),
            _ => Self::One(text.to_owned()),
        }
    }
}
