//! What is known of one organization since a backup: entries that follow each other, each under
//! the MAC of the one before, and up to when it is proven that there were no others.

use std::collections::{BTreeMap, BTreeSet};

use ring::hmac;

use super::earlier::was_done;
use super::log::OPERATOR;
use super::made::made;
use super::root_keys;
use super::succession::{RootKeysSince, goes_over};
use super::told::{End, Told};
use crate::crypto::Crypto;
use crate::domain::timestamp::Timestamp;
use crate::manage::audit_verification::erased_through;
use crate::store::Store;
use crate::store::audit::{AuditRow, Head};
use crate::store::audit_chain::{Integrity, proves_end};
use crate::store::error::StoreError;

/// What is known of one organization since the backup.
pub struct Chapter {
    /// The last entry that the backup has.
    pub head: Head,
    /// The entries behind it, in order, each proven.
    pub rows: Vec<AuditRow>,
    /// Whether a log tells of the organization at all, from the backup on.
    pub told: bool,
    /// Until when nothing else was done than what is known, as a whole log proves.
    pub until: Option<Timestamp>,
    /// Why nothing is known behind the last of `rows`, although a log goes on.
    pub fault: Option<String>,
    /// Signing keys that were made after the backup, and had not ended, as logs tell: also in what
    /// is not proven, since it does no harm to name one too many.
    pub(super) made: BTreeSet<String>,
    /// Root keys that became current after the backup, as logs tell, in order: as with the above.
    pub root_keys: Vec<String>,
    /// Under which root key the last of them is.
    root_key: String,
}

impl Chapter {
    /// Puts in order what logs tell of an organization; `fork` is why some of them tell of another.
    pub(super) async fn of(
        head: Head,
        (told, fork): (Told, Option<String>),
        store: &Store,
        crypto: &Crypto,
        since: &mut RootKeysSince,
    ) -> Result<Self, StoreError> {
        let Told {
            met,
            earlier,
            later,
            ends,
            fault,
            fork: _,
            cut,
            reached,
        } = told;
        let made = made(later.values());
        // Of a history apart from the backup's nothing is to be gone over to.
        let root_keys = match &fork {
            Some(_) => Vec::new(),
            None => root_keys::became_current(later.values()),
        };
        let mut chapter = Self {
            made,
            root_keys,
            ..follow(head, later, crypto, since)
        };
        let (last, mac) = (chapter.last(), chapter.last_mac().to_owned());
        // By whoever has the root key that this entry is under: one from before proves nothing.
        let anchors: Vec<_> = crypto.anchor(&chapter.root_key).into_iter().collect();
        chapter.until = chapter.proven(&ends, (last, &mac), &anchors);
        // An export whose end is where the backup is: nothing was done in between.
        chapter.told = met || !chapter.rows.is_empty() || chapter.until.is_some();
        if !chapter.told
            && let Some((last, mac)) = earlier
        {
            chapter.told = was_done(store, &chapter.head.organization, last, &mac).await?;
            let keyring = crypto.keyring();
            let held = keyring.ids().map(|id| crypto.anchor(id.as_str()));
            let anchors: Vec<_> = held.filter_map(Result::ok).collect();
            chapter.until = chapter.proven(&ends, (last, &mac), &anchors);
        }
        // What comes behind where histories part cannot be verified either: the reason is that.
        let fault = fork.or(chapter.fault.take()).or(fault);
        let fault = fault.or_else(|| chapter.cut_off(&ends, cut));
        let reached = reached.filter(|_| !chapter.told);
        chapter.fault = fault.or_else(|| Some(reached?.said(chapter.head.sequence)));
        Ok(chapter)
    }

    /// Why what was given may not be all that there was. `cut` says it of one file.
    fn cut_off(&self, ends: &[End], cut: Option<String>) -> Option<String> {
        let last = self.last();
        let there_were = ends.iter().map(|end| end.sequence).max();
        if let Some(there_were) = there_were.filter(|were| *were > last) {
            return Some(format!(
                "it ends with entry {last}, and there were {there_were}"
            ));
        }
        let of = self.last_at().map(|at| format!(" of {at}"));
        let unproven = (self.told && self.until.is_none()).then(|| {
            format!(
                "what was given of it reaches entry {last}{}, and lacks the line that proves the \
                 end: it was cut off, or exported with filters. Export it again if you can",
                of.unwrap_or_default()
            )
        });
        // Another file proves an end, which may be one from before this one was written.
        unproven.or(cut.filter(|_| self.told))
    }

    /// Root keys that were given up with API keys that needed them, and how many those were.
    #[must_use]
    pub fn ended_with(&self) -> BTreeMap<String, i64> {
        root_keys::ended_with(&self.rows)
    }

    /// Whether it is the operator's, which tells of the deployment.
    #[must_use]
    pub fn is_operators(&self) -> bool {
        self.head.organization == OPERATOR
    }

    /// The last entry that is known.
    #[must_use]
    pub fn last(&self) -> i64 {
        let last = self.rows.last();
        last.map_or(self.head.sequence, |row| row.sequence)
    }

    /// When the last entry after the backup was written, if there is one.
    #[must_use]
    pub fn last_at(&self) -> Option<Timestamp> {
        Timestamp::from_unix(self.rows.last()?.at).ok()
    }

    /// Whether a log tells everything, up to an end that is proven.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.told && self.fault.is_none() && self.until.is_some()
    }

    fn last_mac(&self) -> &[u8] {
        self.rows.last().map_or(&self.head.mac, |row| &row.mac)
    }

    /// The latest time at which this entry is proven to have been the last.
    fn proven(&self, ends: &[End], last: (i64, &[u8]), anchors: &[hmac::Key]) -> Option<Timestamp> {
        let organization = &self.head.organization;
        let holds = |end: &&End| {
            let proven = |proof: &Vec<u8>| {
                let mut anchors = anchors.iter();
                anchors.any(|anchor| proves_end(anchor, organization, last, end.at, proof))
            };
            (end.sequence, &*end.mac) == last && end.proof.as_ref().is_none_or(proven)
        };
        ends.iter().filter(holds).map(|end| end.at).max()
    }
}

fn follow(
    head: Head,
    later: impl IntoIterator<Item = (i64, AuditRow)>,
    crypto: &Crypto,
    since: &mut RootKeysSince,
) -> Chapter {
    let mut rows: Vec<AuditRow> = Vec::new();
    let (mut expected, mut previous) = (head.sequence + 1, head.mac.clone());
    // The first and the last entry found emptied that no later one has accounted for yet.
    let mut emptied: Option<(i64, i64)> = None;
    let mut fault = None;
    let mut root_key = head.root_key.clone();
    // Without that root key nothing can be verified, and nothing done either.
    let mut chain = crypto.chain(&root_key).ok();
    for (sequence, row) in later {
        if sequence != expected {
            fault = Some(format!(
                "entry {expected} is missing: an export must not be filtered"
            ));
            break;
        }
        let under = |chain: &hmac::Key| row.integrity(&head.organization, chain, &previous);
        let mut integrity = chain.as_ref().map_or(Integrity::Edited, under);
        if integrity == Integrity::Edited {
            let from_here = |to: &str| since.lead(&head.organization, &root_key, to);
            match goes_over(&row, crypto, from_here, under) {
                Ok((next, found)) => {
                    (chain, integrity) = (Some(next), found);
                    root_key.clone_from(&row.target);
                }
                Err(why) => {
                    fault = Some(why);
                    break;
                }
            }
        }
        match integrity {
            Integrity::Edited => break,
            Integrity::Erased => {
                let first = emptied.map_or(sequence, |(first, _)| first);
                emptied = Some((first, sequence));
            }
            Integrity::Whole if emptied.is_some_and(|(_, last)| last <= erased_through(&row)) => {
                emptied = None;
            }
            Integrity::Whole => {}
        }
        previous.clone_from(&row.mac);
        rows.push(row);
        expected += 1;
    }
    if let Some((first, _)) = emptied {
        rows.retain(|row| row.sequence < first);
        fault = Some(format!(
            "entry {first} was emptied, and no later entry says that an act erased it"
        ));
    }
    Chapter {
        head,
        rows,
        told: false,
        until: None,
        fault,
        made: BTreeSet::new(),
        root_keys: Vec::new(),
        root_key,
    }
}
