//! Keys that another system gave out, imported batch by batch: each an act.
//!
//! For whoever sits at the machine alone. That a string is there already, be it another
//! organization's, is told by its refusal, and nobody else may ask that.

mod prepare;
mod there;

use std::io;
use std::sync::Arc;

use serde_json::json;

use crate::crypto::imported::{Imported, Kept, Lookup};
use crate::crypto::random;
use crate::domain::api_key::NewApiKey;
use crate::domain::management::ManagementAction;
use crate::domain::organization::OrganizationId;
use crate::domain::secret::KeyId;
use crate::manage::Management;
use crate::manage::act::{Act, Did};
use crate::manage::caller::Actor;
use crate::manage::refusal::Refusal;
use crate::store::changes::Change;
use crate::store::imports::NewRow;

use prepare::{Effective, prepare};
use there::There;

pub use crate::store::imports::Progress;

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
pub struct Batch {
    /// The good ones.
    pub made: Vec<Made>,
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

/// Gives back what keys take up that were imported, and whose strings cannot count any more: only so
/// many strings begin alike.
///
/// # Errors
/// When the database is unavailable.
pub async fn make_room(management: &Management) -> Result<(), Refusal> {
    let now = management.clock.now();
    Ok(management.store.forget_beginnings(now).await?)
}

/// Imports a batch behind `before` of a file whose SHA-256 is `file`, in hexadecimal digits, as one
/// act, and tells the lines that were refused before it commits: `tell` must have written them down
/// when it returns.
///
/// # Errors
/// See [`Failed`]. Nothing of the batch is imported then.
pub async fn import(
    management: &Arc<Management>,
    organization: &OrganizationId,
    file: &str,
    before: Progress,
    batch: Batch,
    tell: impl FnOnce(&[Rejected]) -> io::Result<()>,
) -> Result<Progress, Failed> {
    let action = ManagementAction::ApiKeysCreate;
    let mut act = Act::begin(management, &Actor::CommandLine, organization, action).await?;
    let found = act.write.import_progress(file).await;
    if found.map_err(Refusal::from)?.unwrap_or_default() != before {
        return Err(Failed::Overtaken);
    }
    let mut rejected = batch.rejected;
    let mut there = There::look(&mut act, &batch.made).await?;
    let mut known = Effective::default();
    let mut rows: Vec<NewRow> = Vec::with_capacity(batch.made.len());
    let root_key = management.crypto.keyring().current().to_string();
    for one in batch.made {
        let line = one.row.line;
        if one.root_key != root_key {
            // The root key was replaced this moment: the batch is begun anew under the next.
            return Err(Refusal::Changed.into());
        }
        match prepare(management, &mut act, one, &mut there, &mut known).await {
            Ok(new) => rows.push(new),
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
    let lengths = write.note_lengths(there.lengths()).await;
    lengths.map_err(Refusal::from)?;
    let noted = write.note_import(file, progress, now, batch.last);
    noted.await.map_err(Refusal::from)?;
    tell(&rejected)?;
    let did = Did {
        action: "api_key.import",
        target: organization.to_string(),
        details: json!({
            "file_sha256": file, "lines": { "from": before.lines + 1, "to": batch.lines },
            "imported": imported, "rejected": refused,
        }),
        changes: vec![Change::Imports],
    };
    act.commit(did).await?;
    Ok(progress)
}

/// A row, and what is stored of its string. To make one takes the processor for a while, and nobody
/// is to wait for that: it comes before the act.
pub struct Made {
    id: KeyId,
    row: Row,
    imported: Imported,
    root_key: String,
    /// What would be unique of it under former root keys.
    former: Vec<Lookup>,
}

impl Made {
    /// What is stored of a row under the present root key.
    #[must_use]
    pub fn of(management: &Management, row: Row) -> Self {
        let id = KeyId::new(random::ulid(management.clock.unix_millis()));
        let (imported, root_key) = management.crypto.import(id, &row.kept);
        Self {
            former: management.crypto.formerly_unique(&row.kept),
            root_key: root_key.to_string(),
            id,
            row,
            imported,
        }
    }

    fn unique(&self) -> impl Iterator<Item = &Lookup> {
        self.imported.unique.iter().chain(&self.former)
    }

    /// By what many strings may be found, if this one is found by that.
    fn beginning(&self) -> Option<&Lookup> {
        let slow = matches!(self.row.kept, Kept::Slow { .. });
        slow.then_some(&self.imported.lookup)
    }
}

/// Why no key whose string another system gave out is given an action, now or later: who had that
/// string, and for how long, tenmint does not know.
pub fn not_for_imported(action: ManagementAction) -> String {
    format!(
        "{} runs tenmint itself, which no imported string may: make a key of tenmint's own for that",
        action.as_str()
    )
}
