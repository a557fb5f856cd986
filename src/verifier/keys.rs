//! The issuer's keys: held, refreshed behind the requests' backs, and fetched once for all who wait.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::Clock;
use crate::crypto::jose::trust::TrustedKey;

use super::discovery::{Published, Source};
use super::fetch::FetchError;

/// How long keys count, and how often the issuer is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    /// The least time between two fetches.
    pub(super) cooldown: Duration,
    /// How long keys still count beyond their time while the issuer cannot be reached.
    pub(super) stale_for: Duration,
}

/// Keys in use, and how they are renewed.
pub(super) struct Keys {
    source: Source,
    timing: Timing,
    clock: Clock,
    held: RwLock<Arc<Held>>,
    attempts: Mutex<Attempts>,
}

/// The keys at one time.
pub(super) struct Held {
    pub(super) keys: Vec<TrustedKey>,
    /// Another number means other keys.
    pub(super) generation: u64,
    text: Vec<u8>,
    /// When they were fetched, and how long they are good for; `None` before the first time.
    fetched: Option<(Duration, Duration)>,
}

#[derive(Default)]
struct Attempts {
    /// The fetch under way: closed when it has landed.
    flight: Option<watch::Receiver<()>>,
    /// When the last one began.
    last: Option<Duration>,
    has_failed: bool,
}

/// What `max-age` may be. Below, the issuer would be asked all the time; above, a key that it
/// withdrew would count too long.
const SHORTEST: Duration = Duration::from_secs(30);
const LONGEST: Duration = Duration::from_hours(1);
const UNSAID: Duration = Duration::from_mins(5);

/// While there are no keys at all, nobody can be served, and it is tried more often.
const FIRST_COOLDOWN: Duration = Duration::from_secs(1);

impl Keys {
    pub(super) fn new(source: Source, timing: Timing, clock: Clock) -> Self {
        let nothing = Held {
            keys: Vec::new(),
            generation: 0,
            text: Vec::new(),
            fetched: None,
        };
        Self {
            source,
            timing,
            clock,
            held: RwLock::new(Arc::new(nothing)),
            attempts: Mutex::default(),
        }
    }

    /// The keys to verify with. A request waits for them only when there are none that are fresh,
    /// and not even then while the issuer is known to be out of reach.
    pub(super) async fn current(self: &Arc<Self>) -> Option<Arc<Held>> {
        let held = self.held();
        let now = self.clock.monotonic();
        if held.is_fresh(now) {
            if held.is_due(now) {
                self.refresh();
            }
            return Some(held);
        }
        let flight = self.refresh();
        if held.is_usable(now, self.timing.stale_for) && self.attempts().has_failed {
            return Some(held);
        }
        land(flight).await;
        let held = self.held();
        held.is_usable(self.clock.monotonic(), self.timing.stale_for)
            .then_some(held)
    }

    /// The keys, if they are not past their time.
    pub(super) async fn fresh(self: &Arc<Self>) -> Option<Arc<Held>> {
        let held = self.current().await?;
        held.is_fresh(self.clock.monotonic()).then_some(held)
    }

    /// The keys after they were fetched again, because a token names one that is not among `held`.
    /// Within the cooldown nothing is fetched: whoever makes names up gets no further.
    pub(super) async fn renewed(self: &Arc<Self>, held: &Arc<Held>) -> Arc<Held> {
        let now = self.held();
        if now.generation == held.generation {
            land(self.refresh()).await;
        }
        self.held()
    }

    /// How long it is until they are to be refreshed.
    pub(super) fn until_refresh(&self) -> Duration {
        let held = self.held();
        let Some((fetched, good_for)) = held.fetched else {
            return FIRST_COOLDOWN;
        };
        let due = fetched + due_after(good_for);
        due.saturating_sub(self.clock.monotonic())
            .max(self.timing.cooldown)
    }

    /// Begins a fetch, or joins the one under way; `None` within the cooldown. It runs to its end
    /// whoever hangs up.
    fn refresh(self: &Arc<Self>) -> Option<watch::Receiver<()>> {
        let now = self.clock.monotonic();
        let cooldown = match self.held().fetched {
            Some(_) => self.timing.cooldown,
            None => self.timing.cooldown.min(FIRST_COOLDOWN),
        };
        let mut attempts = self.attempts();
        if let Some(flight) = &attempts.flight
            && flight.has_changed().is_ok()
        {
            return Some(flight.clone());
        }
        if attempts.last.is_some_and(|last| now < last + cooldown) {
            return None;
        }
        let (landing, flight) = watch::channel(());
        attempts.last = Some(now);
        attempts.flight = Some(flight.clone());
        let this = Arc::clone(self);
        tokio::spawn(async move {
            let fetched = this.source.fetch().await;
            this.store(fetched);
            drop(landing);
        });
        Some(flight)
    }

    fn store(&self, fetched: Result<Published, FetchError>) {
        self.attempts().has_failed = fetched.is_err();
        let published = match fetched {
            Ok(published) => published,
            Err(why) => {
                tracing::warn!(%why, "the issuer's keys were not fetched");
                return;
            }
        };
        let good_for = published.max_age.unwrap_or(UNSAID);
        let good_for = good_for.clamp(SHORTEST, LONGEST);
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        let is_same = held.fetched.is_some() && held.text == published.text;
        *held = Arc::new(Held {
            generation: held.generation + u64::from(!is_same),
            keys: published.keys,
            text: published.text,
            fetched: Some((self.clock.monotonic(), good_for)),
        });
    }

    fn held(&self) -> Arc<Held> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&held)
    }

    fn attempts(&self) -> MutexGuard<'_, Attempts> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn is_fresh(&self, now: Duration) -> bool {
        self.is_usable(now, Duration::ZERO)
    }

    fn is_usable(&self, now: Duration, beyond: Duration) -> bool {
        self.fetched
            .is_some_and(|(fetched, good_for)| now < fetched + good_for + beyond)
    }

    fn is_due(&self, now: Duration) -> bool {
        self.fetched
            .is_some_and(|(fetched, good_for)| now >= fetched + due_after(good_for))
    }
}

/// Early enough that requests never wait.
fn due_after(good_for: Duration) -> Duration {
    good_for * 4 / 5
}

async fn land(flight: Option<watch::Receiver<()>>) {
    if let Some(mut flight) = flight {
        // Nothing is ever sent: it closes.
        let _ = flight.changed().await;
    }
}
