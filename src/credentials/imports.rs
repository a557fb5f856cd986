//! Strings of other systems: which imported key one may be of, at a cost that strangers cannot run
//! up.
//!
//! Such a string carries no tag, so an unknown one costs a query, once: what was not found is
//! remembered, few are looked up at a time, and nothing is where nothing was imported. Slow hashes
//! are only computed where the beginning of a string is known, behind a gate of their own.

use std::sync::{self, Arc, PoisonError, RwLock};
use std::time::Duration;

use quick_cache::sync::Cache;
use ring::hmac;
use tokio::sync::{Mutex, Semaphore};

use super::Denied;
use super::freshness::Trust;
use super::gate::Overloaded;
use super::generations::{Generation, Generations};
use crate::clock::Clock;
use crate::crypto::Crypto;
use crate::crypto::random;
use crate::domain::secret::ForeignSecret;
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::imports::{Candidate, Shape};

/// How many strings are remembered that are keys, how many that only begin as one does, and how many
/// that are none: the latter two are strangers' to make up, and displace none of the first.
const CAPACITY: usize = 100_000;

/// How many strings are looked up at a time.
const AT_ONCE: usize = 4;

/// How long a string waits for its turn, and for the database.
const PATIENCE: Duration = Duration::from_secs(2);

/// For how long a database that did not answer is not asked again where something is known.
const IN_VAIN: Duration = Duration::from_millis(500);

type Digest = [u8; 32];

/// Which strings of other systems are keys.
pub(super) struct Imports {
    store: Store,
    crypto: Arc<Crypto>,
    generations: Arc<Generations>,
    /// Of this process alone: a digest found in its memory identifies nothing elsewhere.
    key: hmac::Key,
    shape: RwLock<Option<Known<Shape>>>,
    /// One load at a time.
    turn: Mutex<()>,
    turns: Semaphore,
    /// When the database was last asked in vain.
    in_vain: sync::Mutex<Option<Duration>>,
    found: Cache<Digest, Known<[Candidate]>>,
    begun: Cache<Digest, Known<[Candidate]>>,
    not_found: Cache<Digest, Generation>,
}

struct Known<T: ?Sized> {
    loaded: Generation,
    what: Arc<T>,
}

impl<T: ?Sized> Clone for Known<T> {
    fn clone(&self) -> Self {
        Self {
            loaded: self.loaded,
            what: Arc::clone(&self.what),
        }
    }
}

impl Imports {
    /// Nothing known yet.
    pub(super) fn new(store: Store, crypto: Arc<Crypto>, generations: Arc<Generations>) -> Self {
        Self {
            store,
            crypto,
            generations,
            key: hmac::Key::new(hmac::HMAC_SHA256, &random::bytes::<32>()),
            shape: RwLock::default(),
            turn: Mutex::default(),
            turns: Semaphore::new(AT_ONCE),
            in_vain: sync::Mutex::default(),
            found: Cache::new(CAPACITY),
            begun: Cache::new(CAPACITY),
            not_found: Cache::new(CAPACITY),
        }
    }

    /// Which keys a string may be of; none, nearly always without the database, if it is not
    /// known at all.
    ///
    /// # Errors
    /// [`Denied::Unavailable`] when the database does not answer, [`Denied::Overloaded`] when too
    /// many unknown strings came at once.
    pub(super) async fn candidates(
        &self,
        secret: &ForeignSecret,
    ) -> Result<Arc<[Candidate]>, Denied> {
        let shape = self.shape().await?;
        if !shape.any {
            return Ok(Arc::default());
        }
        let digest = self.digest(secret);
        let current = |loaded| self.generations.are_imports_current(loaded);
        let held = self.found.get(&digest);
        let held = held.or_else(|| self.begun.get(&digest));
        match &held {
            // What is held of a key is proved by the key itself: it serves until better is known.
            Some(known) if current(known.loaded) || self.was_in_vain() => {
                return Ok(Arc::clone(&known.what));
            }
            _ => {}
        }
        // That there is none is relied on as long as anything that is cached.
        let heard = |loaded| current(loaded) && self.generations.trust(loaded) != Trust::None;
        if self.not_found.get(&digest).is_some_and(heard) {
            return Ok(Arc::default());
        }
        let looked_up = tokio::time::timeout(PATIENCE, async {
            let turn = self.turns.acquire().await;
            let _turn = turn.expect("it is never closed");
            // Taken before the query: what is imported during it may be missing.
            let loaded = self.generations.begin();
            let lookups = self.crypto.lookups(secret, &shape.prefixes);
            let ask = || self.store.import_candidates(&lookups);
            let found = self.store.asked_again(ask).await?;
            Ok::<_, StoreError>((loaded, found))
        });
        let (loaded, found) = match (looked_up.await, held) {
            (Ok(Ok(found)), _) => found,
            (Ok(Err(error)), _) if !error.is_passing() => return Err(error.into()),
            (Ok(Err(_)) | Err(_), Some(known)) => {
                self.note_in_vain();
                return Ok(known.what);
            }
            (Ok(Err(error)), None) => return Err(error.into()),
            (Err(_), None) => return Err(Overloaded.into()),
        };
        let what: Arc<[Candidate]> = found.into();
        if what.is_empty() {
            self.not_found.insert(digest, loaded);
        } else {
            let known = Known {
                loaded,
                what: Arc::clone(&what),
            };
            let (in_place, elsewhere) = if what.iter().any(|one| one.whole) {
                (&self.found, &self.begun)
            } else {
                (&self.begun, &self.found)
            };
            in_place.insert(digest, known);
            elsewhere.remove(&digest);
        }
        Ok(what)
    }

    /// What there is to find. While the database does not answer, what was known goes on.
    async fn shape(&self) -> Result<Arc<Shape>, Denied> {
        if let Some(shape) = self.current() {
            return Ok(shape);
        }
        let _turn = self.turn.lock().await;
        if let Some(shape) = self.current() {
            return Ok(shape);
        }
        let loaded = self.generations.begin();
        let asked = self.store.asked_again(|| self.store.import_shape());
        let found = tokio::time::timeout(PATIENCE, asked).await;
        match (found.unwrap_or(Err(StoreError::TimedOut)), self.held()) {
            (Ok(shape), _) => {
                let what = Arc::new(shape);
                let known = Known {
                    loaded,
                    what: Arc::clone(&what),
                };
                *self.shape.write().unwrap_or_else(PoisonError::into_inner) = Some(known);
                Ok(what)
            }
            (Err(error), Some(held)) if error.is_passing() => {
                self.note_in_vain();
                Ok(held.what)
            }
            (Err(error), _) => Err(error.into()),
        }
    }

    fn current(&self) -> Option<Arc<Shape>> {
        let relied_on = |loaded| {
            self.generations.are_imports_current(loaded)
                && self.generations.trust(loaded) != Trust::None
        };
        let held = self.held();
        held.filter(|held| relied_on(held.loaded) || self.was_in_vain())
            .map(|held| held.what)
    }

    fn held(&self) -> Option<Known<Shape>> {
        let held = self.shape.read().unwrap_or_else(PoisonError::into_inner);
        held.clone()
    }

    /// Notes that the database did not answer.
    fn note_in_vain(&self) {
        *self.in_vain.lock().unwrap_or_else(PoisonError::into_inner) = Some(Clock::since_boot());
    }

    /// Whether it was asked in vain a moment ago: or each request would wait for it in turn.
    fn was_in_vain(&self) -> bool {
        let asked = *self.in_vain.lock().unwrap_or_else(PoisonError::into_inner);
        asked.is_some_and(|at| Clock::since_boot().saturating_sub(at) < IN_VAIN)
    }

    fn digest(&self, secret: &ForeignSecret) -> Digest {
        let tag = hmac::sign(&self.key, secret.expose().as_bytes());
        tag.as_ref().try_into().expect("an HMAC-SHA256 of 32 bytes")
    }
}
