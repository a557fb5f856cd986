//! Freshness: for how long what is cached may be used while nothing is heard of what other nodes
//! change.
//!
//! A node sends itself heartbeats through the channel on which changes are told. The database hands
//! them out in the order of their commits: one that came back tells that every change committed
//! before it was *sent* has been heard. So what is cached is known to hold at that instant, and
//! nothing is known of later ones.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// After so much silence the database is asked first. Twice what passes between heartbeats.
pub(super) const DOUBT: Duration = Duration::from_secs(2);

/// How long the database is not asked again after it was asked in vain: or each request would wait
/// for it in turn.
const IN_VAIN: Duration = Duration::from_millis(500);

/// What was heard last, and what was not. Times are those of [`Clock::since_boot`].
///
/// [`Clock::since_boot`]: crate::clock::Clock::since_boot
pub struct Freshness {
    /// When the last heartbeat to come back was sent, in nanoseconds.
    heard: AtomicU64,
    /// When the database was last asked in vain, in nanoseconds.
    in_vain: AtomicU64,
    limit: Duration,
}

/// How far something that was loaded may be relied on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trust {
    /// It may be used.
    Whole,
    /// The database is to be asked first. If it does not answer, it may be used.
    Doubtful,
    /// The same, and the database was asked in vain a moment ago: it may be used.
    Unanswered,
    /// Only the database can tell.
    None,
}

impl Freshness {
    /// Nothing heard yet. What is older than `limit` is not to be used.
    #[must_use]
    pub const fn new(limit: Duration) -> Self {
        Self {
            heard: AtomicU64::new(0),
            in_vain: AtomicU64::new(0),
            limit,
        }
    }

    /// Notes that a heartbeat came back, which was sent at that time.
    pub fn hear(&self, sent: Duration) {
        self.heard.fetch_max(nanos(sent), Ordering::SeqCst);
    }

    /// Notes that the database was asked and did not answer.
    pub fn asked_in_vain(&self, now: Duration) {
        self.in_vain.fetch_max(nanos(now), Ordering::SeqCst);
    }

    /// How far to trust now what was loaded at some time.
    #[must_use]
    pub fn trust(&self, loaded: Duration, now: Duration) -> Trust {
        let known = self.heard.load(Ordering::SeqCst).max(nanos(loaded));
        let age = since(known, now);
        if age <= DOUBT {
            Trust::Whole
        } else if age > self.limit {
            Trust::None
        } else if since(self.in_vain.load(Ordering::SeqCst), now) < IN_VAIN {
            Trust::Unanswered
        } else {
            Trust::Doubtful
        }
    }

    /// Whether nothing that was loaded counts any longer, for want of anything heard.
    #[must_use]
    pub fn is_deaf(&self, now: Duration) -> bool {
        let heard = self.heard.load(Ordering::SeqCst);
        // A node that has just started has yet to hear anything.
        heard > 0 && since(heard, now) > self.limit
    }

    /// Whether, besides, the database was asked in vain a moment ago: nobody else need wait for it.
    #[must_use]
    pub fn is_hopeless(&self, now: Duration) -> bool {
        self.is_deaf(now) && since(self.in_vain.load(Ordering::SeqCst), now) < IN_VAIN
    }

    /// For how long nothing has been heard.
    #[must_use]
    pub fn silence(&self, now: Duration) -> Duration {
        since(self.heard.load(Ordering::SeqCst), now)
    }
}

fn since(then: u64, now: Duration) -> Duration {
    now.saturating_sub(Duration::from_nanos(then))
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn at(millis: u64) -> Duration {
        Duration::from_millis(100_000 + millis)
    }

    #[test]
    fn what_was_loaded_is_trusted_then_doubted_then_not() {
        let freshness = Freshness::new(LIMIT);
        freshness.hear(at(0));
        let of_old = |now| freshness.trust(at(0), at(now));
        assert_eq!(of_old(2_000), Trust::Whole);
        assert_eq!(of_old(2_001), Trust::Doubtful);
        assert_eq!(of_old(10_000), Trust::Doubtful);
        assert_eq!(of_old(10_001), Trust::None);
        // What the database told meanwhile is as good as a heartbeat.
        assert_eq!(freshness.trust(at(9_000), at(10_001)), Trust::Whole);
        freshness.hear(at(9_500));
        assert_eq!(of_old(10_001), Trust::Whole);
    }

    #[test]
    fn a_heartbeat_that_comes_late_tells_of_when_it_was_sent() {
        let freshness = Freshness::new(LIMIT);
        freshness.hear(at(5_000));
        freshness.hear(at(1_000));
        assert_eq!(freshness.silence(at(6_000)), Duration::from_secs(1));
    }

    #[test]
    fn a_database_that_does_not_answer_is_not_asked_by_everybody_in_turn() {
        let freshness = Freshness::new(LIMIT);
        freshness.hear(at(0));
        freshness.asked_in_vain(at(3_000));
        assert_eq!(freshness.trust(at(0), at(3_400)), Trust::Unanswered);
        assert_eq!(freshness.trust(at(0), at(3_500)), Trust::Doubtful);
        freshness.asked_in_vain(at(9_900));
        assert_eq!(freshness.trust(at(0), at(10_001)), Trust::None);
    }

    #[test]
    fn nobody_waits_for_a_database_that_has_been_away_for_too_long() {
        let freshness = Freshness::new(LIMIT);
        freshness.asked_in_vain(at(0));
        assert!(!freshness.is_hopeless(at(1)), "it has just started");
        freshness.hear(at(0));
        freshness.asked_in_vain(at(9_900));
        assert!(!freshness.is_hopeless(at(10_000)));
        assert!(freshness.is_hopeless(at(10_001)));
        assert!(!freshness.is_hopeless(at(10_400)), "somebody asks again");
        assert!(freshness.is_deaf(at(10_400)));
    }
}
