//! Keys switched off, and on again.

use std::sync::Arc;

use serde_json::json;

use super::{Precondition, to_act_on};
use crate::domain::api_key::ApiKey;
use crate::domain::management::ManagementAction;
use crate::domain::organization::OrganizationId;
use crate::domain::secret::KeyId;
use crate::manage::act::{Act, Did};
use crate::manage::caller::Actor;
use crate::manage::policy;
use crate::manage::refusal::Refusal;
use crate::manage::{Management, to_its_end};
use crate::store::changes::Change;

/// Switches a key off until it is switched on again. Repeating it changes nothing and answers
/// the same.
///
/// # Errors
/// [`Refusal::NotFound`], [`Refusal::Changed`] or [`Refusal::KeyRevoked`] among others.
pub async fn disable(
    management: Arc<Management>,
    actor: Actor,
    organization: OrganizationId,
    id: KeyId,
    precondition: Precondition,
) -> Result<ApiKey, Refusal> {
    set_disabled(management, actor, organization, id, true, precondition).await
}

/// Switches a key on again. It gives back all that the key holds, and is a grant of it.
///
/// # Errors
/// [`Refusal::NotFound`], [`Refusal::KeyRevoked`] or [`Refusal::Exceeds`] among others.
pub async fn enable(
    management: Arc<Management>,
    actor: Actor,
    organization: OrganizationId,
    id: KeyId,
    precondition: Precondition,
) -> Result<ApiKey, Refusal> {
    set_disabled(management, actor, organization, id, false, precondition).await
}

async fn set_disabled(
    management: Arc<Management>,
    actor: Actor,
    organization: OrganizationId,
    id: KeyId,
    disabled: bool,
    precondition: Precondition,
) -> Result<ApiKey, Refusal> {
    let action = ManagementAction::ApiKeysUpdate;
    actor.require(action)?;
    to_its_end(async move {
        let mut act = Act::begin(&management, &actor, &organization, action).await?;
        let mut key = to_act_on(&mut act, id, &precondition).await?;
        if key.revoked.is_some() {
            return Err(Refusal::KeyRevoked);
        }
        if key.disabled_at.is_some() == disabled {
            return Ok(key);
        }
        if !disabled {
            act.authority
                .require_whole(&key)
                .map_err(Refusal::TargetExceeds)?;
        }
        key.disabled_at = disabled.then_some(act.now);
        if !disabled {
            policy::require(&mut act, None, &key)
                .await
                .map_err(Refusal::of_target)?;
        }
        key.revision += 1;
        act.write.save_api_key(&key).await?;
        act.commit(Did {
            action: if disabled {
                "api_key.disable"
            } else {
                "api_key.enable"
            },
            target: id.to_string(),
            details: json!({ "name": &key.name, "fingerprint": &key.fingerprint }),
            changes: vec![Change::Key(id)],
        })
        .await?;
        Ok(key)
    })
    .await
}
