//! Keys that nobody uses: their owners are warned, and then the keys are revoked, where a policy
//! says so.

use serde_json::json;

use super::act::{Act, Did};
use super::caller::Actor;
use super::refusal::Refusal;
use super::{Management, api_keys};
use crate::domain::api_key::{ApiKey, Disuse, RevokeReason};
use crate::domain::management::ManagementAction;
use crate::domain::organization::{Organization, OrganizationId};
use crate::domain::secret::KeyId;
use crate::domain::timestamp::Timestamp;
use crate::store::changes::Change;
use crate::store::error::StoreError;

/// Does what follows from how long a key had not been used at `seen`: an instant up to which
/// every node's usage must be in the database.
///
/// # Errors
/// See [`Refusal`].
pub async fn attend(
    management: &Management,
    organization: &OrganizationId,
    id: KeyId,
    seen: Timestamp,
) -> Result<(), Refusal> {
    // Most keys need nothing, and keep nobody waiting.
    let Some(key) = management.store.api_key(organization, id).await? else {
        return Ok(());
    };
    let days = unused_after(management, organization).await?;
    match key.disuse(days, seen) {
        Disuse::Harmless if key.unused_warned_at.is_some() => {
            return Ok(management.store.forget_unused_warning(&key).await?);
        }
        Disuse::Harmless | Disuse::Warned => return Ok(()),
        Disuse::Warn | Disuse::Revoke => {}
    }
    let action = ManagementAction::ApiKeysRevoke;
    let mut act = Act::begin(management, &Actor::System, organization, action).await?;
    if is_exempt(act.write.organization(), id) {
        return Ok(());
    }
    let policy = act.write.organization().effective_policy();
    let days = policy.revoke_unused_after_days();
    let (Some(key), Some(days)) = (act.write.api_key(id).await?, days) else {
        return Ok(());
    };
    match key.disuse(Some(days), seen) {
        Disuse::Harmless | Disuse::Warned => Ok(()),
        Disuse::Warn => warn(act, key, days).await,
        Disuse::Revoke => revoke(act, key).await,
    }
}

/// After how many days without use keys of an organization are revoked, if they are.
///
/// # Errors
/// When the database is unavailable or the policy corrupt.
pub async fn unused_after(
    management: &Management,
    organization: &OrganizationId,
) -> Result<Option<u32>, StoreError> {
    let found = management.store.organization(organization).await?;
    Ok(found.and_then(|found| found.effective_policy().revoke_unused_after_days()))
}

/// Without its management key an organization could not be managed any more, nor without keys of
/// the operator any of them.
fn is_exempt(organization: &Organization, id: KeyId) -> bool {
    organization.id.is_operator() || organization.management_key == Some(id)
}

async fn warn(mut act: Act<'_>, mut key: ApiKey, days: u32) -> Result<(), Refusal> {
    key.unused_warned_at = Some(act.now);
    act.write.save_notices(&key).await?;
    let details = json!({
        "name": &key.name,
        "last_used_at": key.last_used_at,
        "will_be_revoked_at": key.unused_until(days, act.now),
    });
    act.commit(Did {
        action: "api_key.unused",
        target: key.id.to_string(),
        details,
        changes: Vec::new(),
    })
    .await
}

async fn revoke(mut act: Act<'_>, mut key: ApiKey) -> Result<(), Refusal> {
    let reason = RevokeReason::Unused;
    api_keys::end(&mut act, &mut key, reason).await?;
    act.commit(Did {
        action: "api_key.revoke",
        target: key.id.to_string(),
        details: json!({
            "name": &key.name, "fingerprint": &key.fingerprint, "reason": reason,
            "last_used_at": key.last_used_at,
        }),
        changes: vec![Change::Key(key.id)],
    })
    .await
}
