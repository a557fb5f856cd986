//! The only reader of the wall clock. Everything else is told the time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::domain::timestamp::Timestamp;

/// Tells the time: the machine's, or one that is set by hand. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<Arc<AtomicU64>>);

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub const fn system() -> Self {
        Self(None)
    }

    /// A clock that stands at `start` until it is advanced: for simulations and tests.
    #[must_use]
    pub fn manual(start: Timestamp) -> Self {
        let millis = u64::try_from(start.unix()).unwrap_or(0) * 1_000;
        Self(Some(Arc::new(AtomicU64::new(millis))))
    }

    /// Moves a manual clock, in every place that holds it. The machine's stays as it is.
    pub fn advance(&self, by: Duration) {
        if let Some(millis) = &self.0 {
            let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
            millis.fetch_add(by, Ordering::SeqCst);
        }
    }

    /// Sets a manual clock back, as an operator or a time server might. The machine's stays as it is.
    pub fn set_back(&self, by: Duration) {
        if let Some(millis) = &self.0 {
            let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
            let before = |now: u64| Some(now.saturating_sub(by));
            let _ = millis.fetch_update(Ordering::SeqCst, Ordering::SeqCst, before);
        }
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub fn unix_millis(&self) -> u64 {
        match &self.0 {
            Some(millis) => millis.load(Ordering::SeqCst),
            None => system_millis(),
        }
    }

    /// How long it has been since some instant. Unlike the time of day, the machine's never goes
    /// backwards.
    #[must_use]
    pub fn monotonic(&self) -> Duration {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        match &self.0 {
            Some(millis) => Duration::from_millis(millis.load(Ordering::SeqCst)),
            None => START.elapsed(),
        }
    }

    /// How long the machine has been up, the time it was suspended included: whoever wakes from a
    /// long sleep is to know. Always the machine's, also where the time of day is set by hand.
    #[cfg(feature = "server")]
    #[must_use]
    pub fn since_boot() -> Duration {
        #[cfg(target_os = "linux")]
        let clock = rustix::time::ClockId::Boottime;
        // Elsewhere this one counts suspension.
        #[cfg(not(target_os = "linux"))]
        let clock = rustix::time::ClockId::Monotonic;
        let now = rustix::time::clock_gettime(clock);
        Duration::try_from(now).unwrap_or_default()
    }

    /// Now, in whole seconds.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let seconds = i64::try_from(self.unix_millis() / 1_000).unwrap_or(i64::MAX);
        Timestamp::from_unix(seconds).unwrap_or(Timestamp::MAX)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the one reader of the wall clock"
)]
fn system_millis() -> u64 {
    // A clock set before 1970 reads as 1970: every key then counts as not yet expired, and
    // every token as long expired, which somebody notices.
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
