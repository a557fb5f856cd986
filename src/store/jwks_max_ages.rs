//! For how long validators were told that they may cache the JWKS, by any server, lately: on that it
//! depends what is in their caches.

use std::time::Duration;

use super::Store;
use super::engine::sql;
use super::error::{StoreError, corrupt};
use super::write::Write;
use crate::domain::signing_key::Schedule;
use crate::domain::timestamp::Timestamp;

/// A `max-age` that the JWKS was served with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Announced {
    /// For how long a JWKS may be cached, whole seconds.
    pub max_age: Duration,
    /// Until when one may be handed out with it, unless a server says so again.
    pub until: Timestamp,
}

/// What may be in a cache after some time, the longest first.
const HEEDED: &str = "SELECT max_age, announced_until FROM jwks_max_ages
     WHERE announced_until + max_age > $1 ORDER BY max_age DESC";

impl Announced {
    /// Until when a JWKS that was served with it may be in a cache that heeds it.
    #[must_use]
    pub fn heeded_until(&self) -> Timestamp {
        self.until.plus(self.max_age)
    }
}

impl Store {
    /// Says that a JWKS may be handed out with a `max-age`, until then. What was said before is
    /// never taken back.
    ///
    /// # Errors
    /// When the database is unavailable. Whether it was said is then unknown: treat it as not.
    pub async fn announce_jwks_max_age(&self, announced: Announced) -> Result<(), StoreError> {
        let Announced { max_age, until } = announced;
        sql!(
            run self.writer(),
            "INSERT INTO jwks_max_ages (max_age, announced_until) VALUES ($1, $2)
             ON CONFLICT (max_age) DO UPDATE SET announced_until = excluded.announced_until
             WHERE jwks_max_ages.announced_until < excluded.announced_until",
            whole(max_age), until.unix()
        )?;
        Ok(())
    }

    /// With which `max-age` a JWKS was served that may be in a cache after `since`, the longest
    /// first.
    ///
    /// # Errors
    /// When the database is unavailable or a row corrupt.
    pub async fn announced_jwks_max_ages(
        &self,
        since: Timestamp,
    ) -> Result<Vec<Announced>, StoreError> {
        read(sql!(all(i64, i64), self.reader(), HEEDED, since.unix())?)
    }

    /// A schedule of which the settings of one server know half, as it is at `now`: no shorter than
    /// every JWKS asks for that any server handed out, and that may be in a cache.
    ///
    /// # Errors
    /// When the database is unavailable or a row corrupt.
    pub async fn schedule(&self, set: &Schedule, now: Timestamp) -> Result<Schedule, StoreError> {
        let since = heeded_since(set, now);
        Ok(reckoned(set, &self.announced_jwks_max_ages(since).await?))
    }

    /// Forgets what was in no cache any more at some time, long ago.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn forget_jwks_max_ages(&self, before: Timestamp) -> Result<(), StoreError> {
        sql!(
            run self.writer(),
            "DELETE FROM jwks_max_ages WHERE announced_until + max_age < $1", before.unix()
        )?;
        Ok(())
    }
}

impl Write {
    /// The same as [`Store::schedule`], read in this transaction.
    ///
    /// # Errors
    /// When the database is unavailable or a row corrupt.
    pub async fn schedule(
        &mut self,
        set: &Schedule,
        now: Timestamp,
    ) -> Result<Schedule, StoreError> {
        let since = heeded_since(set, now);
        let rows = sql!(all(i64, i64), self.on(), HEEDED, since.unix())?;
        Ok(reckoned(set, &read(rows)?))
    }
}

/// Who said until when may have been behind.
fn heeded_since(set: &Schedule, now: Timestamp) -> Timestamp {
    now.minus(set.skew())
}

fn reckoned(set: &Schedule, announced: &[Announced]) -> Schedule {
    let longest = announced.first().map(|announced| announced.max_age);
    longest.map_or(*set, |longest| set.reckoning_with(longest))
}

fn read(rows: Vec<(i64, i64)>) -> Result<Vec<Announced>, StoreError> {
    let wrong = |what| corrupt("jwks_max_ages", what);
    let row = |(max_age, until): (i64, i64)| {
        let max_age = u64::try_from(max_age).map_err(|_| wrong("max_age"))?;
        Ok(Announced {
            max_age: Duration::from_secs(max_age),
            until: Timestamp::from_unix(until).map_err(|_| wrong("announced_until"))?,
        })
    };
    rows.into_iter().map(row).collect()
}

fn whole(span: Duration) -> i64 {
    i64::try_from(span.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::engine::DatabaseUrl;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds).unwrap()
    }

    #[tokio::test]
    async fn what_was_announced_counts_until_it_is_in_no_cache() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&DatabaseUrl::Sqlite(folder.path().join("t.db")))
            .await
            .unwrap();
        store.migrate(&store.lock().unwrap()).await.unwrap();
        let say = async |max_age, until| {
            let announced = Announced {
                max_age: Duration::from_secs(max_age),
                until: at(until),
            };
            store.announce_jwks_max_age(announced).await.unwrap();
        };
        let heeded = async |since| {
            let all = store.announced_jwks_max_ages(at(since)).await.unwrap();
            let all = all.iter();
            all.map(|one| (one.max_age.as_secs(), one.heeded_until().unix()))
                .collect::<Vec<_>>()
        };
        assert!(heeded(1).await.is_empty());
        say(3_600, 10_000).await;
        say(300, 10_500).await;
        // Behind, or restarted with its clock set back.
        say(300, 10_200).await;
        assert_eq!(heeded(10_000).await, [(3_600, 13_600), (300, 10_800)]);
        assert_eq!(heeded(10_800).await, [(3_600, 13_600)]);
        say(300, 13_000).await;
        assert!(heeded(13_600).await.is_empty());
        store.forget_jwks_max_ages(at(13_300)).await.unwrap();
        assert_eq!(heeded(1).await, [(3_600, 13_600), (300, 13_300)]);
        store.forget_jwks_max_ages(at(13_301)).await.unwrap();
        assert_eq!(heeded(1).await, [(3_600, 13_600)]);
    }
}
