//! Rotations of the root key done again: what is sealed in a backup goes over to the root key that
//! became current after it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use super::edits::NotDone;
use super::entry::Entry;
use super::succession::is_rotation;
use crate::domain::timestamp::Timestamp;
use crate::manage::Management;
use crate::manage::act::Act;
use crate::manage::refusal::Refusal;
use crate::manage::root_keys::rotate::{Rotated, carry, carry_over, pass_traces_on};
use crate::manage::root_keys::{RootKeyRefusal, follow};
use crate::store::audit::AuditRow;
use crate::store::error::StoreError;
use crate::store::root_keys::InTurn;

/// A root key from before that something still needs, and that is not held: no server starts
/// without it.
#[derive(Clone, Debug, Serialize)]
pub struct MissingRootKey {
    /// Its id.
    pub id: String,
    /// When another took its place.
    pub superseded_at: Timestamp,
    /// Organizations whose audit chains go on under it.
    pub organizations: i64,
    /// Signing keys that it sealed.
    pub signing_keys: i64,
    /// API keys that need it.
    pub api_keys: i64,
}

/// Root keys that the database does not know, of which one may have taken the place of its current one
/// after the backup, as because that leaked.
#[derive(Debug)]
pub struct UnknownRootKeys {
    /// The one that is current.
    pub current: String,
    /// Those that are held, in the order in which they were given.
    pub held: Vec<String>,
    known: BTreeSet<String>,
}

impl UnknownRootKeys {
    /// The last of these that the database does not know. It need not be held.
    #[must_use]
    pub fn last_of(&self, ids: &[String]) -> Option<String> {
        ids.iter().rfind(|id| !self.known.contains(*id)).cloned()
    }
}

/// Does again what was done with a root key. Of a rotation the log has proven that the root key is
/// held, and that the operator's log tells of it.
pub(super) async fn again(
    management: &Management,
    act: &mut Act<'_>,
    entry: &Entry<'_>,
    notes: &mut Vec<String>,
) -> Result<Result<bool, NotDone>, Refusal> {
    match entry.action() {
        "root_key.rotate" => go_over(management, act, entry, notes).await,
        // It follows from going over, once every organization has.
        "root_key.replace" => Ok(Ok(false)),
        _ => {
            let note = match ended(&entry.details) {
                0 => "API keys of the backup may still need it: give it up again when `tenmint \
                      root-key status` names none, or end them by --force. Those that ended with it \
                      ended again, as their organizations' logs tell"
                    .to_owned(),
                ended => format!("{ended} API keys ended with it, and no log tells which"),
            };
            Ok(Err(NotDone::Note(note)))
        }
    }
}

/// Root keys that were given up although API keys needed them, and how many ended with each. Which
/// they were, no log tells: those that the backup has were used until then, or were not.
pub(super) fn ended_with(rows: &[AuditRow]) -> BTreeMap<String, i64> {
    let dropped = rows.iter().filter(|row| row.action == "root_key.drop");
    let ended = dropped.map(|row| {
        let details = serde_json::from_str(&row.details).unwrap_or_default();
        (row.target.clone(), ended(&details))
    });
    ended.filter(|(_, ended)| *ended > 0).collect()
}

fn ended(details: &Value) -> i64 {
    details["api_keys_ended"].as_i64().unwrap_or_default()
}

async fn go_over(
    management: &Management,
    act: &mut Act<'_>,
    entry: &Entry<'_>,
    notes: &mut Vec<String>,
) -> Result<Result<bool, NotDone>, Refusal> {
    let to = entry.target();
    let from = act.write.root_key().to_owned();
    if from == to {
        return Ok(Ok(false));
    }
    if act.write.organization().id.is_operator() {
        if !act
            .write
            .supersede(&from, to, entry.at, InTurn::Yes)
            .await?
        {
            return Err(Refusal::Broken);
        }
        pass_traces_on(management, act, &from, to).await?;
    }
    for shut in carry(management, act, to).await?.shut {
        let kid = &shut.kid;
        notes.push(format!(
            "signing key {kid} does not open, and was left as it is"
        ));
    }
    Ok(Ok(true))
}

/// Goes on with the root keys as the database has them by now.
///
/// # Errors
/// When the current one is not held, or the database is unavailable.
pub(super) async fn follow_stored(management: &Management) -> Result<(), Refusal> {
    if let Some(stored) = management.store.root_keys().await? {
        follow(management, &[], stored)?;
    }
    Ok(())
}

/// After rotations were done again: carries everything over that no log told of. `None` where there
/// is nothing to do.
///
/// # Errors
/// What `tenmint root-key rotate` would say, which finishes it.
pub async fn replace_everywhere(
    management: &Arc<Management>,
) -> Result<Option<Rotated>, RootKeyRefusal> {
    let stored = management.store.root_keys().await?;
    let keyring = management.crypto.keyring();
    let unfinished = stored.is_some_and(|stored| {
        let mut former = stored.former.iter();
        former.any(|former| former.trace.is_none() && keyring.holds(&former.id))
    });
    if !unfinished {
        return Ok(None);
    }
    carry_over(management, |_| {}).await.map(Some)
}

/// The root keys that became current, as these entries tell, in order.
pub(super) fn became_current<'r>(rows: impl Iterator<Item = &'r AuditRow>) -> Vec<String> {
    let rotated = rows.filter(|row| is_rotation(row));
    rotated.map(|row| row.target.clone()).collect()
}

/// Which root keys the database does not know, and will not when these entries of the operator's log
/// are done again; `None` before it knows any.
///
/// # Errors
/// When the database is unavailable.
pub async fn unknown_root_keys(
    management: &Management,
    rows: &[AuditRow],
) -> Result<Option<UnknownRootKeys>, StoreError> {
    let Some(stored) = management.store.root_keys().await? else {
        return Ok(None);
    };
    let current = stored.current;
    let known: BTreeSet<_> = std::iter::once(current.clone())
        .chain(stored.former.into_iter().map(|former| former.id))
        .chain(became_current(rows.iter()))
        .collect();
    let keyring = management.crypto.keyring();
    let held = keyring.ids().map(ToString::to_string);
    Ok(Some(UnknownRootKeys {
        current,
        held: held.filter(|id| !known.contains(id)).collect(),
        known,
    }))
}

/// The root keys from before that something still needs, and that are not held.
///
/// # Errors
/// When the database is unavailable.
pub async fn missing_root_keys(management: &Management) -> Result<Vec<MissingRootKey>, StoreError> {
    let Some(stored) = management.store.root_keys().await? else {
        return Ok(Vec::new());
    };
    let keyring = management.crypto.keyring();
    let needs = management.store.root_key_needs(management.clock.now());
    let needs = needs.await?;
    let former = stored.former.into_iter();
    let absent = former.filter(|key| key.dropped_at.is_none() && !keyring.holds(&key.id));
    let missing = absent.filter_map(|key| {
        let need = needs.iter().find(|need| need.root_key == key.id).cloned();
        let need = need.unwrap_or_default();
        (need.is_any() || key.trace.is_none()).then_some(MissingRootKey {
            id: key.id,
            superseded_at: key.superseded_at,
            organizations: need.organizations,
            signing_keys: need.signing_keys,
            api_keys: need.api_keys,
        })
    });
    Ok(missing.collect())
}
