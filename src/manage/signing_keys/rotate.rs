//! Rotating by hand: a next key is published, or in an emergency signs at once.

use std::sync::Arc;

use serde_json::json;

use super::MOST_PUBLISHED;
use super::haste::{require_calm, require_calm_before};
use super::new::{Prepared, Signs, active, give_up_next};
use super::relief;
use super::rsa::Urgent;
use crate::domain::management::ManagementAction;
use crate::domain::organization::OrganizationId;
use crate::domain::signing_key::{Algorithm, KeySpec, Kid, RsaBits, Schedule, SigningKey, State};
use crate::manage::act::{Act, Did};
use crate::manage::caller::Actor;
use crate::manage::idempotency::{Attempt, Begun, Once};
use crate::manage::refusal::{Kind, Refusal};
use crate::manage::{Management, to_its_end};
use crate::store::changes::Change;

/// What to rotate to, and how fast.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rotation {
    /// What the new key signs with. Not said: what the active one does.
    pub algorithm: Option<Algorithm>,
    /// How long its modulus is to be, if it is RSA. Not said: as the active one's, or 2048 bits.
    pub rsa_bits: Option<RsaBits>,
    /// Whether the new key signs at once, though no validator can know it yet.
    pub emergency: bool,
}

/// A rotation that was begun, by this request or when it was sent before.
#[derive(Debug)]
pub struct Rotated {
    /// The new key, as it is now.
    pub key: SigningKey,
    /// Whether this very request was done before.
    pub replayed: bool,
    /// When it signs, and is known.
    pub schedule: Schedule,
}

/// Rotates an issuer's signing key: the new one is published now, and signs once it was published
/// for the lead; then the old one stays published until its tokens have expired.
///
/// In an emergency the new one signs at once. A key that was next is given up: whoever got at the
/// active one may have got at that too. Validators that cached the JWKS refuse tokens of the new
/// key until they fetch it again.
///
/// # Errors
/// [`Refusal::SigningKeyUnderWay`] when there is a next key already and this is no emergency,
/// [`Refusal::TooManySigningKeys`] likewise, [`Refusal::TooManyEmergencies`] when it is one, or
/// [`Refusal::NotFound`] when the organization was not bootstrapped, among others.
pub async fn rotate(
    management: Arc<Management>,
    actor: Actor,
    organization: OrganizationId,
    rotation: Rotation,
    once: Once,
) -> Result<Rotated, Refusal> {
    actor.require(ManagementAction::SigningKeysRotate)?;
    to_its_end(async move {
        let attempt = match management.begin_once(once).await? {
            Begun::Now(attempt) => attempt,
            Begun::Before(kid) => {
                let kid = Kid::new(&kid);
                let before = management.store.signing_key(&organization, &kid).await?;
                let key = before.ok_or(Refusal::NotFound(Kind::SigningKey))?;
                return Ok(Rotated {
                    key,
                    replayed: true,
                    schedule: management.schedule().await?,
                });
            }
        };
        let done = rotate_now(&management, &actor, &organization, rotation, &attempt).await;
        let (key, under_way) = management.unless_done(attempt, done).await?;
        relief::begin(&management, &key, under_way);
        Ok(Rotated {
            key,
            replayed: false,
            schedule: management.schedule().await?,
        })
    })
    .await
}

async fn rotate_now(
    management: &Management,
    actor: &Actor,
    organization: &OrganizationId,
    rotation: Rotation,
    attempt: &Attempt,
) -> Result<(SigningKey, Option<Urgent>), Refusal> {
    management.require_organization(actor, organization).await?;
    let spec = management.spec_for(organization, rotation).await?;
    let (prepared, under_way) = if rotation.emergency {
        require_calm_before(management, actor, organization).await?;
        Prepared::at_once(management, organization, spec).await
    } else {
        let prepared = Prepared::of(management, organization, spec).await?;
        (prepared, None)
    };

    let action = ManagementAction::SigningKeysRotate;
    let mut act = Act::begin(management, actor, organization, action).await?;
    if rotation.emergency {
        require_calm(&mut act, actor).await?;
    }
    let Put {
        key,
        follows,
        given_up,
    } = management
        .put(&mut act, prepared, rotation.emergency)
        .await?;
    attempt.settle(&mut act, key.kid.as_str()).await?;
    act.commit(Did {
        action: "signing_key.rotate",
        target: key.kid.to_string(),
        details: json!({
            "alg": key.algorithm, "emergency": rotation.emergency,
            "activates_at": key.life.activates_at, "follows": follows, "given_up": given_up,
        }),
        changes: vec![Change::Organization(organization.clone())],
    })
    .await?;
    Ok((key, under_way))
}

/// A key that was put among those of an issuer, and what became of those.
pub(super) struct Put {
    /// The new key.
    pub(super) key: SigningKey,
    /// The key that signed until now, or still does.
    pub(super) follows: Kid,
    /// The key that was next, and gave way.
    pub(super) given_up: Option<Kid>,
}

impl Management {
    /// Publishes a key: as the next one, or as the one that signs from now on. Then the one that
    /// signed stops, and one that was next gives way.
    pub(super) async fn put(
        &self,
        act: &mut Act<'_>,
        prepared: Prepared,
        at_once: bool,
    ) -> Result<Put, Refusal> {
        let published = act.write.published_signing_keys().await?;
        let schedule = act.schedule().await?;
        require_room(&published, &schedule, at_once)?;
        let active = active(&published).ok_or(Refusal::NotBootstrapped)?;
        let mut given_up = None;
        let signs = if at_once {
            given_up = give_up_next(act, &published).await?;
            let mut stopped = active.clone();
            stopped.life.stop_signing(act.now, &schedule);
            stopped.replaced_by = Some(prepared.kid().clone());
            act.write.save_signing_key(&stopped).await?;
            Signs::AtOnce
        } else {
            Signs::From(act.now.plus(schedule.lead()))
        };
        Ok(Put {
            key: prepared.insert(act, signs).await?,
            follows: active.kid.clone(),
            given_up,
        })
    }

    /// What kind of key an issuer rotates to: as asked, or as its active key is. A rotation that
    /// cannot be is refused before the work of making a key is done for it.
    async fn spec_for(
        &self,
        organization: &OrganizationId,
        rotation: Rotation,
    ) -> Result<KeySpec, Refusal> {
        let stored = self.store.published_signing_keys(organization).await?;
        let published: Vec<_> = stored.into_iter().map(|stored| stored.key).collect();
        require_room(&published, &self.schedule().await?, rotation.emergency)?;
        let active = active(&published).ok_or(Refusal::NotFound(Kind::SigningKey))?;
        let spec = active.kind();
        if spec.is(rotation.algorithm, rotation.rsa_bits) {
            return Ok(spec);
        }
        let algorithm = rotation.algorithm.unwrap_or(spec.algorithm());
        KeySpec::new(algorithm, rotation.rsa_bits).map_err(|why| Refusal::invalid("/rsa_bits", why))
    }

    /// Sees to it now, where no server need be running, that nothing is left of private halves that
    /// were destroyed. What cannot be done now, a server does later.
    pub async fn forget_destroyed_keys(&self) {
        match self.store.forget_destroyed().await {
            Ok(true) => {}
            Ok(false) => tracing::info!(
                "sealed private keys that were destroyed are in the database's files until \
                 whoever reads there is done"
            ),
            Err(error) => {
                tracing::warn!(%error, "sealed private keys that were destroyed are in the database's files for a while");
            }
        }
    }
}

/// Whether another key may be published beside these. One that is to sign at once may always:
/// how often that is done is bounded otherwise.
fn require_room(
    published: &[SigningKey],
    schedule: &Schedule,
    at_once: bool,
) -> Result<(), Refusal> {
    if at_once {
        return Ok(());
    }
    if published.len() >= MOST_PUBLISHED {
        return Err(Refusal::TooManySigningKeys);
    }
    if active(published).is_some_and(|key| key.life.stands_in_for.is_some()) {
        return Err(Refusal::SigningKeyBeingMade);
    }
    let is_next = |key: &&SigningKey| key.life.state() == State::Next;
    match published.iter().find(is_next) {
        Some(next) => {
            let signs_from = schedule.signs_from(&next.life);
            Err(Refusal::SigningKeyUnderWay(signs_from))
        }
        None => Ok(()),
    }
}
