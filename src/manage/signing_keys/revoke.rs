//! Withdrawing a signing key that is no longer to be trusted.

use std::sync::Arc;

use serde_json::json;

use super::haste::{is_young, require_calm, require_calm_before};
use super::new::{Prepared, Signs, give_up_next};
use crate::domain::management::ManagementAction;
use crate::domain::organization::OrganizationId;
use crate::domain::signing_key::{Kid, SigningKey, State};
use crate::domain::timestamp::Timestamp;
use crate::manage::act::{Act, Did};
use crate::manage::caller::Actor;
use crate::manage::refusal::{Kind, Refusal};
use crate::manage::{Management, to_its_end};
use crate::store::changes::Change;

/// A signing key that was withdrawn.
#[derive(Debug)]
pub struct Revoked {
    /// The key.
    pub key: SigningKey,
    /// The key that was made in its place and signs now, if the key signed until this act.
    pub replacement: Option<SigningKey>,
    /// Until when validators that heed `Cache-Control` may go on accepting what it signs, or
    /// whoever else has it.
    pub cached_until: Timestamp,
    /// The same of validators that do not.
    pub cached_at_most_until: Timestamp,
}

/// Withdraws a signing key: it leaves the JWKS now, and tenmint refuses its tokens. If it signs, a
/// key made in its place signs at once, and a key that was next is given up: whoever got at the
/// one may have got at the other. A key that was revoked before stays as it is.
///
/// It waits for nothing that others do: an RSA key that is not there soon is stood in for.
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
    to_its_end(async move {
        let found = management.store.signing_key(&organization, &kid).await?;
        let before = found.ok_or(Refusal::NotFound(Kind::SigningKey))?;
        if matches!(before.life.state(), State::Next | State::Active)
            && is_young(&before, management.clock.now())
        {
            require_calm_before(&management, &actor, &organization).await?;
        }
        // Whether it was needed shows inside the act: the key may begin to sign meanwhile.
        let prepared = match before.life.state() {
            State::Active => Some(Prepared::at_once(&management, before.kind()).await),
            State::Next => Some(Prepared::instead_of(before.kind())),
            State::Retiring | State::Retired | State::Revoked => None,
        };
        let action = ManagementAction::SigningKeysRotate;
        let mut act = Act::begin(&management, &actor, &organization, action).await?;
        let found = act.write.signing_key(&kid).await?;
        let mut key = found.ok_or(Refusal::NotFound(Kind::SigningKey))?;
        let was = key.life.state();
        match was {
            State::Revoked => return Ok(management.revoked(key, None)),
            State::Retired => return Err(Refusal::SigningKeyRetired),
            State::Next | State::Active | State::Retiring => {}
        }
        if is_young(&key, act.now) {
            require_calm(&mut act, &actor).await?;
        }
        key.life.revoke(act.now);
        act.write.save_signing_key(&key).await?;
        let (mut replacement, mut given_up) = (None, None);
        if was == State::Active {
            let published = act.write.published_signing_keys().await?;
            given_up = give_up_next(&mut act, &published).await?;
            let prepared = prepared.ok_or(Refusal::Broken)?;
            let inserted = prepared.insert(&mut act, Signs::AtOnce);
            replacement = Some(inserted.await?);
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
        Ok(management.revoked(key, replacement))
    })
    .await
}

impl Management {
    fn revoked(&self, key: SigningKey, replacement: Option<SigningKey>) -> Revoked {
        let since = key.life.revoked_at.unwrap_or(key.created_at);
        let max_age = self.schedule.jwks_max_age();
        Revoked {
            cached_until: since.plus(max_age),
            cached_at_most_until: since.plus(self.schedule.slowest_cache()),
            key,
            replacement,
        }
    }
}
