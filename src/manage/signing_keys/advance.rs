//! What time does to signing keys. Each step is one act, so that a crash leaves either all of it
//! or nothing, and whoever comes next goes on from there.

use std::sync::Arc;

use serde_json::json;

use super::new::{Prepared, Signs, active, give_up_next};
use super::rotate::Put;
use super::rsa::Urgent;
use crate::domain::management::ManagementAction;
use crate::domain::organization::OrganizationId;
use crate::domain::signing_key::{Kid, Schedule, SigningKey, State, Step};
use crate::manage::act::{Act, Did};
use crate::manage::caller::Actor;
use crate::manage::refusal::{Kind, Refusal};
use crate::manage::{Management, to_its_end};
use crate::store::changes::Change;
use crate::store::signing_keys::SealedSigningKey;

/// Which steps are done: some need a key that takes seconds to make, and others do not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Which {
    /// Keys begin to sign, and go. Takes no time.
    Turns,
    /// A key that stands in for another is relieved. Validators wait for that.
    Relief,
    /// Next keys are published that are made in no time.
    Successors,
    /// Next keys are published that are RSA keys.
    RsaSuccessors,
}

impl Which {
    /// All of them, the most pressing first.
    pub const ALL: [Self; 4] = [
        Self::Turns,
        Self::Relief,
        Self::Successors,
        Self::RsaSuccessors,
    ];

    /// Whether this step is one of them, for an issuer that has these keys.
    fn has(self, step: &Step, keys: &[SigningKey]) -> bool {
        match step {
            Step::Activate(_) | Step::Retire(_) => self == Self::Turns,
            Step::Relieve(_) => self == Self::Relief,
            Step::Publish => match active(keys).and_then(|key| key.kind().rsa_bits()) {
                None => self == Self::Successors,
                Some(_) => self == Self::RsaSuccessors,
            },
        }
    }
}

/// Does the first of these steps that is due for an organization's signing keys, and says which it
/// was; `None` when none is, or somebody here is at it. To be repeated until then. Several nodes may
/// do so at once: each step is done once.
///
/// # Errors
/// When the database is unavailable, or there is no such organization.
pub async fn advance(
    management: Arc<Management>,
    organization: OrganizationId,
    which: Which,
) -> Result<Option<Step>, Refusal> {
    to_its_end(async move {
        let mut urgent = None;
        if which == Which::Relief {
            urgent = management.rsa.urgent(&organization);
            if urgent.is_none() {
                return Ok(None);
            }
        }
        take_step(&management, &organization, which, urgent).await
    })
    .await
}

/// Relieves an organization's key that stands in for another, if one does, by whoever has put it
/// there.
pub(super) async fn relieve(
    management: Arc<Management>,
    organization: OrganizationId,
    urgent: Urgent,
) -> Result<Option<Step>, Refusal> {
    to_its_end(
        async move { take_step(&management, &organization, Which::Relief, Some(urgent)).await },
    )
    .await
}

async fn take_step(
    management: &Management,
    organization: &OrganizationId,
    which: Which,
    mut urgent: Option<Urgent>,
) -> Result<Option<Step>, Refusal> {
    let stored = management
        .store
        .published_signing_keys(organization)
        .await?;
    let keys: Vec<_> = stored.iter().map(|stored| stored.key.clone()).collect();
    let schedule = management.schedule().await?;
    let mut due = management.due(&keys, &schedule).into_iter();
    let Some(step) = due.find(|step| which.has(step, &keys)) else {
        return Ok(None);
    };
    let prepared = match (&step, active(&keys), &mut urgent) {
        (Step::Publish, Some(active), _) => {
            Some(Prepared::in_turn(management, active.kind()).await?)
        }
        (Step::Relieve(bits), _, Some(urgent)) => {
            Some(Prepared::relief(management, urgent, *bits).await?)
        }
        _ => None,
    };
    let action = ManagementAction::SigningKeysRotate;
    let mut act = Act::begin(management, &Actor::System, organization, action).await?;
    let keys = act.write.published_signing_keys().await?;
    let schedule = act.schedule().await?;
    // Another node may have done it, or somebody rotated by hand.
    if !management.due(&keys, &schedule).contains(&step) {
        return Ok(Some(step));
    }
    let did = match &step {
        Step::Publish => {
            let prepared = prepared.ok_or(Refusal::Broken)?;
            publish(&mut act, &schedule, &keys, prepared).await?
        }
        Step::Relieve(_) => {
            let prepared = prepared.ok_or(Refusal::Broken)?;
            put_relief(management, &mut act, prepared).await?
        }
        Step::Activate(kid) if management.can_sign(&stored, kid)? => {
            activate(&mut act, &schedule, &keys, kid).await?
        }
        Step::Activate(_) => give_up(&mut act, &keys).await?,
        Step::Retire(kid) => retire(&mut act, &keys, kid).await?,
    };
    act.commit(did).await?;
    Ok(Some(step))
}

async fn publish(
    act: &mut Act<'_>,
    schedule: &Schedule,
    keys: &[SigningKey],
    prepared: Prepared,
) -> Result<Did, Refusal> {
    let active = active(keys).ok_or(Refusal::Broken)?;
    let known_from = act.now.plus(schedule.lead());
    let rotates_at = active.life.rotates_at(schedule);
    let signs_from = rotates_at.map_or(known_from, |at| at.max(known_from));
    let next = prepared.insert(act, Signs::From(signs_from)).await?;
    Ok(Did {
        action: "signing_key.publish",
        target: next.kid.to_string(),
        details: json!({
            "alg": next.algorithm, "activates_at": signs_from, "follows": &active.kid,
        }),
        changes: vec![Change::Organization(next.organization.clone())],
    })
}

/// The emergency that made a key stand in for another comes to its end: the other signs at once.
async fn put_relief(
    management: &Management,
    act: &mut Act<'_>,
    prepared: Prepared,
) -> Result<Did, Refusal> {
    let Put {
        key,
        follows,
        given_up,
    } = management.put(act, prepared, true).await?;
    Ok(Did {
        action: "signing_key.rotate",
        target: key.kid.to_string(),
        details: json!({
            "alg": key.algorithm, "emergency": true, "activates_at": key.life.activates_at,
            "follows": follows, "given_up": given_up,
        }),
        changes: vec![Change::Organization(key.organization)],
    })
}

async fn activate(
    act: &mut Act<'_>,
    schedule: &Schedule,
    keys: &[SigningKey],
    kid: &Kid,
) -> Result<Did, Refusal> {
    let mut next = of(keys, kid)?;
    let before = active(keys).cloned();
    // First the one stops, then the other begins: there are never two.
    if let Some(mut before) = before.clone() {
        before.life.stop_signing(act.now, schedule);
        before.replaced_by = Some(kid.clone());
        act.write.save_signing_key(&before).await?;
    }
    next.life.activate(act.now);
    act.write.save_signing_key(&next).await?;
    Ok(Did {
        action: "signing_key.activate",
        target: kid.to_string(),
        details: json!({
            "alg": next.algorithm, "follows": before.map(|before| before.kid),
        }),
        changes: vec![Change::Organization(next.organization)],
    })
}

/// A key that cannot sign was never published either: the one before goes on, and is followed by
/// another.
async fn give_up(act: &mut Act<'_>, keys: &[SigningKey]) -> Result<Did, Refusal> {
    let given_up = give_up_next(act, keys).await?.ok_or(Refusal::Broken)?;
    tracing::error!(kid = %given_up, "a signing key does not open: it is given up, and another made");
    Ok(Did {
        action: "signing_key.retire",
        target: given_up.to_string(),
        details: json!({ "does_not_open": true }),
        changes: vec![Change::Organization(act.write.organization().id.clone())],
    })
}

async fn retire(act: &mut Act<'_>, keys: &[SigningKey], kid: &Kid) -> Result<Did, Refusal> {
    let mut key = of(keys, kid)?;
    debug_assert_eq!(
        key.life.state(),
        State::Retiring,
        "only these are due to go"
    );
    key.life.retire(act.now);
    act.write.save_signing_key(&key).await?;
    Ok(Did {
        action: "signing_key.retire",
        target: kid.to_string(),
        details: json!({ "alg": key.algorithm, "signed_until": key.life.retiring_at }),
        changes: vec![Change::Organization(key.organization)],
    })
}

fn of(keys: &[SigningKey], kid: &Kid) -> Result<SigningKey, Refusal> {
    let found = keys.iter().find(|key| key.kid == *kid).cloned();
    found.ok_or(Refusal::NotFound(Kind::SigningKey))
}

impl Management {
    /// Whether a key can sign. One whose root key is not held here, another node may be able to
    /// open: that is an error, and no reason to give it up.
    fn can_sign(&self, stored: &[SealedSigningKey], kid: &Kid) -> Result<bool, Refusal> {
        let stored = stored.iter().find(|stored| stored.key.kid == *kid);
        let stored = stored.ok_or(Refusal::NotFound(Kind::SigningKey))?;
        match self.issuers.opens(stored) {
            Ok(()) => Ok(true),
            Err(why) if !self.crypto.keyring().holds(&stored.root_key) => Err(why.into()),
            Err(_) => Ok(false),
        }
    }

    fn due(&self, keys: &[SigningKey], schedule: &Schedule) -> Vec<Step> {
        Step::due(keys, schedule, self.clock.now())
    }
}
