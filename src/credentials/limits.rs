//! Rate limits: how often each key was exchanged lately, on this node, in memory.
//!
//! The generic cell rate algorithm: a key can spend its whole limit at once, and gets it back
//! evenly over the window. What is kept of a key is one instant, the one at which nothing will
//! be spent any longer.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use quick_cache::sync::Cache;

use crate::domain::rate_limit::RateLimit;
use crate::domain::secret::KeyId;

/// Of how many keys with a limit this node remembers what they spent. Beyond it, a key that
/// others displace begins anew with its whole limit.
const CAPACITY: usize = 100_000;

const NANOS: u64 = 1_000_000_000;

/// What keys with a limit have spent. Keys without one leave nothing here.
pub struct Limits {
    spent: Cache<KeyId, Arc<Spent>>,
}

/// How a key stands to its limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    /// The limit.
    pub limit: RateLimit,
    /// How many exchanges are left at this moment.
    pub remaining: u32,
    /// Until there is one more, in whole seconds: at least 1.
    pub seconds: u64,
}

/// One key's. Times are nanoseconds of the clock that callers bring.
struct Spent {
    limit: RateLimit,
    /// When all that was spent will have come back.
    whole_at: AtomicU64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            spent: Cache::new(CAPACITY),
        }
    }
}

impl Limits {
    /// Spends one exchange of a key, `now` on a clock that never goes backwards.
    ///
    /// # Errors
    /// The standing of a key that has nothing left; nothing is spent then.
    pub fn spend(&self, key: KeyId, limit: RateLimit, now: Duration) -> Result<Standing, Standing> {
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX / 2);
        let spent = self.of(key, limit, now);
        let (each, all) = (each(spent.limit), all(spent.limit));
        let mut whole_at = spent.whole_at.load(Ordering::SeqCst);
        loop {
            // Another thread's clock may have been read a moment later than this one's.
            let used = whole_at.saturating_sub(now).min(all);
            if used + each > all {
                return Err(Standing::of(spent.limit, used));
            }
            let used = used + each;
            match spent.whole_at.compare_exchange_weak(
                whole_at,
                now + used,
                Ordering::SeqCst,
                Ordering::SeqCst,
            ) {
                Ok(_) => return Ok(Standing::of(spent.limit, used)),
                Err(meanwhile) => whole_at = meanwhile,
            }
        }
    }

    /// What a key has spent. Where its limit was edited, what was spent stays spent, counted in
    /// exchanges and up to the new limit: a greater one helps at once, and a smaller one keeps
    /// nobody waiting for longer than its own window.
    fn of(&self, key: KeyId, limit: RateLimit, now: u64) -> Arc<Spent> {
        let mut whole_at = now;
        if let Some(spent) = self.spent.get(&key) {
            if spent.limit == limit {
                return spent;
            }
            let used = spent.whole_at.load(Ordering::SeqCst).saturating_sub(now);
            let exchanges = used.div_ceil(each(spent.limit)).min(u64::from(limit.limit));
            whole_at = now + exchanges * each(limit);
            self.spent.remove_if(&key, |there| there.limit != limit);
        }
        let fresh = || {
            Ok::<_, Infallible>(Arc::new(Spent {
                limit,
                whole_at: AtomicU64::new(whole_at),
            }))
        };
        let Ok(spent) = self.spent.get_or_insert_with(&key, fresh);
        spent
    }
}

impl Standing {
    fn of(limit: RateLimit, used: u64) -> Self {
        let left = all(limit) - used;
        let remaining = left / each(limit);
        let until_next = (remaining + 1) * each(limit) - left;
        Self {
            limit,
            remaining: u32::try_from(remaining).unwrap_or(limit.limit),
            seconds: until_next.div_ceil(NANOS),
        }
    }
}

/// How long one exchange takes to come back: rounded up, so that never more do than may.
fn each(limit: RateLimit) -> u64 {
    (u64::from(limit.window) * NANOS).div_ceil(u64::from(limit.limit))
}

/// How long the whole limit does.
fn all(limit: RateLimit) -> u64 {
    each(limit) * u64::from(limit.limit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key() -> KeyId {
        KeyId::new(ulid::Ulid(1))
    }

    fn limit(limit: u32, window: u32) -> RateLimit {
        RateLimit::new(limit, window).unwrap()
    }

    /// How many of so many exchanges at `now` are let through.
    fn passed(limits: &Limits, limit: RateLimit, now: Duration, tries: u32) -> u32 {
        let pass = |_: &u32| limits.spend(key(), limit, now).is_ok();
        u32::try_from((0..tries).filter(pass).count()).unwrap()
    }

    #[test]
    fn the_whole_limit_can_be_spent_at_once_and_nothing_more() {
        let start = Duration::from_secs(1_800_000_001);
        for limit in [
            limit(1, 1),
            limit(999_999, 1),
            limit(7, 60),
            limit(1_000_000, 86_400),
        ] {
            let limits = Limits::default();
            assert_eq!(passed(&limits, limit, start, limit.limit + 3), limit.limit);
        }
    }

    #[test]
    fn it_comes_back_one_by_one() {
        let (limits, limit) = (Limits::default(), limit(4, 60));
        let at = Duration::from_secs;
        assert_eq!(passed(&limits, limit, at(0), 9), 4);
        let refused = limits.spend(key(), limit, at(0)).unwrap_err();
        assert_eq!((refused.remaining, refused.seconds), (0, 15));
        assert_eq!(passed(&limits, limit, Duration::from_millis(14_999), 1), 0);
        assert_eq!(passed(&limits, limit, at(15), 9), 1);
        assert_eq!(passed(&limits, limit, at(46), 9), 2);
        assert_eq!(passed(&limits, limit, at(1_000), 9), 4);
    }

    #[test]
    fn an_edited_limit_counts_what_was_spent() {
        let (limits, now) = (Limits::default(), Duration::from_secs(5));
        assert_eq!(passed(&limits, limit(5, 60), now, 9), 5);
        assert_eq!(passed(&limits, limit(8, 60), now, 9), 3);
        assert_eq!(passed(&limits, limit(5, 60), now, 9), 0);
        let later = now + Duration::from_mins(1);
        assert_eq!(passed(&limits, limit(5, 60), later, 9), 5);
        assert_eq!(passed(&limits, limit(2, 60), later, 9), 0);
    }

    #[test]
    fn threads_together_spend_no_more_than_one() {
        let (limits, limit) = (Limits::default(), limit(500, 86_400));
        let limits = &limits;
        let total: u32 = std::thread::scope(|scope| {
            let one = || scope.spawn(move || passed(limits, limit, Duration::ZERO, 200));
            let all: Vec<_> = (0..8).map(|_| one()).collect();
            all.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(total, 500);
    }

    proptest! {
        /// Whatever the times: at most the limit at once, and in the long run no more than the
        /// rate. What is said to come back comes back.
        #[test]
        fn nobody_passes_more_often_than_may(
            allowed in 1u32..50,
            window in 1u32..100,
            steps in prop::collection::vec(0u64..20_000, 1..300),
        ) {
            let (limits, limit) = (Limits::default(), limit(allowed, window));
            let (mut now, mut count) = (Duration::ZERO, 0u128);
            for step in steps {
                now += Duration::from_millis(step);
                match limits.spend(key(), limit, now) {
                    Ok(standing) => {
                        count += 1;
                        prop_assert!(standing.remaining < allowed && standing.seconds >= 1);
                    }
                    Err(standing) => {
                        prop_assert_eq!(standing.remaining, 0);
                        now += Duration::from_secs(standing.seconds);
                        prop_assert!(limits.spend(key(), limit, now).is_ok());
                        count += 1;
                    }
                }
                let most = u128::from(allowed)
                    + now.as_nanos() * u128::from(allowed) / (u128::from(window) * 1_000_000_000);
                prop_assert!(count <= most, "{count} of {most}");
            }
        }
    }
}
