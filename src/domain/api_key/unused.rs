//! Keys that nobody uses: when their owners are warned, and when the keys are revoked.

use std::time::Duration;

use super::super::timestamp::Timestamp;
use super::{ApiKey, Status};

/// How long before a key is revoked because nobody uses it its owner is warned, at least.
pub const UNUSED_WARNING: Duration = Duration::from_hours(7 * 24);

/// What follows from how long a key has not been used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Disuse {
    /// Nothing. If its owner was warned, the warning no longer stands.
    Harmless,
    /// Its owner is to be warned.
    Warn,
    /// Its owner was warned, and it is not yet time.
    Warned,
    /// It is to be revoked.
    Revoke,
}

impl ApiKey {
    /// What follows, at `now`, from how long the key has not been used, where keys are revoked
    /// after so many days without use. `None`: they never are.
    #[must_use]
    pub fn disuse(&self, after_days: Option<u32>, now: Timestamp) -> Disuse {
        let Some(days) = after_days else {
            return Disuse::Harmless;
        };
        if !matches!(self.status(now), Status::Active | Status::Disabled) {
            return Disuse::Harmless;
        }
        let alive = self.last_sign_of_life();
        if now < alive.plus(span(days)).minus(UNUSED_WARNING) {
            return Disuse::Harmless;
        }
        match self.unused_warned_at.filter(|warned| *warned > alive) {
            None => Disuse::Warn,
            Some(warned) if now >= self.unused_until(days, warned) => Disuse::Revoke,
            Some(_) => Disuse::Warned,
        }
    }

    /// From when the key may be revoked, if its owner was warned at `warned` and it stays unused.
    #[must_use]
    pub fn unused_until(&self, after_days: u32, warned: Timestamp) -> Timestamp {
        let unused = self.last_sign_of_life().plus(span(after_days));
        unused.max(warned.plus(UNUSED_WARNING))
    }

    /// When somebody last cared: used it, gave it a secret, or made it.
    fn last_sign_of_life(&self) -> Timestamp {
        let made = self.created_at.max(self.secret_created_at);
        self.last_used_at.map_or(made, |used| used.max(made))
    }
}

fn span(days: u32) -> Duration {
    Duration::from_secs(u64::from(days) * 86_400)
}
