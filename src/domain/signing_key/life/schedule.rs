//! The times of rotation: set in a few settings, and derived from these so that they cannot
//! contradict each other.

use std::time::Duration;

use super::Life;
use crate::domain::timestamp::Timestamp;

/// The longest life that a token can have, whatever settings and policies say.
pub const LONGEST_TOKEN: Duration = Duration::from_hours(1);

/// By how much the clock of a validator may differ from that of whoever issued.
pub const CLOCK_SKEW: Duration = Duration::from_mins(5);

/// For how long the slowest validators that are known go on with a JWKS, whatever they are told:
/// an HTTP API of AWS, two hours.
const SLOWEST_CACHE: Duration = Duration::from_hours(2);

/// When signing keys are published, begin to sign, and go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Schedule {
    interval: Option<Duration>,
    lead: Duration,
    jwks_max_age: Duration,
    skew: Duration,
    stale_limit: Duration,
}

/// Times that contradict each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ScheduleError {
    /// A validator that does as it is told would meet tokens of a key that it does not know.
    #[error(
        "SIGNING_KEY_LEAD must be at least JWKS_MAX_AGE, STALE_LIMIT and CLOCK_SKEW together ({}): \
         until then a validator may go on with a JWKS of before, and would not know the key",
        humantime::format_duration(*.0)
    )]
    LeadTooShort(Duration),
    /// Keys would be replaced before they are known, or pile up.
    #[error(
        "SIGNING_KEY_ROTATION must be at least {}: the time for which a key is published before \
         and after it signs; or `off`",
        humantime::format_duration(*.0)
    )]
    IntervalTooShort(Duration),
}

impl Schedule {
    /// A schedule of `interval` between rotations (`None`: only when somebody asks), `lead` for
    /// which a key is published before it signs, the `max-age` that the JWKS is served with, the
    /// `skew` by which the clocks of nodes may differ, and the `stale_limit` for which a node that
    /// hears nothing goes on with what it knew.
    ///
    /// # Errors
    /// See [`ScheduleError`].
    pub fn new(
        interval: Option<Duration>,
        lead: Duration,
        jwks_max_age: Duration,
        skew: Duration,
        stale_limit: Duration,
    ) -> Result<Self, ScheduleError> {
        let schedule = Self {
            interval,
            lead,
            jwks_max_age,
            skew,
            stale_limit,
        };
        let least = schedule.least_lead();
        if lead < least {
            return Err(ScheduleError::LeadTooShort(least));
        }
        // Jitter takes a tenth off an interval.
        let least = (lead + schedule.retention()) * 10 / 9;
        let least = Duration::from_secs(least.as_secs() + 1);
        match interval {
            Some(interval) if interval < least => Err(ScheduleError::IntervalTooShort(least)),
            _ => Ok(schedule),
        }
    }

    /// The same while a JWKS that was served with this `max-age` may be in a cache. Longer leads and
    /// retentions contradict nothing: a key then follows another later than it might.
    #[must_use]
    pub fn reckoning_with(&self, max_age: Duration) -> Self {
        let longer = Self {
            jwks_max_age: self.jwks_max_age.max(max_age),
            ..*self
        };
        Self {
            lead: self.lead.max(longer.least_lead()),
            ..longer
        }
    }

    /// For how long a key is to be published at least before it signs.
    fn least_lead(&self) -> Duration {
        // Who publishes may be behind, and who signs ahead. Times are whole seconds: a lead may
        // turn out to be one shorter than it is said to be.
        self.outdated_for() + self.skew.max(Duration::from_secs(1))
    }

    /// How long an active key signs before the next one does; `None`: until somebody rotates it.
    #[must_use]
    pub const fn interval(&self) -> Option<Duration> {
        self.interval
    }

    /// For how long a key is published before it signs.
    #[must_use]
    pub const fn lead(&self) -> Duration {
        self.lead
    }

    /// For how long a validator may go on with the JWKS that it has (RFC 9111 §5.2.2.1), whichever
    /// server it has it from.
    #[must_use]
    pub const fn jwks_max_age(&self) -> Duration {
        self.jwks_max_age
    }

    /// By how much the clocks of nodes may differ.
    #[must_use]
    pub const fn skew(&self) -> Duration {
        self.skew
    }

    /// For how long after a change a JWKS of before may be in use at validators that heed its
    /// `max-age`: a node that is cut off hands it out until its limit, to whoever keeps it then.
    #[must_use]
    pub fn outdated_for(&self) -> Duration {
        self.stale_limit + self.jwks_max_age
    }

    /// The same of the slowest validators that are known.
    #[must_use]
    pub fn outdated_at_most_for(&self) -> Duration {
        self.stale_limit + self.jwks_max_age.max(SLOWEST_CACHE)
    }

    /// For how long a key stays published after it was to sign for the last time: until the last
    /// of its tokens has expired by everybody's clock, and a JWKS cache's time more.
    ///
    /// A node that is cut off goes on signing for its limit, and may be ahead of validators; and
    /// who destroys the key may be ahead of who told it to stop.
    #[must_use]
    pub fn retention(&self) -> Duration {
        let live = self.stale_limit + LONGEST_TOKEN + CLOCK_SKEW.max(self.skew);
        live + self.skew + self.jwks_max_age
    }

    /// The first instant at which a key that is next may sign: when it was told to, but never
    /// before the lead, which may have been made longer meanwhile.
    #[must_use]
    pub fn signs_from(&self, life: &Life) -> Timestamp {
        life.activates_at.max(life.published_at.plus(self.lead))
    }
}
