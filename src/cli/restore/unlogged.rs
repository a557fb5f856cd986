//! What is known to have been done though no log tells of it: the mark beside the database says how
//! far the one had come that was served there.

use std::collections::BTreeMap;

use crate::manage::restore::Chapter;
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::history::{History, LastEntry};

/// What logs lack.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Unlogged {
    /// How many acts.
    pub(super) acts: i64,
    /// Whether the database that was served went on apart from this one, so that numbers of acts
    /// say nothing.
    pub(super) another_history: bool,
}

/// Holds what logs tell against what was `served`. `by_hand`: somebody put the database in place
/// without a word of what it takes the place of.
pub(super) async fn find(
    store: &Store,
    served: Option<&History>,
    (chapters, lost): (&[Chapter], &BTreeMap<String, i64>),
    by_hand: bool,
) -> Result<Unlogged, StoreError> {
    let there = store.history().await?;
    let both = served.zip(there).filter(|(one, other)| one.is_of(other));
    let Some((served, there)) = both else {
        return Ok(Unlogged::default());
    };
    // Other databases may have been in its place since: what was done on those counts too.
    let comparable = served.restores >= there.restores;
    let logged = chapters
        .iter()
        .map(Chapter::last)
        .chain(lost.values().copied());
    let acts = (served.acts - logged.sum::<i64>()).max(0);
    let acts = if comparable { acts } else { 0 };
    let another_history = match &served.last {
        Some(last) if acts == 0 && (comparable || by_hand) => {
            !is_told(store, last, chapters, lost).await?
        }
        _ => false,
    };
    Ok(Unlogged {
        acts,
        another_history,
    })
}

/// Whether an entry is in the database, or in what logs tell.
async fn is_told(
    store: &Store,
    entry: &LastEntry,
    chapters: &[Chapter],
    lost: &BTreeMap<String, i64>,
) -> Result<bool, StoreError> {
    let mut chapters = chapters.iter();
    match chapters.find(|chapter| chapter.head.organization == entry.organization) {
        Some(chapter) if entry.sequence <= chapter.head.sequence => {
            Ok(store.has_entry(entry).await? == Some(true))
        }
        Some(chapter) => Ok(chapter.rows.iter().any(|row| entry.is(row))),
        // Of what was made after the backup, how far it came is all that counts.
        None => Ok(lost
            .get(&entry.organization)
            .is_some_and(|last| *last >= entry.sequence)),
    }
}
