//! The clock: tokens and ends of keys are worth what it is worth. And the jobs that go by it.

use super::finding::Finding;
use crate::domain::timestamp::Timestamp;
use crate::store::Store;
use crate::store::health::Times;

/// How many seconds two machines may be apart. Validators tolerate a minute, as a rule.
const APART: i64 = 5;

/// How many seconds a job that runs each hour may be late.
pub(super) const LATE: i64 = 2 * 3_600;

/// Compares the clock with the database's and with what was written last.
pub(super) async fn look(store: &Store, now: Timestamp) -> Vec<Finding> {
    match store.times().await {
        Ok(times) => vec![clock(&times, now.unix()), jobs(&times, now.unix())],
        Err(why) => vec![Finding::problem("clock", why.to_string())],
    }
}

fn clock(times: &Times, now: i64) -> Finding {
    const CHECK: &str = "clock";
    if let Some(theirs) = times.database
        && (theirs - now).abs() > APART
    {
        return Finding::problem(
            CHECK,
            format!(
                "this machine and the database's are {} seconds apart: let both follow NTP",
                (theirs - now).abs()
            ),
        );
    }
    let newest = times.newest_entry.max(times.last_sign_of_life);
    if let Some(ahead) = newest
        .map(|newest| newest - now)
        .filter(|ahead| *ahead > APART)
    {
        return Finding::problem(
            CHECK,
            format!(
                "what was written last is {ahead} seconds ahead of this clock, which stepped back, \
                 or another server's is wrong: let every machine follow NTP. Until then keys may \
                 live too long, and new tokens be refused as from the future"
            ),
        );
    }
    Finding::ok(
        CHECK,
        "it agrees with the database and with what was written last",
    )
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
