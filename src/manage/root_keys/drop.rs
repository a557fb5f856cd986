//! A root key is given up, for good: what still depends on it is ended before, or keeps it.

use std::sync::Arc;

use serde_json::json;

use super::endings::{self, Endings};
use super::{RootKeyRefusal, follow, may_be_forced, stored, what_keeps};
use crate::domain::organization::OrganizationId;
use crate::manage::act::{Act, Did};
use crate::manage::caller::Actor;
use crate::manage::{Management, to_its_end};
use crate::store::error::StoreError;
use crate::store::root_keys::{EndedKey, RootKeys};

/// How many API keys that ended are named, and how many organizations whose management keys did.
pub const NAMED: i64 = 50;

/// What giving up a root key came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Dropped {
    /// It was given up now, and this with it.
    Now(GivenUp),
    /// It was given up before; what still counted as in force was ended.
    Before(GivenUp),
    /// It was never current, and never will be.
    NeverCurrent,
}

/// What was given up with a root key: by this call, and by others, earlier or at the same time.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct GivenUp {
    /// How many API keys were revoked.
    pub api_keys: i64,
    /// How many of these by this call.
    pub by_this_call: i64,
    /// The first of them, at most [`NAMED`].
    pub named: Vec<EndedKey>,
    /// API keys that this call left with one secret of two.
    pub halves: Vec<endings::Ended>,
    /// Organizations whose management keys were among them, the operator's apart: at most
    /// [`NAMED`].
    pub without_manager: Vec<String>,
    /// How many of the operator's own API keys were among them.
    pub operator_keys: i64,
    /// How many of the operator's API keys are of use.
    pub operator_keys_left: i64,
    /// How many signing keys it sealed that do not open, and never will.
    pub signing_keys: i64,
}

/// Gives a root key up. With `force`, what needs it is ended before, in portions: `tell` is told how
/// far that is.
///
/// # Errors
/// [`RootKeyRefusal::Current`], [`RootKeyRefusal::Unfinished`], [`RootKeyRefusal::StillNeeded`]
/// and [`RootKeyRefusal::StillInUse`] among others. What was ended until then stays so, and being
/// called again does the rest.
pub async fn give_up(
    management: &Arc<Management>,
    id: &str,
    force: bool,
    tell: impl FnMut(&Endings),
) -> Result<Dropped, RootKeyRefusal> {
    let RootKeys { former, .. } = stored(management).await?;
    let found = former.iter().find(|former| former.id == id);
    let mut before = found.is_some_and(|former| former.dropped_at.is_some());
    if found.is_none() && !management.crypto.keyring().holds(id) {
        return Err(RootKeyRefusal::Unknown(id.to_owned()));
    }
    let was_current = found.is_some();
    let ended = if force && was_current {
        endings::end(management, id, tell).await?
    } else {
        Endings::default()
    };
    let mut signing_keys = 0;
    if !before {
        let (shared, wanted) = (Arc::clone(management), id.to_owned());
        let done = to_its_end(async move { Ok(within(&shared, &wanted, force).await) });
        match done.await?? {
            Within::GivenUp(shut) => signing_keys = shut,
            Within::Before => before = true,
        }
        follow(management, &[], stored(management).await?)?;
    }
    if !was_current {
        return Ok(Dropped::NeverCurrent);
    }
    let given_up = given_up(management, id, ended, signing_keys).await?;
    Ok(if before {
        Dropped::Before(given_up)
    } else {
        Dropped::Now(given_up)
    })
}

/// What the act by which a root key is given up found.
enum Within {
    /// It was given up, and so many signing keys with it.
    GivenUp(i64),
    /// Somebody else had given it up by then.
    Before,
}

/// Whoever makes another root key current waits for the operator's organization, as this does, and
/// whoever gives one up: what is looked at here stays so until it is given up.
async fn within(management: &Management, id: &str, force: bool) -> Result<Within, RootKeyRefusal> {
    let operator = OrganizationId::operator();
    let mut act = Act::begin_for_root_key(management, &Actor::CommandLine, &operator).await?;
    let stored = stored(management).await?;
    let found = stored.former.iter().find(|former| former.id == id);
    if found.is_some_and(|former| former.dropped_at.is_some()) {
        return Ok(Within::Before);
    }
    let was_current = found.is_some();
    let nodes = management.store.holders(act.now).await?;
    let need = act.write.root_key_need(id, act.now).await?;
    match what_keeps(id, &stored, &need, &nodes) {
        None => {}
        // An API key that came to need it meanwhile is ended by the next call.
        Some(why) if force && need.api_keys == 0 => may_be_forced(why)?,
        Some(why) => return Err(why),
    }
    let done = if was_current {
        act.write.drop_root_key(id, act.now).await?
    } else {
        let trace = management.crypto.keyring().leave(id, &stored.current)?;
        act.write.drop_unused_root_key(id, &trace, act.now).await?
    };
    if !done {
        return Err(RootKeyRefusal::Changed);
    }
    let revoked = act.write.count_ended_with(id).await?;
    let did = Did {
        action: "root_key.drop",
        target: id.to_owned(),
        details: json!({
            "forced": force, "api_keys_revoked": revoked, "signing_keys": need.signing_keys,
        }),
        changes: Vec::new(),
    };
    act.commit(did).await?;
    Ok(Within::GivenUp(need.signing_keys))
}

async fn given_up(
    management: &Management,
    id: &str,
    ended: Endings,
    signing_keys: i64,
) -> Result<GivenUp, StoreError> {
    let (store, now) = (&management.store, management.clock.now());
    let named = store.ended_with(id, NAMED).await?;
    let api_keys = match i64::try_from(named.len()) {
        Ok(few) if few < NAMED => few,
        _ => store.count_ended_with(id).await?,
    };
    let (operator_keys, operator_keys_left) = store.operator_keys_without(id, now).await?;
    Ok(GivenUp {
        api_keys,
        by_this_call: i64::try_from(ended.api_keys).unwrap_or(i64::MAX),
        named,
        halves: ended.secrets,
        without_manager: store.managers_ended_with(id, NAMED).await?,
        operator_keys,
        operator_keys_left,
        signing_keys,
    })
}
