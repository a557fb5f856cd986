//! Withdrawing a signing key that is no longer to be trusted.

use std::sync::Arc;

use serde_json::json;

use super::haste::{is_young, require_calm};
use super::new::{Prepared, Signs, give_up_next};
use super::relief;
use crate::domain::management::ManagementAction;
use crate::domain::organization::OrganizationId;
use crate::domain::signing_key::{Kid, Schedule, SigningKey, State};
use crate::manage::act::{Act, Did};
use crate::manage::caller::Actor;
use crate::manage::refusal::{Ended, Kind, Refusal};
use crate::manage::{Management, to_its_end};
use crate::store::changes::Change;
use crate::store::error::StoreError;

/// How many keys that stand in for others are followed to the one that signs in their place: as
/// many as may be made in an hour, which is more than there is time for.
const MOST_STAND_INS: usize = 20;

/// A signing key that was withdrawn, now or before.
#[derive(Debug)]
pub struct Revoked {
    /// The key.
    pub key: SigningKey,
    /// The key that began to sign when it stopped, if it ever signed.
    pub replacement: Option<SigningKey>,
    /// The key that the replacement stood in for, once that signs.
    pub relief: Option<SigningKey>,
    /// How long it takes until that is known everywhere.
    pub schedule: Schedule,
}

/// Withdraws a signing key: it leaves the JWKS now, and tenmint refuses its tokens. If it signs, a
/// key made in its place signs at once, and a key that was next is given up: whoever got at the
/// one may have got at the other. A key that was revoked before stays as it is, and the answer is
/// what it was, or what became of it.
///
/// The withdrawal waits for nothing: for an RSA key another stands in, also while it is made. Only
/// the answer waits a little for that, to tell of it; so does every later one.
///
/// # Errors
/// [`Refusal::SigningKeyRetired`] when it is published no more, [`Refusal::TooManyEmergencies`], or
/// [`Refusal::NotFound`], among others.
pub async fn revoke(
    management: Arc<Management>,
    actor: Actor,
    organization: OrganizationId,
    kid: Kid,
) -> Result<Revoked, Refusal> {
    actor.require(ManagementAction::SigningKeysRotate)?;
    let shared = Arc::clone(&management);
    let (revoked, relief) = to_its_end(async move {
        let key = withdraw(&management, &actor, &organization, &kid).await?;
        let (revoked, stand_in) = management.revoked(key).await?;
        let relief = stand_in.and_then(|key| relief::begin(&management, &key, None));
        Ok((revoked, relief))
    })
    .await?;
    let Some(relief) = relief else {
        return Ok(revoked);
    };
    relief.wait().await;
    let (revoked, _) = shared.revoked(revoked.key).await?;
    Ok(revoked)
}

async fn withdraw(
    management: &Management,
    actor: &Actor,
    organization: &OrganizationId,
    kid: &Kid,
) -> Result<SigningKey, Refusal> {
    let action = ManagementAction::SigningKeysRotate;
    let mut act = Act::begin(management, actor, organization, action).await?;
    let found = act.write.signing_key(kid).await?;
    let mut key = found.ok_or(Refusal::NotFound(Kind::SigningKey))?;
    let was = key.life.state();
    match was {
        State::Revoked => return Ok(key),
        State::Retired => {
            let schedule = act.schedule().await?;
            return Err(Refusal::SigningKeyRetired(Ended::of(
                &key, &schedule, act.now,
            )));
        }
        State::Next | State::Active | State::Retiring => {}
    }
    if is_young(&key, act.now) {
        require_calm(&mut act, actor).await?;
    }
    let instead = (was == State::Active).then(|| Prepared::instead_of(key.kind()));
    key.life.revoke(act.now);
    if let Some(instead) = &instead {
        key.replaced_by = Some(instead.kid().clone());
    }
    act.write.save_signing_key(&key).await?;
    let (mut replacement, mut given_up) = (None, None);
    if let Some(instead) = instead {
        let published = act.write.published_signing_keys().await?;
        given_up = give_up_next(&mut act, &published).await?;
        replacement = Some(instead.insert(&mut act, Signs::AtOnce).await?);
    }
    act.commit(Did {
        action: "signing_key.revoke",
        target: kid.to_string(),
        details: json!({
            "was": was.as_str(),
            "replaced_by": replacement.as_ref().map(|key| &key.kid),
            "given_up": given_up,
        }),
        changes: vec![Change::Organization(organization.clone())],
    })
    .await?;
    Ok(key)
}

impl Management {
    /// What is to be told of a key that was withdrawn, and which key stands in at the end of those
    /// that came after it, if one does.
    async fn revoked(&self, key: SigningKey) -> Result<(Revoked, Option<SigningKey>), StoreError> {
        let stands_in = |key: &SigningKey| key.life.stands_in_for.is_some();
        let replacement = self.successor(&key).await?;
        let (mut last, mut stand_in) = (replacement.clone(), None);
        for _ in 0..MOST_STAND_INS {
            let Some(one) = last.take_if(|key| stands_in(key)) else {
                break;
            };
            last = self.successor(&one).await?;
            stand_in = Some(one);
        }
        let is_over = last.is_some();
        let relief = last.filter(|key| stand_in.is_some() && !stands_in(key));
        let revoked = Revoked {
            key,
            replacement,
            relief,
            schedule: self.schedule().await?,
        };
        Ok((revoked, stand_in.filter(|_| !is_over)))
    }

    async fn successor(&self, key: &SigningKey) -> Result<Option<SigningKey>, StoreError> {
        match &key.replaced_by {
            Some(kid) => self.store.signing_key(&key.organization, kid).await,
            None => Ok(None),
        }
    }
}
