//! Keys that another system gave out, imported batch by batch: each an act.
//!
//! For whoever sits at the machine alone. That a string is there already, be it another
//! organization's, is told by its refusal, and nobody else may ask that.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use serde_json::json;

use super::{effective, ends_at, fresh, require_short_tokens};
use crate::crypto::imported::{Imported, Kept, Lookup};
use crate::crypto::random;
use crate::domain::api_key::{ApiKey, NewApiKey};
use crate::domain::management::ManagementAction;
use crate::domain::organization::OrganizationId;
use crate::domain::secret::KeyId;
use crate::domain::timestamp::Timestamp;
use crate::manage::Management;
use crate::manage::act::{Act, Did};
use crate::manage::caller::Actor;
use crate::manage::refusal::Refusal;
use crate::store::changes::Change;
use crate::store::imports::NewRow;

pub use crate::store::imports::Progress;

/// Most keys whose strings begin alike: each costs a string that begins so a slow hash.
const MOST_ALIKE: u64 = 4;

/// Most lengths of beginnings in a deployment: each costs every unknown string a look.
const MOST_LENGTHS: usize = 4;

/// A key to import, each part already checked by itself.
pub struct Row {
    /// Which line of the file it is.
    pub line: u64,
    /// What the platform kept of its string.
    pub kept: Kept,
    /// What else there is to say of it.
    pub new: NewApiKey,
}

/// A line that no key was made of. Tells nothing of what the line holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rejected {
    /// Which.
    pub line: u64,
    /// Why.
    pub reason: String,
}

/// Lines that are imported together.
pub struct Batch<'a> {
    /// The SHA-256 of the file, in hexadecimal digits.
    pub file: &'a str,
    /// The good ones.
    pub rows: Vec<Row>,
    /// The bad ones.
    pub rejected: Vec<Rejected>,
    /// How many lines of the file are read with these.
    pub lines: u64,
    /// Whether they are the last.
    pub last: bool,
}

/// Why a batch was not imported.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// The act was refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Somebody else imports the same file.
    #[error("this file is being imported by somebody else")]
    Overtaken,
    /// The refused lines could not be told.
    #[error("cannot write what was refused: {0}")]
    Untold(#[from] io::Error),
}

/// How far the import of a file is.
///
/// # Errors
/// When the database is unavailable.
pub async fn progress(
    management: &Management,
    organization: &OrganizationId,
    file: &str,
) -> Result<Option<Progress>, Refusal> {
    Ok(management.store.import_progress(organization, file).await?)
}

/// Imports a batch behind `before`, as one act, and tells the lines that were refused before it
/// commits: `tell` must have written them down when it returns.
///
/// # Errors
/// See [`Failed`]. Nothing of the batch is imported then.
pub async fn import(
    management: &Arc<Management>,
    organization: &OrganizationId,
    before: Progress,
    batch: Batch<'_>,
    tell: impl FnOnce(&[Rejected]) -> io::Result<()>,
) -> Result<Progress, Failed> {
    let action = ManagementAction::ApiKeysCreate;
    let mut act = Act::begin(management, &Actor::CommandLine, organization, action).await?;
    let found = act.write.import_progress(batch.file).await;
    if found.map_err(Refusal::from)?.unwrap_or_default() != before {
        return Err(Failed::Overtaken);
    }
    let mut rejected = batch.rejected;
    let made: Vec<_> = batch
        .rows
        .into_iter()
        .map(|row| Made::of(management, row))
        .collect();
    let unique = made.iter().flat_map(Made::unique).collect::<Vec<_>>();
    let there = act.write.imported_of(&unique).await;
    let mut there = there.map_err(Refusal::from)?;
    let mut rows: Vec<NewRow> = Vec::with_capacity(made.len());
    let root_key = management.crypto.keyring().current().to_string();
    for one in made {
        let line = one.row.line;
        if one.root_key != root_key {
            // The root key was replaced this moment: the batch is begun anew under the next.
            return Err(Refusal::Changed.into());
        }
        match prepare(management, &mut act, one, &there, &rows).await {
            Ok(new) => {
                there.insert(new.unique.clone());
                rows.push(new);
            }
            Err(Refusal::Invalid { pointer, why }) => rejected.push(Rejected {
                line,
                reason: format!("{}: {why}", &pointer[1..]),
            }),
            Err(other) => return Err(other.into()),
        }
    }
    rejected.sort_by_key(|one| one.line);
    let (imported, refused) = (rows.len() as u64, rejected.len() as u64);
    let progress = Progress {
        lines: batch.lines,
        imported: before.imported + imported,
        rejected: before.rejected + refused,
    };
    let now = act.now;
    let write = &mut act.write;
    let stored = write.insert_imported(&rows, &root_key, now).await;
    stored.map_err(Refusal::from)?;
    let noted = write.note_import(batch.file, progress, now, batch.last);
    noted.await.map_err(Refusal::from)?;
    tell(&rejected)?;
    let did = Did {
        action: "api_key.import",
        target: organization.to_string(),
        details: json!({
            "file_sha256": batch.file, "lines": { "from": before.lines + 1, "to": batch.lines },
            "imported": imported, "rejected": refused,
        }),
        changes: vec![Change::Imports],
    };
    act.commit(did).await?;
    Ok(progress)
}

/// A row, and what is stored of its string.
struct Made {
    id: KeyId,
    row: Row,
    imported: Imported,
    root_key: String,
    /// What would be unique of it under former root keys.
    former: Vec<Lookup>,
}

impl Made {
    fn of(management: &Management, row: Row) -> Self {
        let id = KeyId::new(random::ulid(management.clock.unix_millis()));
        let (imported, root_key) = management.crypto.import(id, &row.kept);
        Self {
            former: management.crypto.formerly_unique(id, &row.kept),
            root_key: root_key.to_string(),
            id,
            row,
            imported,
        }
    }

    fn unique(&self) -> impl Iterator<Item = &Lookup> {
        std::iter::once(&self.imported.unique).chain(&self.former)
    }
}

/// What is to be stored of a row, beside `others`, where what is in `there` is stored already.
async fn prepare(
    management: &Management,
    act: &mut Act<'_>,
    made: Made,
    there: &HashSet<Lookup>,
    others: &[NewRow],
) -> Result<NewRow, Refusal> {
    if made.unique().any(|lookup| there.contains(lookup)) {
        let why = "this string, or hash, is imported already";
        return Err(Refusal::invalid("/secret", why));
    }
    let Made {
        id, row, imported, ..
    } = made;
    let key = key(management, act, id, row.new).await?;
    if let Kept::Slow { prefix, .. } = &row.kept {
        let alike = others
            .iter()
            .filter(|other| other.lookup == imported.lookup);
        let alike = alike.count() as u64 + act.write.count_sharing(&imported.lookup).await?;
        if alike >= MOST_ALIKE {
            let why = format!(
                "{MOST_ALIKE} strings begin so already: give a longer beginning, that tells them \
                 apart"
            );
            return Err(Refusal::invalid("/prefix", why));
        }
        if !act.write.use_prefix(prefix.len(), MOST_LENGTHS).await? {
            let why = format!(
                "beginnings of {MOST_LENGTHS} other lengths are in use: give one of such a length"
            );
            return Err(Refusal::invalid("/prefix", why));
        }
    }
    let json = |value: serde_json::Result<String>| value.expect("strings are JSON");
    let new = NewRow {
        id: id.to_string(),
        name: key.name.to_string(),
        description: key.description.map(|text| text.to_string()),
        scopes: json(serde_json::to_string(&key.scopes)),
        roles: key.roles.iter().map(ToString::to_string).collect(),
        networks: json(serde_json::to_string(&key.networks)),
        rate: key.rate_limit.map(|rate| (rate.limit, rate.window)),
        exchange_only: i64::from(key.exchange_only),
        external_id: key.external_id.map(|text| text.to_string()),
        metadata: json(serde_json::to_string(&key.metadata)),
        expires_at: key.expires_at.map(Timestamp::unix),
        next_notice_at: key.next_notice_at.map(Timestamp::unix),
        fingerprint: imported.fingerprint,
        hash: imported.hash,
        lookup: imported.lookup,
        unique: imported.unique,
    };
    Ok(new)
}

/// The key as it becomes, once everything that could refuse it was asked.
async fn key(
    management: &Management,
    act: &mut Act<'_>,
    id: KeyId,
    new: NewApiKey,
) -> Result<ApiKey, Refusal> {
    let expires_at = ends_at(act, &new)?;
    // A row may hold anything in place of a role's name, a string among it: it is not repeated.
    let effective =
        effective(act, &new.scopes, &new.roles)
            .await
            .map_err(|refusal| match refusal {
                Refusal::Invalid {
                    pointer: "/roles", ..
                } => Refusal::invalid("/roles", "one of them is not there: create it first"),
                other => other,
            })?;
    let mut actions = ManagementAction::ALL.into_iter();
    if let Some(action) = actions.find(|action| effective.covers(&action.scope())) {
        let why = format!(
            "{} runs tenmint itself: make a key of tenmint's own for that",
            action.as_str()
        );
        return Err(Refusal::invalid("/scopes", why));
    }
    let key = fresh(act, id, new, effective, expires_at);
    require_short_tokens(management, &key)?;
    Ok(key)
}
