//! Rotations of the root key done again: what is sealed in a backup goes over to the root key that
//! became current after it.

use std::sync::Arc;

use serde_json::Value;

use super::edits::NotDone;
use crate::domain::timestamp::Timestamp;
use crate::manage::Management;
use crate::manage::act::Act;
use crate::manage::refusal::Refusal;
use crate::manage::root_keys::rotate::{Rotated, carry, carry_over, pass_traces_on};
use crate::manage::root_keys::{RootKeyRefusal, follow};
use crate::store::audit::AuditRow;
use crate::store::root_keys::InTurn;

/// Does again what was done with a root key. Of a rotation the log has proven that the root key is
/// held, and that the operator's log tells of it.
pub(super) async fn again(
    management: &Management,
    act: &mut Act<'_>,
    row: &AuditRow,
    details: &Value,
    at: Timestamp,
    notes: &mut Vec<String>,
) -> Result<Result<bool, NotDone>, Refusal> {
    match &*row.action {
        "root_key.rotate" => go_over(management, act, &row.target, at, notes).await,
        // It follows from going over, once every organization has.
        "root_key.replace" => Ok(Ok(false)),
        _ => {
            let ended = details["api_keys_ended"].as_i64().unwrap_or_default();
            let note = if ended > 0 {
                format!(
                    "{ended} API keys ended with it, and which cannot be told: they are in force \
                     again until it is given up again. Look at `tenmint root-key status`"
                )
            } else {
                "API keys of the backup still need it: give it up again when `tenmint root-key \
                 status` names none"
                    .to_owned()
            };
            Ok(Err(NotDone::Note(note)))
        }
    }
}

async fn go_over(
    management: &Management,
    act: &mut Act<'_>,
    to: &str,
    at: Timestamp,
    notes: &mut Vec<String>,
) -> Result<Result<bool, NotDone>, Refusal> {
    let from = act.write.root_key().to_owned();
    if from == to {
        return Ok(Ok(false));
    }
    if act.write.organization().id.is_operator() {
        if !act.write.supersede(&from, to, at, InTurn::Yes).await? {
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
