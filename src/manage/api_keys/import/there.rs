//! What a batch must not collide with: asked of the database once, and added to row by row.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::Made;
use crate::crypto::imported::{Imported, Kept, Lookup};
use crate::manage::act::Act;
use crate::manage::refusal::Refusal;

/// Most keys whose strings begin alike: each costs a string that begins so a slow hash.
const MOST_ALIKE: u64 = 4;

/// Most lengths of beginnings in a deployment: each costs every unknown string a look.
const MOST_LENGTHS: usize = 4;

/// What is stored already of imported strings, and what is about to be.
pub(super) struct There {
    unique: HashSet<Lookup>,
    /// How many keys are found by each beginning.
    sharing: HashMap<Lookup, u64>,
    /// How long the beginnings are.
    lengths: BTreeSet<usize>,
}

impl There {
    /// What concerns these rows.
    pub(super) async fn look(act: &mut Act<'_>, rows: &[Made]) -> Result<Self, Refusal> {
        let unique: Vec<_> = rows.iter().flat_map(Made::unique).collect();
        let mut beginnings: Vec<_> = rows.iter().filter_map(Made::beginning).collect();
        beginnings.sort_unstable();
        beginnings.dedup();
        Ok(Self {
            unique: act.write.imported_of(&unique).await?,
            sharing: act.write.sharing(&beginnings).await?,
            lengths: act.write.beginning_lengths().await?,
        })
    }

    /// Refuses a row whose string is there already.
    pub(super) fn refuse_known(&self, row: &Made) -> Result<(), Refusal> {
        if row.unique().any(|lookup| self.unique.contains(lookup)) {
            let why = "this string, or hash, is imported already, in this form or another";
            let pointer = match row.row.kept {
                Kept::Whole { .. } => "/secret",
                Kept::Sha256(_) | Kept::Sha512(_) | Kept::Slow { .. } => "/hash",
            };
            return Err(Refusal::invalid(pointer, why));
        }
        Ok(())
    }

    /// Adds a row, unless too many strings would begin alike, or differ in how long their
    /// beginnings are.
    pub(super) fn add(&mut self, kept: &Kept, imported: &Imported) -> Result<(), Refusal> {
        if let Kept::Slow { prefix, .. } = kept {
            let alike = self.sharing.get(&imported.lookup);
            let alike = alike.copied().unwrap_or_default();
            if alike >= MOST_ALIKE {
                let why = format!(
                    "{MOST_ALIKE} strings begin so already: give a longer beginning, that tells \
                     them apart"
                );
                return Err(Refusal::invalid("/prefix", why));
            }
            let length = prefix.len();
            if !self.lengths.contains(&length) && self.lengths.len() >= MOST_LENGTHS {
                let lengths: Vec<_> = self.lengths.iter().map(ToString::to_string).collect();
                let why = format!(
                    "beginnings of {MOST_LENGTHS} other lengths are in use: give one of {} \
                     characters",
                    lengths.join(", ")
                );
                return Err(Refusal::invalid("/prefix", why));
            }
            self.sharing.insert(imported.lookup.clone(), alike + 1);
            self.lengths.insert(length);
        }
        self.unique.extend(imported.unique.iter().cloned());
        Ok(())
    }

    /// How long the beginnings are, with those that were added.
    pub(super) fn lengths(&self) -> &BTreeSet<usize> {
        &self.lengths
    }
}
