//! Where the history that a log tells and that of the database part: two databases that went on
//! from one entry, each in its own way.

use std::collections::BTreeMap;

use crate::store::Store;
use crate::store::error::StoreError;

/// As much of a MAC as tells it from another.
const TRACE: usize = 16;

/// The entries of one organization that a log has and the backup should have too: the beginnings
/// of their MACs, by their place.
#[derive(Default)]
pub(super) struct Traces(BTreeMap<i64, Vec<u8>>);

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
    ) -> Result<Option<i64>, StoreError> {
        let all: Vec<_> = self.0.iter().collect();
        let Some(last) = all.len().checked_sub(1) else {
            return Ok(None);
        };
        let found = first_other(0, last, async |at| {
            let (sequence, trace) = all[at];
            let mac = mac_of(store, organization, *sequence).await?;
            Ok(mac.is_some_and(|mac| mac.starts_with(trace)))
        });
        Ok(found.await?.map(|at| *all[at].0))
    }
}

/// The first entry up to `through` that is another in `copy` than in `store`; `None` where all are
/// the same, or where that cannot be read.
pub(super) async fn copy_parts_from(
    store: &Store,
    copy: &Store,
    organization: &str,
    through: i64,
) -> Result<Option<i64>, StoreError> {
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
    Ok(found.await?.map(|at| i64::try_from(at).unwrap_or(i64::MAX)))
}

/// Says of a log that it went on in another way from entry `from` on.
pub(super) fn forked(log: &str, from: i64) -> String {
    format!(
        "{log} has another history than the backup from entry {from} on: the database that wrote \
         it went on apart from this one (a fork), so that nothing it tells follows here. Restore a \
         backup of that database instead; or leave this log out, and do by hand what it tells and \
         is to count"
    )
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
