//! A backup brought up to the present: what was done after it was taken is done again where an
//! audit log tells of it, and where none does, keys are switched off rather than trusted.

mod chapter;
mod copy;
mod earlier;
mod edits;
mod entry;
mod export;
mod fork;
mod log;
mod made;
mod quarantine;
mod replay;
mod root_keys;
mod rotations;
mod signing_keys;
mod succession;
mod told;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;

use super::Management;
use super::act::{Act, Did};
use super::caller::Actor;
use super::refusal::{Kind, Refusal};
use crate::domain::management::ManagementAction;
use crate::domain::organization::OrganizationId;
use crate::domain::text::Name;
use crate::domain::timestamp::Timestamp;
use crate::store::changes::Change;

pub use chapter::Chapter;
pub use log::Logs;
pub use root_keys::{
    MissingRootKey, UnknownRootKeys, missing_root_keys, replace_everywhere, unknown_root_keys,
};

/// How many portions of a deleted organization are erased between looks at the database.
const PORTIONS: u32 = 100;

/// What becomes of keys of which no log tells what happened to them after the backup.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unknown {
    /// They are switched off.
    Quarantine,
    /// They are as they were in the backup, revoked ones in force again.
    Accept,
}

/// What was done to one organization.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Outcome {
    /// Which.
    pub organization: String,
    /// The last entry that the backup has of it.
    pub backup_entry: i64,
    /// The last entry that is known of it.
    pub log_entry: i64,
    /// Until when nothing else was done; or, if the log is not whole, when that entry was written.
    pub log_until: Option<Timestamp>,
    /// Whether it is proven that nothing else was done until then.
    pub log_whole: bool,
    /// Why whether more was done is not known; `None` if everything is, or no log tells of it.
    pub unknown_because: Option<String>,
    /// How many acts were done again.
    pub reapplied: u64,
    /// Keys that were switched off, and why each was.
    pub quarantined: Vec<Quarantined>,
    /// Signing keys that were withdrawn because nobody knows whether they were before, by `kid`.
    pub revoked_signing_keys: Vec<String>,
    /// Keys that were made after the backup, and are gone.
    pub lost_keys: Vec<LostKey>,
    /// Signing keys that were made after the backup and had not ended, by `kid`: they are gone.
    pub lost_signing_keys: Vec<String>,
    /// What else a person has to know.
    pub notes: Vec<String>,
}

/// A key that was switched off.
#[derive(Clone, Debug, Serialize)]
pub struct Quarantined {
    /// Its id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Why.
    pub why: String,
}

/// A key that is gone.
#[derive(Clone, Debug, Serialize)]
pub struct LostKey {
    /// Its id.
    pub id: String,
    /// What people called it.
    pub name: String,
}

/// Brings one organization up to the present, all of it or nothing. `unknown` is what to do with
/// its keys if the chapter does not tell everything; `None`: it does. Keys that need one of the root
/// keys `ended_with` are switched off. `root_keys` became current after the backup, as far as anything
/// tells: those that the database does not know by then are noted, for whoever looks at it later.
///
/// # Errors
/// See [`Refusal`].
pub async fn bring_up_to_date(
    management: &Management,
    chapter: Chapter,
    unknown: Option<Unknown>,
    ended_with: &BTreeMap<String, i64>,
    root_keys: &[String],
) -> Result<Option<Outcome>, Refusal> {
    let organization: OrganizationId = chapter
        .head
        .organization
        .parse()
        .map_err(|_| Refusal::NotFound(Kind::Organization))?;
    let unknown_root_keys = if organization.is_operator() {
        unknown_root_keys(management, &chapter.rows).await?
    } else {
        None
    };
    let action = ManagementAction::OrganizationsWrite;
    let actor = Actor::CommandLine;
    let mut act = match Act::begin(management, &actor, &organization, action).await {
        Ok(act) => act,
        // It was deleted before the backup.
        Err(Refusal::NotFound(_)) => return Ok(None),
        Err(other) => return Err(other),
    };
    let mut outcome = Outcome {
        organization: organization.to_string(),
        backup_entry: chapter.head.sequence,
        log_entry: chapter.last(),
        log_until: chapter.until.or(chapter.last_at()),
        log_whole: chapter.is_whole(),
        unknown_because: chapter.fault,
        ..Outcome::default()
    };
    let nothing = chapter.rows.is_empty() && unknown.is_none();
    let before = act.write.published_signing_keys().await?;
    let replayed = replay::replay(management, act, chapter.rows, &mut outcome).await?;
    let (mut act, remains) = (replayed.act, replayed.remains);
    if remains.is_none() {
        outcome.lost_signing_keys = made::lost(&mut act, chapter.made).await?;
    }
    match unknown {
        // Nothing of it counts any more.
        _ if remains.is_some() => {}
        Some(Unknown::Quarantine) => {
            quarantine::all(&mut act, &mut outcome).await?;
            quarantine::signing_keys(&mut act, &mut outcome).await?;
        }
        Some(Unknown::Accept) => outcome.notes.push(
            "accepted as it was in the backup: API keys and signing keys that were revoked since \
             are in force again"
                .to_owned(),
        ),
        None => {}
    }
    if remains.is_none() {
        quarantine::needing(&mut act, ended_with, &mut outcome).await?;
        signing_keys::require_one(management, &mut act, &before, &mut outcome).await?;
    }
    // That there was a restore at all, the operator's log tells.
    if nothing && outcome.quarantined.is_empty() && !organization.is_operator() {
        return Ok(Some(outcome));
    }
    let mut details = json!({
        "backup_entry": outcome.backup_entry, "log_entry": outcome.log_entry,
        "reapplied": outcome.reapplied, "unknown": unknown,
        "quarantined": outcome.quarantined.len(),
        "revoked_signing_keys": &outcome.revoked_signing_keys, "lost_keys": &outcome.lost_keys,
        "lost_signing_keys": &outcome.lost_signing_keys,
    });
    if let Some(unknown) = unknown_root_keys {
        details["root_key"] = json!(act.write.root_key());
        details["unknown_root_keys"] = json!(unknown.held);
        details["later_root_key"] = json!(unknown.last_of(root_keys));
    }
    act.commit(Did {
        action: "deployment.restore",
        target: organization.to_string(),
        details,
        changes: vec![Change::Organization(organization)],
    })
    .await?;
    if let Some(mut remains) = remains {
        while !management
            .store
            .erase_remains(&mut remains, PORTIONS)
            .await?
        {}
    }
    root_keys::follow_stored(management).await?;
    management.forget_destroyed_keys().await;
    Ok(Some(outcome))
}

/// What each organization that is not deleted is called. Those alone have keys.
///
/// # Errors
/// When the database is unavailable.
pub async fn living(management: &Management) -> Result<BTreeMap<String, Name>, Refusal> {
    let mut all = BTreeMap::new();
    let mut after = None;
    loop {
        let page = management.store.organizations(after.as_ref(), 100).await?;
        after = page.rows.last().map(|last| last.id.clone());
        all.extend(page.rows.into_iter().map(|o| (o.id.to_string(), o.name)));
        if !page.more {
            return Ok(all);
        }
    }
}
