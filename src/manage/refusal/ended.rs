//! Why a signing key is not withdrawn: it is published no more.

use crate::domain::signing_key::{Schedule, SigningKey};
use crate::domain::timestamp::Timestamp;

/// How a signing key ended that was not withdrawn, and for how long others may still have it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ended {
    /// Since when it is published no more.
    pub at: Timestamp,
    /// Whether it never signed anything.
    pub given_up: bool,
    /// Until when it may be in a JWKS that validators keep: those that heed `Cache-Control`, and the
    /// slowest that are known; `None` when that is over for all of them.
    pub cached_until: Option<(Timestamp, Timestamp)>,
}

impl Ended {
    /// What is to be said at `now` of a key that is published no more.
    pub(in crate::manage) fn of(key: &SigningKey, schedule: &Schedule, now: Timestamp) -> Self {
        let at = key.life.retired_at.unwrap_or(now);
        let heeding = at.plus(schedule.outdated_for());
        let slowest = at.plus(schedule.outdated_at_most_for());
        Self {
            at,
            given_up: key.life.never_signs(),
            cached_until: (slowest > now).then_some((heeding, slowest)),
        }
    }
}
