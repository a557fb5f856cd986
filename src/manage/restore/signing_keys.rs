//! Signing keys as they became after a backup: one that was withdrawn or destroyed is not to sign
//! or to be published again.

use serde_json::json;

use super::Outcome;
use super::entry::Entry;
use crate::domain::signing_key::{KeySpec, Kid, SigningKey, State};
use crate::domain::timestamp::Timestamp;
use crate::manage::Management;
use crate::manage::act::Act;
use crate::manage::refusal::Refusal;
use crate::manage::signing_keys::{Prepared, Signs, active};

/// Does again what was done to a signing key; false if it is not here. One that was made after the
/// backup is lost, and is named as such.
pub(super) async fn again(act: &mut Act<'_>, entry: &Entry<'_>) -> Result<bool, Refusal> {
    let Entry { details, at, .. } = entry;
    let at = *at;
    let keys = act.write.published_signing_keys().await?;
    let named = |kid: Option<&str>| {
        let key = kid.and_then(|kid| keys.iter().find(|key| key.kid.as_str() == kid));
        key.cloned()
    };
    let target = named(Some(entry.target()));
    // Whoever withdraws one, or rotates in an emergency, does not trust the next one either.
    if let Some(mut next) = named(details["given_up"].as_str()) {
        next.life.retire(at);
        act.write.save_signing_key(&next).await?;
    }
    match (entry.action(), target) {
        ("signing_key.revoke", Some(mut key)) => {
            key.life.revoke(at);
            act.write.save_signing_key(&key).await?;
        }
        ("signing_key.retire", Some(mut key)) => {
            key.life.retire(at);
            act.write.save_signing_key(&key).await?;
        }
        ("signing_key.activate", Some(mut key)) => {
            if let Some(before) = active(&keys) {
                stop(act, before.clone(), at).await?;
            }
            key.life.activate(at);
            act.write.save_signing_key(&key).await?;
        }
        ("signing_key.rotate", _) if details["emergency"] == true => {
            let Some(before) = named(details["follows"].as_str()) else {
                return Ok(false);
            };
            stop(act, before, at).await?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

async fn stop(act: &mut Act<'_>, mut key: SigningKey, at: Timestamp) -> Result<(), Refusal> {
    if key.life.state() == State::Active {
        let schedule = act.schedule().await?;
        key.life.stop_signing(at, &schedule);
        act.write.save_signing_key(&key).await?;
    }
    Ok(())
}

/// Makes a key that signs at once where there were some, and none is left that may sign.
pub(super) async fn require_one(
    management: &Management,
    act: &mut Act<'_>,
    before: &[SigningKey],
    outcome: &mut Outcome,
) -> Result<(), Refusal> {
    let Some(last) = active(before).or(before.last()) else {
        return Ok(());
    };
    let keys = act.write.published_signing_keys().await?;
    if active(&keys).is_some() {
        return Ok(());
    }
    let key = insert(management, act, last.kind()).await?;
    let follows: Option<&Kid> = active(before).map(|key| &key.kid);
    let details = json!({
        "alg": key.algorithm, "emergency": true, "activates_at": key.life.activates_at,
        "follows": follows, "given_up": null,
    });
    act.record(
        "signing_key.rotate",
        std::iter::once((key.kid.to_string(), details)),
    )
    .await?;
    outcome.notes.push(format!(
        "the signing key of the backup is not to sign any more: {} was made, and signs at once. \
         Validators refuse its tokens until they fetch the keys anew",
        key.kid
    ));
    Ok(())
}

async fn insert(
    management: &Management,
    act: &mut Act<'_>,
    spec: KeySpec,
) -> Result<SigningKey, Refusal> {
    let organization = act.write.organization().id.clone();
    let prepared = Prepared::of(management, &organization, spec).await?;
    prepared.insert(act, Signs::AtOnce).await
}
