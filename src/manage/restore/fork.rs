//! Where the history that a log tells and that of the database part: two databases that went on
//! from one entry, each in its own way; or two that have nothing in common.

use std::collections::{BTreeMap, BTreeSet};

use crate::store::Store;
use crate::store::error::StoreError;

/// As much of a MAC as tells it from another.
const TRACE: usize = 16;

/// The entries of one organization that a log has and the backup should have too: the beginnings
/// of their MACs, by their place.
#[derive(Default)]
pub(super) struct Traces(BTreeMap<i64, Vec<u8>>);

/// Where a log and the database part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Parting {
    /// The first entry that is another.
    from: i64,
    /// Whether the log has none before it that the database has too.
    at_once: bool,
}

/// A log that tells another history.
#[derive(Debug)]
pub(super) struct Fork {
    /// Which log.
    pub(super) log: String,
    /// Where it parts.
    pub(super) parting: Parting,
}

impl Parting {
    /// Whether not even the entries are the same with which both begin. The operator's log begins
    /// with the deployment: then it is that of another one.
    pub(super) const fn is_at_the_beginning(self) -> bool {
        self.from == 1
    }
}

impl Fork {
    /// Says of the log, as far as it tells of one organization, why it is of no use; `foreign` are
    /// those that are known to be another deployment's.
    pub(super) fn said(&self, foreign: &BTreeSet<String>) -> String {
        let Self {
            log,
            parting: Parting { from, at_once },
        } = self;
        if foreign.contains(log) {
            return format!(
                "{log} is another deployment's, whose operator's log begins with another entry: \
                 nothing it tells follows here. Leave it out, and give the logs of this deployment"
            );
        }
        if *from == 1 {
            return format!(
                "{log} has not one entry in common with the backup: it is another deployment's, or \
                 of another organization of that name, so that nothing it tells follows here. Leave \
                 it out, and give the log of this one"
            );
        }
        let (first, or) = if *at_once {
            (
                ", the first that it tells of",
                ", or is another deployment's",
            )
        } else {
            ("", "")
        };
        format!(
            "{log} has another history than the backup from entry {from} on{first}: the database \
             that wrote it went on apart from this one (a fork){or}, so that nothing it tells \
             follows here. Restore a backup of that database instead; or leave this log out, and do \
             by hand what it tells and is to count"
        )
    }
}

impl Traces {
    /// Takes an entry.
    pub(super) fn add(&mut self, sequence: i64, mac: &[u8]) {
        let trace = &mac[..mac.len().min(TRACE)];
        self.0.entry(sequence).or_insert_with(|| trace.to_vec());
    }

    /// The first of them that is another in this database; `None` where all are the same.
    pub(super) async fn parts_from(
        &self,
        store: &Store,
        organization: &str,
    ) -> Result<Option<Parting>, StoreError> {
        let all: Vec<_> = self.0.iter().collect();
        let Some(last) = all.len().checked_sub(1) else {
            return Ok(None);
        };
        let found = first_other(0, last, async |at| {
            let (sequence, trace) = all[at];
            let mac = mac_of(store, organization, *sequence).await?;
            Ok(mac.is_some_and(|mac| mac.starts_with(trace)))
        });
        Ok(found.await?.map(|at| Parting {
            from: *all[at].0,
            at_once: at == 0,
        }))
    }
}

/// The first entry up to `through` that is another in `copy` than in `store`; `None` where all are
/// the same, or where that cannot be read.
pub(super) async fn copy_parts_from(
    store: &Store,
    copy: &Store,
    organization: &str,
    through: i64,
) -> Result<Option<Parting>, StoreError> {
    let Ok(last) = usize::try_from(through) else {
        return Ok(None);
    };
    let found = first_other(1, last, async |at| {
        let sequence = i64::try_from(at).unwrap_or(i64::MAX);
        // What is damaged in the copy is told of elsewhere.
        let Ok(Some(theirs)) = mac_of(copy, organization, sequence).await else {
            return Ok(true);
        };
        let own = mac_of(store, organization, sequence).await?;
        Ok(own.is_some_and(|own| own == theirs))
    });
    Ok(found.await?.map(|at| Parting {
        from: i64::try_from(at).unwrap_or(i64::MAX),
        at_once: at == 1,
    }))
}

async fn mac_of(
    store: &Store,
    organization: &str,
    sequence: i64,
) -> Result<Option<Vec<u8>>, StoreError> {
    let row = store.audit_rows(organization, sequence - 1, 1).await?.pop();
    Ok(row
        .filter(|row| row.sequence == sequence)
        .map(|row| row.mac))
}

/// The first of `low` to `high` that is not the same; `None` if the last is. Each MAC is over the
/// one before: where one is another, so are all behind it.
async fn first_other(
    mut low: usize,
    mut high: usize,
    mut is_same: impl AsyncFnMut(usize) -> Result<bool, StoreError>,
) -> Result<Option<usize>, StoreError> {
    if low > high || is_same(high).await? {
        return Ok(None);
    }
    while low < high {
        let middle = low + (high - low) / 2;
        if is_same(middle).await? {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(Some(high))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_called_another_deployments_where_that_is_known_and_else_what_it_may_be() {
        let said = |from, at_once, foreign: &[&str]| {
            let log = "l".to_owned();
            let parting = Parting { from, at_once };
            let foreign = foreign.iter().map(|&log| log.to_owned()).collect();
            Fork { log, parting }.said(&foreign)
        };
        let another = "l is another deployment's";
        assert!(said(1, true, &["l"]).starts_with(another));
        assert!(
            said(7, true, &["l"]).starts_with(another),
            "from its middle"
        );
        let apart = said(1, true, &["m"]);
        assert!(apart.contains("not one entry in common") && !apart.contains("fork"));
        let from_its_middle = said(7, true, &[]);
        assert!(from_its_middle.contains("(a fork), or is another deployment's"));
        let fork = said(7, false, &[]);
        assert!(fork.contains("(a fork), so") && !fork.contains("deployment"));
    }

    #[tokio::test]
    async fn the_first_entry_that_is_another_is_found() {
        for first in 1..=9 {
            let found = first_other(1, 8, async |at| Ok(at < first)).await.unwrap();
            assert_eq!(found, (first <= 8).then_some(first));
        }
        let none = first_other(1, 0, async |_| Ok(false)).await.unwrap();
        assert_eq!(none, None, "there is nothing to compare");
    }
}
