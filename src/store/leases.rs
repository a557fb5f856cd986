//! Leases: what only one server at a time may do, and who does it.

use std::time::Duration;

use super::Store;
use super::engine::sql;
use super::error::StoreError;
use crate::domain::timestamp::Timestamp;

/// A lease of more spans than this is still to run was taken by a clock that was ahead, and holds
/// nobody off: or a clock that is an hour ahead for a minute would keep a job waiting for an hour.
const SPANS: u32 = 2;

impl Store {
    /// Takes a lease, or extends one's own, for whole seconds; false while somebody else's runs.
    ///
    /// # Errors
    /// When the database is unavailable. Whether the lease was taken is then unknown: treat it
    /// as somebody else's.
    pub async fn take_lease(
        &self,
        name: &str,
        holder: &str,
        now: Timestamp,
        span: Duration,
    ) -> Result<bool, StoreError> {
        let taken = sql!(
            run self.writer(),
            "INSERT INTO leases (name, holder, held_until) VALUES ($1, $2, $3)
             ON CONFLICT (name)
             DO UPDATE SET holder = excluded.holder, held_until = excluded.held_until
             WHERE leases.held_until <= $4 OR leases.holder = excluded.holder
                OR leases.held_until > $5",
            name, holder, now.plus(span).unix(), now.unix(), now.plus(span * SPANS).unix()
        )?;
        Ok(taken == 1)
    }

    /// Gives one's own lease back before it ends.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn release_lease(&self, name: &str, holder: &str) -> Result<(), StoreError> {
        sql!(
            run self.writer(),
            "DELETE FROM leases WHERE name = $1 AND holder = $2", name, holder
        )?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::engine::DatabaseUrl;

    #[tokio::test]
    async fn a_lease_is_held_by_one_until_it_ends_or_is_given_back() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&DatabaseUrl::Sqlite(folder.path().join("t.db")))
            .await
            .unwrap();
        store.migrate(&store.lock().unwrap()).await.unwrap();
        let at = |seconds| Timestamp::from_unix(seconds).unwrap();
        let take = async |holder, now| {
            let span = Duration::from_secs(10);
            store.take_lease("x", holder, at(now), span).await.unwrap()
        };
        assert!(take("a", 100).await);
        assert!(!take("b", 109).await);
        assert!(take("a", 105).await, "its holder extends it");
        assert!(!take("b", 114).await);
        assert!(take("b", 115).await);
        store.release_lease("x", "a").await.unwrap();
        assert!(!take("a", 116).await, "only the holder gives it back");
        store.release_lease("x", "b").await.unwrap();
        assert!(take("a", 116).await);
    }

    #[tokio::test]
    async fn a_lease_taken_by_a_clock_that_was_ahead_holds_nobody_off() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&DatabaseUrl::Sqlite(folder.path().join("t.db")))
            .await
            .unwrap();
        store.migrate(&store.lock().unwrap()).await.unwrap();
        let take = async |holder, now| {
            let now = Timestamp::from_unix(now).unwrap();
            let span = Duration::from_mins(1);
            store.take_lease("x", holder, now, span).await.unwrap()
        };
        assert!(take("ahead", 10_000 + 3_600).await);
        assert!(take("b", 10_000).await);
        // Clocks that differ by less than a span are no reason.
        assert!(!take("behind", 9_960).await);
        assert!(!take("b2", 10_059).await);
    }
}
