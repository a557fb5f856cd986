//! A root key is given up, for good: what still depends on it stays shut.

use std::sync::Arc;

use serde_json::json;

use super::{RootKeyRefusal, follow, stored, what_keeps};
use crate::domain::organization::OrganizationId;
use crate::manage::act::{Act, Did};
use crate::manage::caller::Actor;
use crate::manage::{Management, to_its_end};
use crate::store::root_keys::RootKeys;

/// What giving up a root key came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dropped {
    /// It was given up now, and so many API keys with it.
    Now {
        /// How many needed it.
        api_keys: i64,
    },
    /// It was given up before.
    Before,
    /// It was never current, and never will be.
    NeverCurrent,
}

/// Gives a root key up. With `force`, also what needs it.
///
/// # Errors
/// [`RootKeyRefusal::Current`], [`RootKeyRefusal::Unfinished`], [`RootKeyRefusal::StillNeeded`]
/// and [`RootKeyRefusal::StillInUse`] among others.
pub async fn give_up(
    management: &Arc<Management>,
    id: &str,
    force: bool,
) -> Result<Dropped, RootKeyRefusal> {
    let RootKeys { former, .. } = stored(management).await?;
    let found = former.iter().find(|former| former.id == id);
    if found.is_some_and(|former| former.dropped_at.is_some()) {
        return Ok(Dropped::Before);
    }
    if found.is_none() && !management.crypto.keyring().holds(id) {
        return Err(RootKeyRefusal::Unknown(id.to_owned()));
    }
    let (shared, wanted) = (Arc::clone(management), id.to_owned());
    let done = to_its_end(async move { Ok(within(&shared, &wanted, force).await) });
    let dropped = done.await??;
    follow(management, &[], stored(management).await?)?;
    Ok(dropped)
}

/// Whoever makes another root key current waits for the operator's organization, as this does: what
/// is looked at here stays so until it is given up.
async fn within(management: &Management, id: &str, force: bool) -> Result<Dropped, RootKeyRefusal> {
    let operator = OrganizationId::operator();
    let mut act = Act::begin_for_root_key(management, &Actor::CommandLine, &operator).await?;
    let stored = stored(management).await?;
    let nodes = management.store.holders(act.now).await?;
    let need = act.write.root_key_need(id, act.now).await?;
    match what_keeps(id, &stored, &need, &nodes) {
        None => {}
        Some(RootKeyRefusal::StillNeeded { .. }) if force => {}
        Some(why) => return Err(why),
    }
    let was_current = stored.former.iter().any(|former| former.id == id);
    let done = if was_current {
        act.write.drop_root_key(id, act.now).await?
    } else {
        let trace = management.crypto.keyring().leave(id, &stored.current)?;
        act.write.drop_unused_root_key(id, &trace, act.now).await?
    };
    if !done {
        return Err(RootKeyRefusal::Changed);
    }
    let did = Did {
        action: "root_key.drop",
        target: id.to_owned(),
        details: json!({ "forced": force, "api_keys_ended": need.api_keys }),
        changes: Vec::new(),
    };
    act.commit(did).await?;
    Ok(if was_current {
        Dropped::Now {
            api_keys: need.api_keys,
        }
    } else {
        Dropped::NeverCurrent
    })
}
