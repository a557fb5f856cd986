//! Denials: the access tokens that were revoked before their end, held in memory as a whole.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Mutex;

use super::freshness::Trust;
use super::generations::{Generation, Generations};
use crate::domain::timestamp::Timestamp;
use crate::store::Store;
use crate::store::error::StoreError;

/// How long a request waits for the database where what is held may be used otherwise.
const ASKING: Duration = Duration::from_secs(1);

/// Every token denied. They are few: each ends by itself within minutes, and a key has no more
/// than a bounded number of them.
pub struct Denials {
    store: Store,
    generations: Arc<Generations>,
    held: RwLock<Option<Arc<Held>>>,
    /// One load at a time.
    turn: Mutex<()>,
}

struct Held {
    loaded: Generation,
    /// What time it was then: what was over by then is not in it.
    at: Timestamp,
    denied: HashSet<String>,
}

impl Denials {
    /// Nothing loaded yet.
    #[must_use]
    pub fn new(store: Store, generations: Arc<Generations>) -> Self {
        Self {
            store,
            generations,
            held: RwLock::default(),
            turn: Mutex::default(),
        }
    }

    /// Whether the token of this `jti` was denied before this was asked. Needs the database only
    /// when something was denied since it was last asked, or news may have been missed.
    ///
    /// # Errors
    /// When the database is unavailable: what may be denied must not be taken for good.
    pub async fn is_denied(&self, jti: &str, now: Timestamp) -> Result<bool, StoreError> {
        let held = match self.current(now) {
            Some((held, Trust::Whole | Trust::Unanswered)) => held,
            // Boxed: every request would carry room for it otherwise.
            Some((held, Trust::Doubtful)) => Box::pin(self.ask_first(held, now)).await?,
            Some((_, Trust::None)) | None => self.generations.patiently(self.load(now)).await?,
        };
        Ok(held.denied.contains(jti))
    }

    /// The same; `None` where memory does not tell.
    #[must_use]
    pub fn is_denied_at_once(&self, jti: &str, now: Timestamp) -> Option<bool> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        let (held, trust) = self.counting(held.as_ref(), now)?;
        (trust == Trust::Whole).then(|| held.denied.contains(jti))
    }

    /// What is held, if nothing is known to have been denied since it was loaded, nor does anything
    /// count again because the clock was set back.
    fn current(&self, now: Timestamp) -> Option<(Arc<Held>, Trust)> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        let (held, trust) = self.counting(held.as_ref(), now)?;
        Some((Arc::clone(held), trust))
    }

    fn counting<'a>(
        &self,
        held: Option<&'a Arc<Held>>,
        now: Timestamp,
    ) -> Option<(&'a Arc<Held>, Trust)> {
        held.filter(|held| held.at <= now && self.generations.are_denials_current(held.loaded))
            .map(|held| (held, self.generations.trust(held.loaded)))
    }

    /// From the database; if that does not answer either, what is held counts on.
    async fn ask_first(&self, held: Arc<Held>, now: Timestamp) -> Result<Arc<Held>, StoreError> {
        match tokio::time::timeout(ASKING, self.load(now)).await {
            Ok(Err(error)) if !error.is_passing() => Err(error),
            Ok(Ok(loaded)) => Ok(loaded),
            Ok(Err(_)) | Err(_) => {
                self.generations.asked_in_vain();
                Ok(held)
            }
        }
    }

    async fn load(&self, now: Timestamp) -> Result<Arc<Held>, StoreError> {
        let _turn = self.turn.lock().await;
        if let Some((held, Trust::Whole)) = self.current(now) {
            return Ok(held);
        }
        if self.generations.is_hopeless() {
            return Err(StoreError::TimedOut);
        }
        let loaded = self.generations.begin();
        let ask = || self.store.denied_tokens(now);
        let denied = self.store.asked_again(ask).await?.into_iter().collect();
        // What is denied meanwhile may be missing. Whoever asks from then on loads anew; whoever
        // waits for this load asked before.
        let held = Arc::new(Held {
            loaded,
            at: now,
            denied,
        });
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&held));
        Ok(held)
    }
}
