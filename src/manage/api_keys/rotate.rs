//! Keys given another secret, the one before counting beside it for a while.

use std::sync::Arc;

use serde_json::json;

use super::{Created, Precondition, created_before, to_act_on};
use crate::crypto::fingerprint;
use crate::domain::api_key::{ApiKey, Overlap, OverlapSpan, Status};
use crate::domain::management::ManagementAction;
use crate::domain::organization::OrganizationId;
use crate::domain::secret::KeyId;
use crate::manage::act::{Act, Did};
use crate::manage::caller::Actor;
use crate::manage::idempotency::{Attempt, Begun, Once};
use crate::manage::refusal::Refusal;
use crate::manage::{Management, Minted, to_its_end};
use crate::store::changes::Change;

/// Gives a key another secret under the same id. The one before still counts for `span`, and
/// never beyond the key's own end, which stays what it is.
///
/// It reveals a secret of the key: whoever rotates must hold all that the key holds.
///
/// # Errors
/// [`Refusal::RotationUnderWay`], [`Refusal::KeyRevoked`], [`Refusal::KeyExpired`],
/// [`Refusal::Changed`] or [`Refusal::TargetExceeds`] among others.
pub async fn rotate(
    management: Arc<Management>,
    actor: Actor,
    organization: OrganizationId,
    id: KeyId,
    span: OverlapSpan,
    precondition: Precondition,
    once: Once,
) -> Result<Created, Refusal> {
    actor.require(ManagementAction::ApiKeysUpdate)?;
    to_its_end(async move {
        let attempt = match management.begin_once(once).await? {
            Begun::Now(attempt) => attempt,
            Begun::Before(id) => {
                let before = created_before(&management, &organization, &id).await?;
                return Ok(Created {
                    warnings: Vec::new(),
                    ..before
                });
            }
        };
        let order = (id, span, precondition);
        let done = rotate_now(&management, &actor, &organization, order, &attempt).await;
        management.unless_done(attempt, done).await
    })
    .await
}

async fn rotate_now(
    management: &Management,
    actor: &Actor,
    organization: &OrganizationId,
    (id, span, precondition): (KeyId, OverlapSpan, Precondition),
    attempt: &Attempt,
) -> Result<Created, Refusal> {
    let minted = management.mint_for(id).await?;
    let action = ManagementAction::ApiKeysUpdate;
    let mut act = Act::begin(management, actor, organization, action).await?;
    let before = prepare(&mut act, id, &precondition).await?;
    attempt.settle(&mut act, &id.to_string()).await?;
    let after = rotated(&before, &minted, span, &act);
    act.write.replace_secret(&after, &minted.hash).await?;
    act.write.save_api_key(&after).await?;
    act.commit(Did {
        action: "api_key.rotate",
        target: id.to_string(),
        details: json!({
            "name": &after.name,
            "fingerprint": { "from": &before.fingerprint, "to": &after.fingerprint },
            "overlap_ends_at": after.overlap.as_ref().map(|overlap| overlap.ends_at),
        }),
        changes: vec![Change::Key(id)],
    })
    .await?;
    Ok(Created {
        key: after,
        secret: Some(minted.secret),
        warnings: Vec::new(),
    })
}

/// Ends the secret before at once. When a rotation no longer lets it count, this changes nothing
/// and answers the same.
///
/// # Errors
/// [`Refusal::NotFound`], [`Refusal::KeyRevoked`] or [`Refusal::Changed`] among others.
pub async fn finish(
    management: Arc<Management>,
    actor: Actor,
    organization: OrganizationId,
    id: KeyId,
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
        let Some(before) = key.overlap(act.now).cloned() else {
            return Ok(key);
        };
        end_before(&mut act, &mut key).await?;
        act.commit(Did {
            action: "api_key.rotate_finish",
            target: id.to_string(),
            details: json!({
                "name": &key.name, "fingerprint": &key.fingerprint,
                "ended_fingerprint": before.fingerprint, "overlap_ends_at": before.ends_at,
            }),
            changes: vec![Change::Key(id)],
        })
        .await?;
        Ok(key)
    })
    .await
}

/// Ends the secret before within an act.
pub(in crate::manage) async fn end_before(
    act: &mut Act<'_>,
    key: &mut ApiKey,
) -> Result<(), Refusal> {
    key.overlap = None;
    key.revision += 1;
    act.write.end_secret_before(key.id).await?;
    act.write.save_api_key(key).await?;
    Ok(())
}

/// The key as it is, once everything that could refuse the rotation was asked.
async fn prepare(
    act: &mut Act<'_>,
    id: KeyId,
    precondition: &Precondition,
) -> Result<ApiKey, Refusal> {
    let key = to_act_on(act, id, precondition).await?;
    match key.status(act.now) {
        Status::Revoked => return Err(Refusal::KeyRevoked),
        Status::Expired => return Err(Refusal::KeyExpired),
        Status::Active | Status::Disabled => {}
    }
    act.authority
        .require_whole(&key)
        .map_err(Refusal::TargetExceeds)?;
    match key.overlap(act.now) {
        Some(overlap) => Err(Refusal::RotationUnderWay(overlap.ends_at)),
        None => Ok(key),
    }
}

fn rotated(before: &ApiKey, minted: &Minted, span: OverlapSpan, act: &Act<'_>) -> ApiKey {
    let ends_at = span.ends_at(act.now, before.expires_at);
    ApiKey {
        fingerprint: fingerprint::of(&minted.secret),
        secret_created_at: act.now,
        overlap: ends_at.map(|ends_at| Overlap {
            fingerprint: before.fingerprint.clone(),
            created_at: before.secret_created_at,
            ends_at,
            last_use: before.secret_last_use.clone(),
        }),
        secret_last_use: None,
        revision: before.revision + 1,
        ..before.clone()
    }
}
