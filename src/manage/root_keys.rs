//! The life of root keys: added, made current, replaced everywhere, given up. No route leads
//! here: whoever does it holds the root keys themselves, and works on the machine.

pub mod drop;
pub mod endings;
pub mod following;
pub mod rotate;
pub mod status;

use super::Management;
use super::refusal::Refusal;
use crate::crypto::keyring::{Former, Keyring, NotHeld, Reseal};
use crate::crypto::root_key::RootKey;
use crate::store::changes::Change;
use crate::store::error::StoreError;
use crate::store::root_keys::{FormerRootKey, Holder, Need, RootKeys};

/// Why something was not done with a root key; each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum RootKeyRefusal {
    /// Something that is needed is not held here.
    #[error(transparent)]
    NotHeld(#[from] NotHeld),
    /// Something sealed does not open.
    #[error(transparent)]
    Sealed(#[from] crate::crypto::seal::DoesNotOpen),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The act was refused.
    #[error(transparent)]
    Act(#[from] Refusal),
    /// There is no root key to make current.
    #[error(
        "there is no root key to go over to: run `tenmint root-key add`, and give every server \
         what it writes"
    )]
    NoOther,
    /// There are several root keys that could become current.
    #[error("there are several root keys to go over to: choose one with --to: {}", .0.join(", "))]
    Several(Vec<String>),
    /// The root key that was to become current was so once.
    #[error("root key {0} was replaced or given up before, and does not come back: add a new one")]
    Former(String),
    /// Some servers would be cut off.
    #[error(
        "root key {to} would cut off servers that do not hold it: {}. Put it beside their root \
         keys (a server reads its file again by itself; one that has them from the environment \
         must be restarted), and run this again. One that is gone for good no longer counts \
         after a minute",
        names(nodes)
    )]
    WouldCutOff {
        /// The root key.
        to: String,
        /// Servers that live, and do not hold it.
        nodes: Vec<Holder>,
    },
    /// Somebody else did something with root keys meanwhile.
    #[error("another root key became current meanwhile: look at `tenmint root-key status`")]
    Changed,
    /// There is no such root key.
    #[error("there is no former root key {0}: look at `tenmint root-key status`")]
    Unknown(String),
    /// The root key that everything new depends on is to be given up.
    #[error("root key {0} is the current one: run `tenmint root-key rotate` first")]
    Current(String),
    /// The root key that was to become current is so.
    #[error(
        "root key {0} is the current one already: leave --to out to go over to another, which is \
         made if none was added"
    )]
    CurrentAlready(String),
    /// The rotation away from it was not finished.
    #[error("root key {0} is still being replaced: run `tenmint root-key rotate` to finish that")]
    Unfinished(String),
    /// Something would stop working.
    #[error(
        "{need} still need root key {id} and would never work again. An API key is freed of it \
         when it is next used, or by being rotated or revoked; a signing key by `tenmint root-key \
         rotate`, or if it does not open, by being revoked. `tenmint root-key status` names API \
         keys; --force revokes those that have no other secret"
    )]
    StillNeeded {
        /// The root key.
        id: String,
        /// What depends on it.
        need: Need,
    },
    /// Some servers still work with it.
    #[error(
        "servers still work with root key {id}: {}. Wait for them, or stop them",
        names(nodes)
    )]
    StillInUse {
        /// The root key.
        id: String,
        /// Servers that have not gone over to the current one.
        nodes: Vec<Holder>,
    },
}

impl From<Reseal> for RootKeyRefusal {
    fn from(error: Reseal) -> Self {
        match error {
            Reseal::NotHeld(error) => error.into(),
            Reseal::DoesNotOpen(error) => error.into(),
        }
    }
}

impl From<FormerRootKey> for Former {
    fn from(stored: FormerRootKey) -> Self {
        Self {
            id: stored.id,
            trace: stored.trace,
            dropped: stored.dropped_at.is_some(),
        }
    }
}

/// The keyring of root keys that were read, as the database has it.
///
/// # Errors
/// [`NotHeld`] when the current one is not among them.
pub fn keyring(held: &[RootKey], stored: RootKeys) -> Result<Keyring, NotHeld> {
    let former: Vec<_> = stored.former.into_iter().map(Former::from).collect();
    Keyring::new(held, &stored.current, &former)
}

/// Goes on with the root keys as the database has them now, and with those that were found
/// beside the ones held.
///
/// # Errors
/// [`NotHeld`] when the current one is not held: everything stays as it is.
pub fn follow(management: &Management, found: &[RootKey], stored: RootKeys) -> Result<(), NotHeld> {
    let former: Vec<_> = stored.former.into_iter().map(Former::from).collect();
    let before = management.crypto.keyring();
    let given_up = former
        .iter()
        .any(|former| former.dropped && !management.crypto.is_dropped(&former.id));
    let after = before.again(found, &stored.current, &former)?;
    for id in after.unopened() {
        tracing::error!(root_key = %id, "the trace of a former root key does not open: somebody changed it");
    }
    // Before that: whatever is held of keys depends on it no more if another server made their hashes
    // anew, and is to be looked at again then.
    if given_up {
        management.generations.raise(&Change::Everything);
    }
    management.crypto.follow(after);
    Ok(())
}

/// What keeps a root key from being given up; `None`: nothing does. Whoever shows that it can be,
/// and whoever gives it up, ask this.
fn what_keeps(
    id: &str,
    stored: &RootKeys,
    need: &Need,
    nodes: &[Holder],
) -> Option<RootKeyRefusal> {
    let id = id.to_owned();
    if id == stored.current {
        return Some(RootKeyRefusal::Current(id));
    }
    let mut former = stored.former.iter();
    if former.any(|former| former.id == id && former.trace.is_none()) {
        return Some(RootKeyRefusal::Unfinished(id));
    }
    // A server that does not know yet which one is current could still hash under another.
    let behind = |holder: &&Holder| holder.in_use != stored.current;
    let nodes: Vec<_> = nodes.iter().filter(behind).cloned().collect();
    if !nodes.is_empty() {
        return Some(RootKeyRefusal::StillInUse { id, nodes });
    }
    let need = need.clone();
    need.is_any()
        .then_some(RootKeyRefusal::StillNeeded { id, need })
}

/// Whether what keeps a root key can be given up with it: API keys, and signing keys that do not
/// open. An organization that did not go over could do nothing any more.
fn may_be_forced(why: RootKeyRefusal) -> Result<(), RootKeyRefusal> {
    match why {
        RootKeyRefusal::StillNeeded { need, .. } if need.organizations == 0 => Ok(()),
        RootKeyRefusal::StillNeeded { id, .. } => Err(RootKeyRefusal::Unfinished(id)),
        other => Err(other),
    }
}

/// What the database knows; there is something, since a server was started on it.
async fn stored(management: &Management) -> Result<RootKeys, RootKeyRefusal> {
    let stored = management.store.root_keys().await?;
    stored.ok_or(RootKeyRefusal::Changed)
}

/// The servers by their ids, and when each was heard.
#[must_use]
pub fn names(nodes: &[Holder]) -> String {
    let name = |holder: &Holder| format!("{} (heard {})", holder.node, holder.seen_at);
    nodes.iter().map(name).collect::<Vec<_>>().join(", ")
}
