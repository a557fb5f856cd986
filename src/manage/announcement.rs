//! What a server says of what it serves, in the database, for others.
//!
//! For how long validators are told that they may cache the JWKS. What one server says binds all:
//! it is in the database before any JWKS says so, and until none that did can be in a cache, the
//! times of signing keys reckon with it.
//!
//! And as which issuer. Servers on one database that differ in it refuse each other's tokens, and
//! nothing else would tell.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Management;
use crate::clock::Clock;
use crate::domain::signing_key::Schedule;
use crate::store::announced_issuers::AnnouncedIssuer;
use crate::store::changes::Change;
use crate::store::error::StoreError;
use crate::store::jwks_max_ages::Announced;

/// For how long a server may go by what it said, which it repeats before that. So long after it
/// was set to something shorter, the longer counts on at least.
const GOOD_FOR: Duration = Duration::from_mins(1);

/// By how much the database is told more, whose times are whole seconds.
const ROUNDING: Duration = Duration::from_secs(1);

/// What this server said of how long its JWKSs may be cached.
#[derive(Default)]
pub struct Announcement {
    /// Until when that is in the database, in nanoseconds of [`Clock::since_boot`].
    good_until: AtomicU64,
}

impl Announcement {
    /// Notes that it was said, at that time.
    fn renew(&self, said: Duration) {
        let until = nanos(said.saturating_add(GOOD_FOR));
        self.good_until.fetch_max(until, Ordering::SeqCst);
    }

    fn is_good(&self, now: Duration) -> bool {
        nanos(now) < self.good_until.load(Ordering::SeqCst)
    }
}

impl Management {
    /// Says for the first time what this server serves, and warns if others that live serve another
    /// issuer. Where something fails, [`Management::announce`] is to say so, which comes next.
    /// `alone`: whoever else is written down is gone, whatever it said.
    pub async fn announce_first(&self, alone: bool) {
        if alone {
            let _ = self.store.withdraw_other_issuers(self.usage.node()).await;
        }
        let _ = self.announce().await;
        let said = self.store.announced_issuers(self.clock.now()).await;
        for other in said.unwrap_or_default() {
            if other.issuer != self.base {
                tracing::warn!(
                    node = other.node,
                    issuer = other.issuer.as_str(),
                    here = self.base.as_str(),
                    "within the last minute another server on this database served another ISSUER: \
                     unless that is changing now, set the same on every server, or each refuses \
                     tokens of the other"
                );
            }
        }
    }

    /// Says, or repeats, that JWKSs of this server may be cached for as long as it is set to, and
    /// which issuer it serves.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn announce(&self) -> Result<(), StoreError> {
        let said = Clock::since_boot();
        let until = self.clock.now().plus(GOOD_FOR + ROUNDING);
        let announced = Announced {
            max_age: self.configured.jwks_max_age(),
            until,
        };
        self.store.announce_jwks_max_age(announced).await?;
        // Whoever changed a signing key while this was not said has not reckoned with it: no JWKS
        // of before is to be handed out with it.
        if !self.is_announced() {
            self.generations.raise(&Change::Everything);
        }
        self.announcement.renew(said);
        // After it, and apart: whether servers differ is of no concern to validators that cache.
        let served = AnnouncedIssuer {
            node: self.usage.node().to_owned(),
            issuer: self.base.clone(),
            until,
        };
        self.store.announce_issuer(&served).await
    }

    /// Strikes out which issuer this server serves, which stops. Its JWKSs stay in caches, and what
    /// was said of them stands.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn fall_silent(&self) -> Result<(), StoreError> {
        self.store.withdraw_issuer(self.usage.node()).await
    }

    /// Whether a JWKS may be handed out under the `max-age` of this server: every server knows, or
    /// can know, of that.
    #[must_use]
    pub fn is_announced(&self) -> bool {
        self.announcement.is_good(Clock::since_boot())
    }

    /// When signing keys are published, begin to sign, and go, at present: by the settings of this
    /// server, and by what validators were told by any.
    ///
    /// Read after a commit, it reckons with every JWKS of before that commit: what was said later
    /// goes with JWKSs that know of it.
    ///
    /// # Errors
    /// When the database is unavailable or a row corrupt.
    pub async fn schedule(&self) -> Result<Schedule, StoreError> {
        let now = self.clock.now();
        self.store.schedule(&self.configured, now).await
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_is_good_for_a_minute_unless_it_is_repeated() {
        let announcement = Announcement::default();
        let at = Duration::from_secs;
        assert!(!announcement.is_good(at(100)), "nothing was said");
        announcement.renew(at(100));
        assert!(announcement.is_good(at(100)));
        assert!(announcement.is_good(at(159)));
        assert!(!announcement.is_good(at(160)));
        announcement.renew(at(150));
        announcement.renew(at(120));
        assert!(announcement.is_good(at(209)));
        assert!(!announcement.is_good(at(210)));
    }
}
