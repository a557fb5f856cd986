//! So many API keys of one organization, ended in one act with a root key that they need.

use serde_json::{Value, json};

use super::{Ended, Endings};
use crate::domain::api_key::{Revocation, RevokeReason};
use crate::domain::management::ManagementAction;
use crate::domain::organization::OrganizationId;
use crate::domain::secret::KeyId;
use crate::manage::Management;
use crate::manage::act::{Act, Did};
use crate::manage::api_keys::end_before;
use crate::manage::caller::Actor;
use crate::manage::refusal::Refusal;
use crate::store::changes::Change;
use crate::store::root_keys::CountingSecret;

/// Up to how many keys are told to other nodes one by one. Of more, they are told that
/// everything of the organization is to be read again.
const TOLD_SINGLY: usize = 100;

/// Ends those of these keys, in one act, that still need the root key.
pub(super) async fn end_portion(
    management: &Management,
    organization: &str,
    root_key: &str,
    keys: &[KeyId],
) -> Result<Endings, Refusal> {
    let organization: OrganizationId = organization.parse().map_err(|_| Refusal::Broken)?;
    let action = ManagementAction::ApiKeysRevoke;
    let begun = Act::begin(management, &Actor::CommandLine, &organization, action).await;
    let mut act = match begun {
        Ok(act) => act,
        // Deleted meanwhile, and its keys with it.
        Err(Refusal::NotFound(_)) => return Ok(Endings::default()),
        Err(other) => return Err(other),
    };
    let secrets = act.write.counting_secrets(keys, act.now).await?;
    let (mut whole, mut halves) = (Vec::new(), Vec::new());
    for of_key in secrets.chunk_by(|one, next| one.api_key_id == next.api_key_id) {
        let needs = |secret: &CountingSecret| secret.root_key == root_key;
        if of_key.iter().all(needs) {
            whole.push(of_key);
        } else if let Some(one) = of_key.iter().find(|secret| needs(secret)) {
            halves.push(one);
        }
    }
    let mut entries = Vec::new();
    revoke(&mut act, root_key, &whole, &mut entries).await?;
    let mut endings = Endings {
        api_keys: whole.len() as u64,
        secrets: Vec::new(),
    };
    for half in halves {
        let ended = end_one_of_two(&mut act, root_key, half, &mut entries).await?;
        endings.secrets.push(ended);
    }
    let keys: Vec<_> = entries.iter().map(|entry| Change::Key(entry.key)).collect();
    let Some(last) = entries.pop() else {
        return Ok(endings);
    };
    for alike in entries.chunk_by(|one, next| one.action == next.action) {
        let each = alike.iter();
        let each = each.map(|entry| (entry.key.to_string(), entry.details.clone()));
        act.record(alike[0].action, each).await?;
    }
    act.commit(Did {
        action: last.action,
        target: last.key.to_string(),
        details: last.details,
        changes: if keys.len() > TOLD_SINGLY {
            vec![Change::Organization(organization)]
        } else {
            keys
        },
    })
    .await?;
    Ok(endings)
}

/// An audit entry to be.
struct Entry {
    action: &'static str,
    key: KeyId,
    details: Value,
}

async fn revoke(
    act: &mut Act<'_>,
    root_key: &str,
    keys: &[&[CountingSecret]],
    entries: &mut Vec<Entry>,
) -> Result<(), Refusal> {
    if keys.is_empty() {
        return Ok(());
    }
    let reason = RevokeReason::RootKeyDropped;
    let mut ids = Vec::with_capacity(keys.len());
    for secrets in keys {
        // Each key has a secret without an end of its own.
        let lasting = secrets.iter().find(|secret| secret.expires_at.is_none());
        let lasting = lasting.ok_or(Refusal::Broken)?;
        let key = id_of(lasting)?;
        let details = json!({
            "name": &lasting.name, "fingerprint": &lasting.fingerprint, "reason": reason,
            "root_key": root_key,
        });
        ids.push(key);
        entries.push(Entry {
            action: "api_key.revoke",
            key,
            details,
        });
    }
    let revocation = Revocation {
        at: act.now,
        reason,
    };
    let revoked = act.write.revoke_api_keys(&ids, revocation).await?;
    if usize::try_from(revoked) == Ok(ids.len()) {
        Ok(())
    } else {
        // Acts on an organization take turns: this is a fault of ours, and no act.
        Err(Refusal::Broken)
    }
}

/// The other secret, which a rotation lets count beside it, goes on, and no longer than it would
/// have: it was not made under this root key, or was used since.
async fn end_one_of_two(
    act: &mut Act<'_>,
    root_key: &str,
    secret: &CountingSecret,
    entries: &mut Vec<Entry>,
) -> Result<Ended, Refusal> {
    let id = id_of(secret)?;
    let found = act.write.api_key(id).await?;
    let mut key = found.ok_or(Refusal::Broken)?;
    let ends_at = key.overlap(act.now).map(|before| before.ends_at);
    let mut details = json!({
        "name": &key.name, "ended_fingerprint": &secret.fingerprint,
        "reason": RevokeReason::RootKeyDropped, "root_key": root_key,
    });
    let action = if secret.expires_at.is_some() {
        details["overlap_ends_at"] = json!(ends_at);
        end_before(act, &mut key).await?;
        "api_key.rotate_finish"
    } else {
        let before = key.expires_at;
        key.undo_rotation(act.now).ok_or(Refusal::Broken)?;
        key.revision += 1;
        details["expires_at"] = json!({ "from": before, "to": key.expires_at });
        act.write.end_newest_secret(&key).await?;
        act.write.save_api_key(&key).await?;
        "api_key.rotate_undo"
    };
    details["fingerprint"] = json!(&key.fingerprint);
    entries.push(Entry {
        action,
        key: id,
        details,
    });
    Ok(Ended {
        organization: key.organization,
        key: id,
        fingerprint: secret.fingerprint.clone(),
        until: key.expires_at.filter(|_| secret.expires_at.is_none()),
    })
}

fn id_of(secret: &CountingSecret) -> Result<KeyId, Refusal> {
    secret.api_key_id.parse().map_err(|_| Refusal::Broken)
}
