//! The clock: tokens and ends of keys are worth what it is worth. And the jobs that go by it.

use std::time::Duration;

use humantime::format_duration;

use super::finding::Finding;
use crate::domain::timestamp::Timestamp;
use crate::store::Store;
use crate::store::health::Times;

/// How many seconds two machines may be apart, whatever `CLOCK_SKEW` allows: that is what the times
/// of signing keys bear, and tokens bear less. tenmint's verifier takes none that comes from
/// further ahead unless told otherwise, tenmint itself and many a validator not even that.
const APART: i64 = 5;

/// How many seconds two clocks may seem to be apart that are not: each is read to the second, one
/// after the other.
const READ: i64 = 2;

/// How many seconds a job that runs each hour may be late.
pub(super) const LATE: i64 = 2 * 3_600;

/// Compares the clock with the database's and with what was written last. `skew`: `CLOCK_SKEW`.
pub(super) async fn look(store: &Store, skew: Duration, now: Timestamp) -> Vec<Finding> {
    match store.times().await {
        Ok(times) => vec![clock(&times, skew, now.unix()), jobs(&times, now.unix())],
        Err(why) => vec![Finding::problem("clock", why.to_string())],
    }
}

fn clock(times: &Times, skew: Duration, now: i64) -> Finding {
    const CHECK: &str = "clock";
    let bound = bound(skew);
    if let Some(theirs) = times.database
        && (theirs - now).abs() > bound
    {
        let apart = (theirs - now).abs();
        return Finding::problem(
            CHECK,
            format!(
                "this machine and the database's are {apart} seconds apart, where {bound} are \
                 allowed: let both follow NTP. {}",
                harm(apart, skew)
            ),
        );
    }
    let newest = times.newest_entry.max(times.last_sign_of_life);
    if let Some(ahead) = newest
        .map(|newest| newest - now)
        .filter(|ahead| *ahead > bound)
    {
        return Finding::problem(
            CHECK,
            format!(
                "what was written last is {ahead} seconds ahead of this clock, where {bound} are \
                 allowed: it stepped back, or another server's is wrong. Let every machine follow NTP. \
                 Until then keys may live too long. {}",
                harm(ahead, skew)
            ),
        );
    }
    Finding::ok(
        CHECK,
        format!(
            "within {bound} seconds it agrees with the database and with what was written last"
        ),
    )
}

/// How many seconds are too many if there are more.
fn bound(skew: Duration) -> i64 {
    let skew = i64::try_from(skew.as_secs()).unwrap_or(i64::MAX);
    skew.clamp(READ, APART)
}

/// What comes of clocks that are so many seconds apart.
fn harm(apart: i64, skew: Duration) -> String {
    let tokens = "By so much a new token is from the future for whoever goes by the clock that is \
                  behind, and may be refused";
    if u64::try_from(apart).is_ok_and(|apart| apart > skew.as_secs()) {
        let skew = format_duration(skew);
        return format!("{tokens}; and signing keys reckon with CLOCK_SKEW, {skew}, alone");
    }
    tokens.to_owned()
}

fn jobs(times: &Times, now: i64) -> Finding {
    const CHECK: &str = "jobs";
    let alive = times.last_sign_of_life.is_some_and(|at| at > now - 600);
    let long = times.first_start.is_some_and(|at| at < now - LATE);
    let cleaned = times.cleaned_until.is_some_and(|until| until > now - LATE);
    if alive && long && !cleaned {
        return Finding::problem(
            CHECK,
            "a server runs, and what is due each hour was not done for two: look at its log",
        );
    }
    Finding::ok(
        CHECK,
        if alive {
            "a server runs, and does what is due"
        } else {
            "no server gave a sign of life in the last ten minutes"
        },
    )
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn clocks_may_be_apart_by_what_tokens_bear_and_by_what_signing_keys_do() {
        let judged = |database: i64, newest: i64, skew: u64| {
            let times = Times {
                database: Some(1_000 + database),
                newest_entry: Some(1_000 + newest),
                ..Times::default()
            };
            clock(&times, Duration::from_secs(skew), 1_000)
        };
        for (skew, bound) in [(3_600, 5), (60, 5), (5, 5), (3, 3), (0, 2)] {
            for most in [bound, -bound] {
                assert_eq!(judged(most, bound, skew).verdict, Verdict::Ok);
                let beyond = most + most.signum();
                let found = judged(beyond, 0, skew);
                assert_eq!(found.verdict, Verdict::Problem);
                let said = format!(", where {bound} are allowed:");
                assert!(found.text.contains(&said), "{}", found.text);
            }
            assert_eq!(judged(0, bound + 1, skew).verdict, Verdict::Problem);
            // What was written long ago says nothing.
            assert_eq!(judged(0, -900, skew).verdict, Verdict::Ok);
        }
        let mentions = |apart, skew| judged(0, apart, skew).text.contains("CLOCK_SKEW");
        assert!(!mentions(48, 60));
        assert!(mentions(61, 60));
    }
}
