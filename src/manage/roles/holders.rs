//! What an edit of a role means for the keys that hold it.

use std::collections::HashMap;

use crate::domain::claims::KeyClaims;
use crate::domain::management::ManagementAction;
use crate::domain::network::NetworkSet;
use crate::domain::role::Role;
use crate::domain::scope::{Scope, ScopeSet};
use crate::manage::Management;
use crate::manage::act::Act;
use crate::manage::api_keys::import::not_for_imported;
use crate::manage::api_keys::tokens_fit;
use crate::manage::refusal::{Refusal, RoleRefusal};
use crate::store::roles::{Holder, Kin};

/// How many different kinds of holders are remembered at once.
const REMEMBERED: usize = 1000;

/// Requires that every key which holds the role stays one that can be, and that what it is given
/// is within the authority of whoever gives it. `before` is the role as it is.
pub(super) async fn require_fit(
    management: &Management,
    act: &mut Act<'_>,
    before: &Role,
    after: &ScopeSet,
) -> Result<(), Refusal> {
    let mut adding = after
        .iter()
        .filter(|scope| !before.scopes.iter().any(|b| b == *scope));
    if adding.next().is_none() {
        return Ok(());
    }
    let mut widened: HashMap<Kin, Option<NetworkSet>> = HashMap::new();
    let mut last = None;
    loop {
        let batch = act.write.role_holders(&before.name, last, act.now).await?;
        let Some(end) = batch.last() else {
            return Ok(());
        };
        last = Some(end.id);
        for holder in batch {
            if !widened.contains_key(&holder.kin) {
                let networks = require_valid(management, before, after, &holder)?;
                if widened.len() == REMEMBERED {
                    widened.clear();
                }
                widened.insert(holder.kin.clone(), networks);
            }
            if let Some(Some(networks)) = widened.get(&holder.kin) {
                require_grant(act, networks, &holder)?;
            }
        }
    }
}

/// Requires that a holder keeps to the bounds of every key. Gives its networks if it can do more
/// than before.
fn require_valid(
    management: &Management,
    before: &Role,
    after: &ScopeSet,
    holder: &Holder,
) -> Result<Option<NetworkSet>, Refusal> {
    let beside = holder.kin.beside()?;
    let networks = holder.kin.networks()?;
    let id = holder.id;
    let effective = beside.union(after).map_err(|_| {
        let why = format!(
            "the API key {id} holds this role, and would come to more than {} scopes with it",
            ScopeSet::MAX
        );
        Refusal::invalid("/scopes", why)
    })?;
    let held = |scope: &Scope| beside.covers(scope) || before.scopes.covers(scope);
    if holder.kin.is_imported()
        && let Some(action) = ManagementAction::added(&effective, held)
    {
        let rule = not_for_imported(action);
        let why = format!("the API key {id} holds this role: {rule}");
        return Err(Refusal::invalid("/scopes", why));
    }
    let claims = KeyClaims::with(id, &effective, &networks);
    if !tokens_fit(management, &before.organization, &claims) {
        let why = format!(
            "the API key {id} holds this role, and its tokens would be too long: give the role \
             fewer or shorter scopes"
        );
        return Err(Refusal::invalid("/scopes", why));
    }
    let gains = effective.iter().any(|scope| !held(scope));
    Ok(gains.then_some(networks))
}

/// A scope that a key is given is given on all its networks and for all its life.
fn require_grant(act: &Act<'_>, networks: &NetworkSet, holder: &Holder) -> Result<(), Refusal> {
    let scopes = ScopeSet::default();
    let granted = act
        .authority
        .require_grant(&scopes, networks, holder.expires_at);
    granted.map_err(|refusal| match refusal {
        Refusal::Exceeds(excess) => RoleRefusal::HolderExceeds {
            key: holder.id,
            excess,
        }
        .into(),
        other => other,
    })
}
