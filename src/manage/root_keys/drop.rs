//! A former root key is given up, for good: what still depends on it stays shut.

use std::sync::Arc;

use serde_json::json;

use super::{RootKeyRefusal, follow, stored};
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
    /// It was never current, so that nothing depends on it.
    NeverCurrent,
}

/// Gives a root key up. With `force`, also the API keys that need it.
///
/// # Errors
/// [`RootKeyRefusal::Current`], [`RootKeyRefusal::Unfinished`], [`RootKeyRefusal::StillNeeded`]
/// and [`RootKeyRefusal::StillInUse`] among others.
pub async fn give_up(
    management: &Arc<Management>,
    id: &str,
    force: bool,
) -> Result<Dropped, RootKeyRefusal> {
    let RootKeys { current, former } = stored(management).await?;
    if id == current {
        return Err(RootKeyRefusal::Current(id.to_owned()));
    }
    let found = former.iter().find(|former| former.id == id);
    match found {
        Some(former) if former.dropped_at.is_some() => return Ok(Dropped::Before),
        Some(former) if former.trace.is_none() => {
            return Err(RootKeyRefusal::Unfinished(id.to_owned()));
        }
        Some(_) => {}
        None if management.crypto.keyring().holds(id) => return Ok(Dropped::NeverCurrent),
        None => return Err(RootKeyRefusal::Unknown(id.to_owned())),
    }
    // A server that does not know yet could still hash under it.
    let mut nodes = management.store.holders(management.clock.now()).await?;
    nodes.retain(|holder| holder.in_use != current);
    if !nodes.is_empty() {
        let id = id.to_owned();
        return Err(RootKeyRefusal::StillInUse { id, nodes });
    }
    let (shared, wanted) = (Arc::clone(management), id.to_owned());
    let done = to_its_end(async move { Ok(within(&shared, &wanted, force).await) });
    let dropped = done.await??;
    follow(management, &[], stored(management).await?)?;
    Ok(dropped)
}

async fn within(management: &Management, id: &str, force: bool) -> Result<Dropped, RootKeyRefusal> {
    let operator = OrganizationId::operator();
    let mut act = Act::begin_for_root_key(management, &Actor::CommandLine, &operator).await?;
    let api_keys = act.write.count_needy(id, act.now).await?;
    if api_keys > 0 && !force {
        let id = id.to_owned();
        return Err(RootKeyRefusal::StillNeeded { id, api_keys });
    }
    if !act.write.drop_root_key(id, act.now).await? {
        return Ok(Dropped::Before);
    }
    let did = Did {
        action: "root_key.drop",
        target: id.to_owned(),
        details: json!({ "forced": force, "api_keys_ended": api_keys }),
        changes: Vec::new(),
    };
    act.commit(did).await?;
    Ok(Dropped::Now { api_keys })
}
