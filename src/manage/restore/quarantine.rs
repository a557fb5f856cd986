//! Keys switched off because nobody can say what they should be.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Outcome, Quarantined};
use crate::domain::secret::KeyId;
use crate::manage::act::Act;
use crate::manage::refusal::Refusal;

const UNKNOWN: &str = "what happened to it after the backup is not known";

/// Switches off one key, unless it is of no use anyway.
pub(super) async fn one(
    act: &mut Act<'_>,
    id: KeyId,
    why: &str,
    outcome: &mut Outcome,
) -> Result<(), Refusal> {
    let Some(mut key) = act.write.api_key(id).await? else {
        return Ok(());
    };
    if key.revoked.is_some() || key.disabled_at.is_some() {
        return Ok(());
    }
    key.disabled_at = Some(act.now);
    key.revision += 1;
    act.write.save_api_key(&key).await?;
    let details = json!({ "name": &key.name, "fingerprint": &key.fingerprint, "quarantine": why });
    act.record(
        "api_key.disable",
        std::iter::once((id.to_string(), details)),
    )
    .await?;
    outcome.quarantined.push(Quarantined {
        id: id.to_string(),
        name: key.name.to_string(),
        why: why.to_owned(),
    });
    Ok(())
}

/// Switches off the keys that need root keys with which API keys ended: which ended, nobody knows.
pub(super) async fn needing(
    act: &mut Act<'_>,
    root_keys: &BTreeMap<String, i64>,
    outcome: &mut Outcome,
) -> Result<(), Refusal> {
    for (root_key, ended) in root_keys {
        let why = format!(
            "root key {root_key} was given up after the backup, and {ended} API keys that needed it \
             ended with it: this one may have been among them"
        );
        for id in act.write.own_keys_needing(root_key, act.now).await? {
            let id = id.parse().map_err(|_| Refusal::Broken)?;
            one(act, id, &why, outcome).await?;
        }
    }
    Ok(())
}

/// Withdraws every signing key of the backup that is still published: one of them may have been
/// withdrawn since because it leaked. Whoever calls sees to it that there is another.
pub(super) async fn signing_keys(act: &mut Act<'_>, outcome: &mut Outcome) -> Result<(), Refusal> {
    let mut entries = Vec::new();
    for mut key in act.write.published_signing_keys().await? {
        let was = key.life.state().as_str();
        key.life.revoke(act.now);
        act.write.save_signing_key(&key).await?;
        let details = json!({ "was": was, "replaced_by": null, "quarantine": UNKNOWN });
        entries.push((key.kid.to_string(), details));
    }
    let kids = entries.iter().map(|(kid, _)| kid.clone());
    outcome.revoked_signing_keys.extend(kids);
    act.record("signing_key.revoke", entries.into_iter()).await
}

/// Switches off every key that could be used.
pub(super) async fn all(act: &mut Act<'_>, outcome: &mut Outcome) -> Result<(), Refusal> {
    let keys = act.write.switch_off_all(act.now).await?;
    let each = keys.iter().map(|key| {
        let details = json!({
            "name": &key.name, "fingerprint": &key.fingerprint, "quarantine": UNKNOWN,
        });
        (key.id.clone(), details)
    });
    act.record("api_key.disable", each).await?;
    let keys = keys.into_iter().map(|key| Quarantined {
        id: key.id,
        name: key.name,
        why: UNKNOWN.to_owned(),
    });
    outcome.quarantined.extend(keys);
    Ok(())
}
