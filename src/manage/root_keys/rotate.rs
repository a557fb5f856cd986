//! Another root key becomes current, and everything that is sealed is sealed anew: one act for
//! each organization. Stopped at any instant, it is finished by being begun again.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;

use super::following::until_held;
use super::{RootKeyRefusal, follow, stored};
use crate::crypto::keyring::NotHeld;
use crate::crypto::seal::{DoesNotOpen, Row};
use crate::domain::organization::OrganizationId;
use crate::domain::signing_key::Kid;
use crate::manage::act::{Act, Did};
use crate::manage::caller::Actor;
use crate::manage::refusal::Refusal;
use crate::manage::{Management, to_its_end};
use crate::store::audit_chain::anchor_proof;
use crate::store::changes::Change;
use crate::store::error::StoreError;
use crate::store::root_keys::{InTurn, RootKeys};

/// How many organizations are looked up at once.
const BATCH: i64 = 100;

/// What became of a rotation.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rotated {
    /// The root keys that were replaced.
    pub from: Vec<String>,
    /// The one that is current.
    pub to: String,
    /// Organizations that went over to it by this call.
    pub organizations: u64,
    /// Signing keys that were sealed anew by this call.
    pub signing_keys: u64,
    /// Signing keys that do not open, and so sign nothing: their rows were changed.
    pub shut: Vec<Shut>,
}

/// A signing key that does not open.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Shut {
    /// Which.
    pub kid: Kid,
    /// Whose.
    pub organization: OrganizationId,
    /// The root key that its row names.
    pub root_key: String,
}

/// Which root key a rotation would make current.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// A rotation is under way, and is to be finished first.
    Unfinished,
    /// This one, which is held.
    Held(String),
    /// None is held that was not current before.
    None,
}

/// What a rotation is to do: finish one that was begun, or go over to a root key that is held;
/// to the one of this id, if one is named.
///
/// # Errors
/// [`RootKeyRefusal::Several`] and [`RootKeyRefusal::Former`] among others.
pub async fn target(
    management: &Management,
    named: Option<&str>,
) -> Result<Target, RootKeyRefusal> {
    let RootKeys { current, former } = stored(management).await?;
    if former.iter().any(|former| former.trace.is_none()) {
        return Ok(Target::Unfinished);
    }
    let keyring = management.crypto.keyring();
    let was = |id: &str| former.iter().any(|former| former.id == id);
    if let Some(id) = named {
        return match id {
            id if id == current => Err(RootKeyRefusal::CurrentAlready(id.to_owned())),
            id if was(id) => Err(RootKeyRefusal::Former(id.to_owned())),
            id if keyring.holds(id) => Ok(Target::Held(id.to_owned())),
            id => Err(NotHeld(id.to_owned()).into()),
        };
    }
    let ids = keyring.ids().map(ToString::to_string);
    let mut new: Vec<_> = ids.filter(|id| *id != current && !was(id)).collect();
    match new.len() {
        0 => Ok(Target::None),
        1 => Ok(Target::Held(new.remove(0))),
        _ => Err(RootKeyRefusal::Several(new)),
    }
}

/// Makes a root key current that is held here and by every server that lives: those that do not
/// hold it are waited for. From then on everything new depends on it.
///
/// # Errors
/// [`RootKeyRefusal::WouldCutOff`] when a server still does not hold it after so long.
pub async fn make_current(
    management: &Arc<Management>,
    to: &str,
    patience: Duration,
) -> Result<(), RootKeyRefusal> {
    until_held(management, to, patience).await?;
    let (shared, to) = (Arc::clone(management), to.to_owned());
    let done = to_its_end(async move { Ok(supersede(&shared, &to).await) });
    done.await??;
    follow(management, &[], stored(management).await?)?;
    Ok(())
}

/// Carries everything that is sealed over to the current root key, and leaves of those before it
/// what must outlive them. Does nothing where nothing is left to do.
///
/// # Errors
/// When the database is unavailable or a root key is missing: what was done stays done.
pub async fn carry_over(
    management: &Arc<Management>,
    mut tell: impl FnMut(&Rotated),
) -> Result<Rotated, RootKeyRefusal> {
    let RootKeys { current, former } = stored(management).await?;
    let mut rotated = Rotated {
        from: former
            .into_iter()
            .filter(|former| former.trace.is_none())
            .map(|former| former.id)
            .collect(),
        to: current,
        ..Rotated::default()
    };
    let mut after = String::new();
    loop {
        let batch = management
            .store
            .organizations_not_under(&rotated.to, &after, BATCH)
            .await?;
        let Some(last) = batch.last() else {
            break;
        };
        after.clone_from(last);
        for id in batch {
            let id: OrganizationId = id.parse().map_err(|_| StoreError::Corrupt {
                table: "organizations",
                what: "id",
            })?;
            let (shared, to) = (Arc::clone(management), rotated.to.clone());
            let done = to_its_end(async move { Ok(organization(&shared, &id, &to).await) });
            let carried = done.await??;
            rotated.organizations += u64::from(carried.went_over);
            rotated.signing_keys += carried.sealed;
            rotated.shut.extend(carried.shut);
            tell(&rotated);
        }
    }
    for former in rotated.from.clone() {
        let (shared, all) = (Arc::clone(management), rotated.clone());
        let done = to_its_end(async move { Ok(leave(&shared, &former, &all).await) });
        done.await??;
    }
    // Sealed under the old root key, they would lie in the database's log for a while.
    management.forget_destroyed_keys().await;
    follow(management, &[], stored(management).await?)?;
    Ok(rotated)
}

/// The deployment, and with it the operator's organization, goes over; traces of earlier root
/// keys with it, so that none counts but those that the current one seals.
async fn supersede(management: &Management, to: &str) -> Result<(), RootKeyRefusal> {
    let operator = OrganizationId::operator();
    let mut act = Act::begin_for_root_key(management, &Actor::CommandLine, &operator).await?;
    let keyring = management.crypto.keyring();
    let from = keyring.current().as_str();
    if !act.write.supersede(from, to, act.now, InTurn::No).await? {
        return Err(RootKeyRefusal::Changed);
    }
    pass_traces_on(management, &mut act, from, to).await?;
    let carried = carry(management, &mut act, to).await?;
    let details = json!({
        "from": from, "to": to, "deployment": true, "signing_keys": carried.sealed,
    });
    commit(act, to, details).await
}

/// Seals what earlier root keys left under another, in the act by which that becomes current.
pub(in crate::manage) async fn pass_traces_on(
    management: &Management,
    act: &mut Act<'_>,
    from: &str,
    to: &str,
) -> Result<(), StoreError> {
    let keyring = management.crypto.keyring();
    for (former, trace) in act.write.traces().await? {
        match keyring.pass_on(&former, &trace, from, to) {
            Ok(passed) => act.write.save_trace(&former, &passed).await?,
            // Nobody can open it: it stays as it is, and those who look are told.
            Err(error) => {
                tracing::error!(root_key = %former, %error, "a trace cannot be passed on");
            }
        }
    }
    Ok(())
}

/// What was done in one organization.
#[derive(Default)]
pub(in crate::manage) struct Carried {
    went_over: bool,
    sealed: u64,
    pub(in crate::manage) shut: Vec<Shut>,
}

async fn organization(
    management: &Management,
    id: &OrganizationId,
    to: &str,
) -> Result<Carried, RootKeyRefusal> {
    let actor = Actor::CommandLine;
    let mut act = Act::begin_for_root_key(management, &actor, id).await?;
    let from = act.write.root_key().to_owned();
    let carried = carry(management, &mut act, to).await?;
    if carried.went_over || carried.sealed > 0 {
        let details = json!({ "from": from, "to": to, "signing_keys": carried.sealed });
        commit(act, to, details).await?;
    }
    Ok(carried)
}

/// Seals the signing keys of the act's organization anew, and lets its audit chain go on under
/// the same root key, which vouches for all of the chain before.
pub(in crate::manage) async fn carry(
    management: &Management,
    act: &mut Act<'_>,
    to: &str,
) -> Result<Carried, Refusal> {
    let crypto = &management.crypto;
    let organization = act.write.organization().id.clone();
    let mut carried = Carried::default();
    for key in act.write.sealed_elsewhere(to).await? {
        let row = Row {
            organization: &organization,
            kid: &key.kid,
            algorithm: key.algorithm,
        };
        // Under any other it was left behind by an earlier rotation, because it did not open.
        if key.root_key == act.write.root_key() && !crypto.keyring().holds(&key.root_key) {
            return Err(NotHeld(key.root_key).into());
        }
        match crypto.open(&key.root_key, &key.sealed, row) {
            Ok(private) => {
                let sealed = crypto.seal(to, &private, row)?;
                act.write.save_sealed(&key.kid, &sealed, to).await?;
                carried.sealed += 1;
            }
            Err(DoesNotOpen) => {
                tracing::error!(%organization, kid = key.kid.as_str(), "a signing key does not open: its row was changed");
                carried.shut.push(Shut {
                    kid: key.kid,
                    organization: organization.clone(),
                    root_key: key.root_key,
                });
            }
        }
    }
    if act.write.root_key() != to {
        let before = act.write.before();
        let proof = anchor_proof(&crypto.anchor(to)?, organization.as_str(), before);
        act.write.go_over_to(to, &proof).await?;
        carried.went_over = true;
    }
    Ok(carried)
}

async fn commit(act: Act<'_>, to: &str, details: serde_json::Value) -> Result<(), RootKeyRefusal> {
    let organization = act.write.organization().id.clone();
    let did = Did {
        action: "root_key.rotate",
        target: to.to_owned(),
        details,
        changes: vec![Change::Organization(organization)],
    };
    Ok(act.commit(did).await?)
}

/// Leaves the trace of a root key that nothing sealed depends on any more.
async fn leave(
    management: &Management,
    former: &str,
    rotated: &Rotated,
) -> Result<(), RootKeyRefusal> {
    let operator = OrganizationId::operator();
    let mut act = Act::begin_for_root_key(management, &Actor::CommandLine, &operator).await?;
    if act.write.traces().await?.iter().any(|(id, _)| id == former) {
        return Ok(());
    }
    // What does not open depends on nothing any more.
    let shut = rotated.shut.iter().filter(|shut| shut.root_key == former);
    let shut = i64::try_from(shut.count()).unwrap_or(i64::MAX);
    if act.write.root_key() != rotated.to || act.write.count_sealed(former).await? > shut {
        return Err(RootKeyRefusal::Unfinished(former.to_owned()));
    }
    let trace = management.crypto.keyring().leave(former, &rotated.to)?;
    act.write.save_trace(former, &trace).await?;
    let did = Did {
        action: "root_key.replace",
        target: former.to_owned(),
        details: json!({ "to": &rotated.to, "shut": &rotated.shut }),
        changes: Vec::new(),
    };
    Ok(act.commit(did).await?)
}
