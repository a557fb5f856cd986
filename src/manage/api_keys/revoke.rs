//! Keys ended for good.

use std::sync::Arc;

use serde_json::json;

use super::{Precondition, to_act_on};
use crate::domain::api_key::{ApiKey, Revocation, RevokeReason};
use crate::domain::management::ManagementAction;
use crate::domain::organization::OrganizationId;
use crate::domain::secret::KeyId;
use crate::manage::act::{Act, Did};
use crate::manage::caller::Actor;
use crate::manage::refusal::Refusal;
use crate::manage::{Management, to_its_end};
use crate::store::changes::Change;

/// Revokes a key for good. Repeating it changes nothing and answers the same.
///
/// # Errors
/// [`Refusal::NotFound`] when there is none, or it is another organization's.
pub async fn revoke(
    management: Arc<Management>,
    actor: Actor,
    organization: OrganizationId,
    id: KeyId,
    reason: RevokeReason,
    precondition: Precondition,
) -> Result<ApiKey, Refusal> {
    let action = ManagementAction::ApiKeysRevoke;
    actor.require(action)?;
    to_its_end(async move {
        let mut act = Act::begin(&management, &actor, &organization, action).await?;
        let mut key = to_act_on(&mut act, id, &precondition).await?;
        if key.revoked.is_some() {
            return Ok(key);
        }
        end(&mut act, &mut key, reason).await?;
        act.commit(Did {
            action: "api_key.revoke",
            target: id.to_string(),
            details: json!({
                "name": &key.name, "fingerprint": &key.fingerprint, "reason": reason,
            }),
            changes: vec![Change::Key(id)],
        })
        .await?;
        Ok(key)
    })
    .await
}

/// Ends a key within an act.
pub(in crate::manage) async fn end(
    act: &mut Act<'_>,
    key: &mut ApiKey,
    reason: RevokeReason,
) -> Result<(), Refusal> {
    key.revoked = Some(Revocation {
        at: act.now,
        reason,
    });
    key.next_notice_at = None;
    key.revision += 1;
    act.write.save_api_key(key).await?;
    Ok(())
}
