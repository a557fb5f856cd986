//! Many keys ended for good in one act: looked at first, then revoked, all or none.

use std::sync::Arc;

use serde_json::json;

use crate::domain::api_key::{ApiKey, KeyFilter, Revocation, RevokeReason};
use crate::domain::management::ManagementAction;
use crate::domain::organization::OrganizationId;
use crate::manage::act::{Act, Did};
use crate::manage::caller::Actor;
use crate::manage::refusal::Refusal;
use crate::manage::{Management, to_its_end};
use crate::store::changes::Change;

/// How many keys one act revokes at most: others wait for it meanwhile.
const MOST: usize = 10_000;

/// Up to how many keys are told to other nodes one by one. Of more, they are told that
/// everything of the organization is to be read again.
const TOLD_SINGLY: usize = 100;

/// The keys that [`revoke_many`] would revoke now, in the order of their making.
///
/// # Errors
/// [`Refusal::Invalid`] when there are too many for one act, among others.
pub async fn preview_revoke(
    management: &Management,
    actor: &Actor,
    organization: &OrganizationId,
    filter: &KeyFilter,
) -> Result<Vec<ApiKey>, Refusal> {
    actor.require(ManagementAction::ApiKeysRevoke)?;
    management.require_organization(actor, organization).await?;
    let now = management.clock.now();
    let store = &management.store;
    let keys = store.matching_api_keys(organization, filter, now, MOST + 1);
    not_too_many(keys.await?)
}

/// Revokes all keys for which a filter holds, the caller's own if it is among them. They must be
/// as many as the caller expects.
///
/// # Errors
/// [`Refusal::CountChanged`] when there are more or fewer: then nothing was done.
pub async fn revoke_many(
    management: Arc<Management>,
    actor: Actor,
    organization: OrganizationId,
    filter: KeyFilter,
    reason: RevokeReason,
    expected: usize,
) -> Result<Vec<ApiKey>, Refusal> {
    let action = ManagementAction::ApiKeysRevoke;
    actor.require(action)?;
    to_its_end(async move {
        let mut act = Act::begin(&management, &actor, &organization, action).await?;
        let now = act.now;
        let keys = act.write.matching_api_keys(&filter, now, MOST + 1).await?;
        let mut keys = not_too_many(keys)?;
        let count = keys.len();
        if count != expected {
            return Err(Refusal::CountChanged { count });
        }
        if keys.is_empty() {
            return Ok(keys);
        }
        let revocation = Revocation { at: now, reason };
        let ids: Vec<_> = keys.iter().map(|key| key.id).collect();
        let revoked = act.write.revoke_api_keys(&ids, revocation).await?;
        if usize::try_from(revoked) != Ok(count) {
            // Acts on an organization take turns: this is a fault of ours, and no act.
            return Err(Refusal::Broken);
        }
        let each = keys.iter().map(|key| {
            let details = json!({
                "name": &key.name, "fingerprint": &key.fingerprint, "reason": reason,
            });
            (key.id.to_string(), details)
        });
        act.record("api_key.revoke", each).await?;
        act.commit(Did {
            action: "api_key.bulk_revoke",
            target: organization.to_string(),
            details: json!({ "filter": &filter, "reason": reason, "count": count }),
            changes: if count > TOLD_SINGLY {
                vec![Change::Organization(organization)]
            } else {
                keys.iter().map(|key| Change::Key(key.id)).collect()
            },
        })
        .await?;
        for key in &mut keys {
            key.revoked = Some(revocation);
            key.next_notice_at = None;
            key.revision += 1;
        }
        Ok(keys)
    })
    .await
}

fn not_too_many(keys: Vec<ApiKey>) -> Result<Vec<ApiKey>, Refusal> {
    if keys.len() <= MOST {
        return Ok(keys);
    }
    let why = format!(
        "more than {MOST} keys match: narrow the filter, for instance by search with the beginning \
         of ids, and repeat; the operator can suspend the organization to stop all at once"
    );
    Err(Refusal::invalid("/filter", why))
}
