//! What is held of keys, and asked of the database when that is old.

use std::sync::Arc;
use std::time::Duration;

use super::freshness::Trust;
use super::generations::Generation;
use super::{Credential, Credentials, Denied, Verified, Which};
use crate::domain::secret::{ApiKeySecret, KeyId};
use crate::domain::timestamp::Timestamp;
use crate::store::error::StoreError;

/// How long a request waits for the database where what is held may be used otherwise.
const ASKING: Duration = Duration::from_secs(1);

/// How often a key was looked for since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lookups {
    /// Found in memory.
    pub hits: u64,
    /// Asked of the database.
    pub misses: u64,
}

#[derive(Clone)]
pub(super) struct Cached {
    pub(super) loaded: Generation,
    pub(super) credential: Option<Arc<Credential>>,
}

impl Cached {
    /// The credential whose secret this must be, if it is one.
    pub(super) fn presented(
        self,
        secret: &ApiKeySecret,
        now: Timestamp,
    ) -> Result<Verified, Denied> {
        let credential = self.credential.ok_or(Denied::Unknown)?;
        Ok(Verified {
            which: credential.presented(secret, now),
            credential,
            loaded: self.loaded,
        })
    }

    /// The credential that a token stands for, if it is one in force.
    pub(super) fn of_token(self, now: Timestamp) -> Result<Verified, Denied> {
        let verified = Verified {
            credential: self.credential.ok_or(Denied::Unknown)?,
            which: Which::Lasting,
            loaded: self.loaded,
        };
        verified.require_in_force(now)?;
        Ok(verified)
    }
}

/// Which count is which.
const HIT: usize = 0;
const MISS: usize = 1;

impl Credentials {
    /// How often keys were looked for since the start.
    #[must_use]
    pub fn lookups(&self) -> Lookups {
        Lookups {
            hits: self.lookups.total(HIT),
            misses: self.lookups.total(MISS),
        }
    }

    /// How many keys are held in memory.
    #[must_use]
    pub fn held(&self) -> usize {
        self.cache.len()
    }

    /// From the cache if what it holds is still true, else from the database. Concurrent
    /// askers of one key share one query.
    pub(super) async fn look_up(&self, id: KeyId) -> Result<Cached, StoreError> {
        if let Some(cached) = self.at_hand(id) {
            self.note_hit();
            return Ok(cached);
        }
        // Whoever waits for another's query that fails would begin one of its own, and so on in
        // a row: patience is counted from when one came.
        self.generations.patiently(self.look_up_patiently(id)).await
    }

    /// From the cache, if what it holds can be relied on without asking anybody: almost always.
    pub(super) fn at_hand(&self, id: KeyId) -> Option<Cached> {
        self.cache.get(&id).filter(|cached| {
            self.is_current(id, cached) && self.generations.trust(cached.loaded) == Trust::Whole
        })
    }

    /// Counts a key that was found in memory.
    pub(super) fn note_hit(&self) {
        self.lookups.add(HIT, 1);
    }

    async fn look_up_patiently(&self, id: KeyId) -> Result<Cached, StoreError> {
        loop {
            match self.cache.get_value_or_guard_async(&id).await {
                Ok(cached) if self.is_current(id, &cached) => {
                    match self.generations.trust(cached.loaded) {
                        Trust::Whole | Trust::Unanswered => {
                            self.note_hit();
                            return Ok(cached);
                        }
                        Trust::Doubtful => return self.ask_first(id, cached).await,
                        Trust::None => self.forget(id, &cached),
                    }
                }
                Ok(stale) => self.forget(id, &stale),
                Err(guard) => {
                    let cached = self.load(id).await?;
                    if self.is_current(id, &cached) {
                        let _ = guard.insert(cached.clone());
                        return Ok(cached);
                    }
                }
            }
        }
    }

    /// From the database; if that does not answer either, what is held counts on.
    async fn ask_first(&self, id: KeyId, held: Cached) -> Result<Cached, StoreError> {
        match tokio::time::timeout(ASKING, self.load(id)).await {
            Ok(Ok(loaded)) => {
                // Should a change have overtaken it, whoever finds it sees that.
                self.cache.insert(id, loaded.clone());
                Ok(loaded)
            }
            Ok(Err(error)) if !error.is_passing() => Err(error),
            Ok(Err(_)) | Err(_) => {
                self.generations.asked_in_vain();
                Ok(held)
            }
        }
    }

    async fn load(&self, id: KeyId) -> Result<Cached, StoreError> {
        if self.generations.is_hopeless() {
            return Err(StoreError::TimedOut);
        }
        self.lookups.add(MISS, 1);
        self.together.find(id).await
    }

    fn forget(&self, id: KeyId, stale: &Cached) {
        self.cache
            .remove_if(&id, |held| held.loaded == stale.loaded);
    }

    pub(super) fn is_current(&self, id: KeyId, cached: &Cached) -> bool {
        match &cached.credential {
            Some(credential) => {
                let organization = &credential.key.organization;
                self.generations
                    .is_current(cached.loaded, Some(id), organization)
            }
            None => self.generations.is_key_current(cached.loaded, id),
        }
    }
}
