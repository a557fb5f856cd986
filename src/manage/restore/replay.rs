//! Acts done again, in their order, as their audit entries tell of them.

use std::collections::{BTreeMap, BTreeSet};

use super::edits::{self, NotDone};
use super::entry::Entry;
use super::{LostKey, Outcome, quarantine, root_keys, rotations, signing_keys};
use crate::domain::api_key::{ApiKey, Revocation, RevokeReason};
use crate::domain::organization::Organization;
use crate::domain::secret::KeyId;
use crate::domain::timestamp::Timestamp;
use crate::manage::Management;
use crate::manage::act::Act;
use crate::manage::refusal::Refusal;
use crate::store::audit::AuditRow;
use crate::store::denied_tokens::DeniedToken;
use crate::store::organizations::deletion::Remains;

/// Does again what entries tell of, and takes the entries back into the log. What cannot be done
/// again exactly ends in a key that is switched off, or in a note.
pub(super) async fn replay<'a>(
    management: &'a Management,
    act: Act<'a>,
    rows: Vec<AuditRow>,
    outcome: &mut Outcome,
) -> Result<Replayed<'a>, Refusal> {
    let mut replay = Replay {
        management,
        remains: None,
        organization: act.write.organization().clone(),
        act,
        outcome,
        doubtful: BTreeMap::new(),
        rotated: BTreeSet::new(),
        lost: BTreeMap::new(),
        done: Vec::new(),
    };
    for row in rows {
        replay.entry(row).await?;
    }
    replay.finish().await
}

/// An act in which everything was done again.
pub(super) struct Replayed<'a> {
    pub(super) act: Act<'a>,
    /// What is left of the organization, if it was deleted by that.
    pub(super) remains: Option<Remains>,
}

struct Replay<'a, 'o> {
    management: &'a Management,
    remains: Option<Remains>,
    act: Act<'a>,
    outcome: &'o mut Outcome,
    /// The organization as it has become.
    organization: Organization,
    /// Keys that are to be switched off, and why.
    doubtful: BTreeMap<String, String>,
    /// Keys whose newest secret was made after the backup.
    rotated: BTreeSet<String>,
    /// Keys made after the backup that no later act ended.
    lost: BTreeMap<String, String>,
    /// Entries done again that are not in the log yet.
    done: Vec<AuditRow>,
}

impl<'a> Replay<'a, '_> {
    async fn entry(&mut self, row: AuditRow) -> Result<(), Refusal> {
        let entry = Entry::of(&row, self.act.now);
        if row.action == "organization.delete" {
            // What is in the log until then is emptied, and not its own entry.
            self.take_back().await?;
            self.remains = Some(self.act.write.delete_organization(entry.at).await?);
            self.doubtful.clear();
            self.rotated.clear();
            self.lost.clear();
            self.outcome.reapplied += 1;
        } else {
            if row.action == "root_key.rotate" {
                // What was done before is in the log under the root key before.
                self.take_back().await?;
            }
            let done = match row.target.parse::<KeyId>() {
                Ok(id) if row.action.starts_with("api_key.") => self.on_key(id, &entry).await?,
                Ok(key) if row.action == "token.revoke" => self.on_token(key, &entry).await?,
                _ if row.action.starts_with("root_key.") => {
                    let (act, notes) = (&mut self.act, &mut self.outcome.notes);
                    root_keys::again(self.management, act, &entry, notes).await?
                }
                _ if row.action.starts_with("signing_key.") => {
                    Ok(signing_keys::again(&mut self.act, &entry).await?)
                }
                _ => {
                    let (act, organization) = (&mut self.act, &mut self.organization);
                    edits::on_organization(act, organization, &entry).await?
                }
            };
            self.note(done, &row);
        }
        self.done.push(row);
        Ok(())
    }

    /// Keeps what became of an entry.
    fn note(&mut self, done: Result<bool, NotDone>, row: &AuditRow) {
        match done {
            Ok(done) => self.outcome.reapplied += u64::from(done),
            Err(NotDone::Key(id, why)) => {
                self.doubtful.insert(id.to_string(), why);
            }
            Err(NotDone::Note(why)) => {
                let (sequence, action) = (row.sequence, &row.action);
                let note = format!("entry {sequence}, {action} of {}: {why}", row.target);
                self.outcome.notes.push(note);
            }
        }
    }

    async fn on_key(
        &mut self,
        id: KeyId,
        entry: &Entry<'_>,
    ) -> Result<Result<bool, NotDone>, Refusal> {
        let Entry { details, at, .. } = entry;
        let Some(mut key) = self.act.write.api_key(id).await? else {
            match entry.action() {
                "api_key.create" => {
                    let name = details["name"].as_str().unwrap_or_default();
                    self.lost.insert(id.to_string(), name.to_owned());
                }
                "api_key.revoke" => {
                    self.lost.remove(&id.to_string());
                }
                _ => {}
            }
            return Ok(Ok(false));
        };
        match entry.action() {
            "api_key.revoke" => {
                let reason = details["reason"].as_str().and_then(RevokeReason::from_name);
                revoke(&mut key, *at, reason.unwrap_or_default());
            }
            "api_key.disable" => key.disabled_at = Some(*at),
            "api_key.enable" => key.disabled_at = None,
            "api_key.update" => {
                let edited = edits::on_key(&mut self.act, &key, details).await?;
                match edited {
                    Ok(edited) => key = edited,
                    Err(why) => return Ok(Err(NotDone::Key(id, why))),
                }
            }
            "api_key.rotate" => {
                self.rotated.insert(id.to_string());
                return Ok(Ok(false));
            }
            "api_key.rotate_finish" => {
                if !rotations::finish(&mut self.act, &mut key, details).await? {
                    return Ok(Ok(false));
                }
            }
            "api_key.rotate_undo" => {
                if !rotations::undo(&mut self.act, &mut key, entry).await? {
                    self.rotated.insert(id.to_string());
                    return Ok(Ok(false));
                }
                // The secret that is lost was given up: the one that counts is here.
                self.rotated.remove(&id.to_string());
            }
            // Owners were told; nothing of the key changed.
            "api_key.expiring" | "api_key.expired" | "api_key.unused" => return Ok(Ok(false)),
            other => {
                let why = format!("{other} was done to it after the backup");
                return Ok(Err(NotDone::Key(id, why)));
            }
        }
        key.revision += 1;
        self.act.write.save_api_key(&key).await?;
        Ok(Ok(true))
    }

    async fn on_token(
        &mut self,
        key: KeyId,
        entry: &Entry<'_>,
    ) -> Result<Result<bool, NotDone>, Refusal> {
        let Entry { details, at, .. } = entry;
        let end = details["expires_at"].as_str().map(str::parse::<Timestamp>);
        let (Some(jti), Some(Ok(expires_at))) = (details["jti"].as_str(), end) else {
            let why = "a token of it was revoked after the backup, and which is not known";
            return Ok(Err(NotDone::Key(key, why.to_owned())));
        };
        let denied = DeniedToken {
            jti,
            key,
            expires_at,
        };
        Ok(Ok(self.act.write.deny(denied, *at).await?))
    }

    /// Takes the entries done again so far back into the log.
    async fn take_back(&mut self) -> Result<(), Refusal> {
        let rows = std::mem::take(&mut self.done);
        let chain = self.act.chain()?;
        Ok(self.act.write.readopt(rows, &chain).await?)
    }

    async fn finish(mut self) -> Result<Replayed<'a>, Refusal> {
        self.take_back().await?;
        let rotated = std::mem::take(&mut self.rotated).into_iter();
        let mut doubtful = std::mem::take(&mut self.doubtful);
        doubtful.extend(rotated.map(|id| (id, rotations::LOST.to_owned())));
        for (id, why) in doubtful {
            let id = id.parse().map_err(|_| Refusal::Broken)?;
            quarantine::one(&mut self.act, id, &why, self.outcome).await?;
        }
        let lost = self.lost.into_iter();
        self.outcome
            .lost_keys
            .extend(lost.map(|(id, name)| LostKey { id, name }));
        Ok(Replayed {
            act: self.act,
            remains: self.remains,
        })
    }
}

/// Ends a key as it was ended.
pub(super) fn revoke(key: &mut ApiKey, at: Timestamp, reason: RevokeReason) {
    key.revoked = Some(Revocation { at, reason });
    key.next_notice_at = None;
}
