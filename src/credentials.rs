//! Who is this? API keys behind a cache, Argon2 behind a gate, and immediate revocation.

pub mod denials;
pub mod explain;
mod foreign;
pub mod freshness;
pub mod gate;
pub mod generations;
mod imports;
pub mod issuers;
pub mod limits;
pub mod proofs;
mod renewals;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use quick_cache::sync::Cache;

use crate::crypto::Crypto;
use crate::crypto::fingerprint;
use crate::crypto::secret_hash::StoredHashError;
use crate::domain::api_key::{ApiKey, Status};
use crate::domain::claims::KeyClaims;
use crate::domain::policy::Effective;
use crate::domain::rate_limit::RateLimit;
use crate::domain::secret::{ApiKeySecret, KeyId, PresentedSecret};
use crate::domain::timestamp::Timestamp;
use crate::store::Store;
use crate::store::api_keys::{StoredCredential, StoredHash};
use crate::store::error::StoreError;

use denials::Denials;
use freshness::Trust;
use gate::{Gate, Overloaded};
use generations::{Generation, Generations};
use imports::Imports;
use proofs::Proofs;
use renewals::Renewals;

/// How long a request waits for the database to tell who somebody is.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long it waits where what is held may be used otherwise.
const ASKING: Duration = Duration::from_secs(1);

/// How many keys are remembered at most.
const CAPACITY: usize = 100_000;

/// Everything known of the holders of API keys.
pub struct Credentials {
    /// Which access tokens no longer count.
    pub denials: Denials,
    store: Store,
    crypto: Arc<Crypto>,
    cache: Cache<KeyId, Cached>,
    proofs: Arc<Proofs>,
    renewals: Renewals,
    imports: Imports,
    generations: Arc<Generations>,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// How often a key was looked for since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lookups {
    /// Found in memory.
    pub hits: u64,
    /// Asked of the database.
    pub misses: u64,
}

/// A key and all that decides about it, as one load found it.
#[derive(Debug)]
pub struct Credential {
    /// The key.
    pub key: ApiKey,
    /// What its tokens say of it, ready to use.
    pub claims: KeyClaims,
    /// Whether its organization is suspended.
    pub organization_suspended: bool,
    /// The policy of its organization, if that has one.
    pub policy: Option<Arc<Effective>>,
    hash: StoredHash,
    /// That of the secret which a rotation replaced, if it may still count.
    ending_hash: Option<StoredHash>,
}

/// Which of a key's secrets was presented.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Which {
    /// The key's own.
    Lasting,
    /// The one before, while a rotation lets both count.
    Ending,
}

/// A credential whose holder proved to be who it says, and how fresh that knowledge is.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The credential.
    pub credential: Arc<Credential>,
    /// Which secret was proven; the key's own where a token stands for it.
    pub which: Which,
    loaded: Generation,
}

/// Why a presented key is not accepted. To the outside all but the last two are one.
#[derive(Debug, thiserror::Error)]
pub enum Denied {
    /// Not made under this deployment's root key.
    #[error("forged or foreign key string")]
    Forged,
    /// Genuine, but there is no such key.
    #[error("unknown key")]
    Unknown,
    /// Genuine, but not the key's present secret.
    #[error("wrong secret")]
    WrongSecret,
    /// The key has ended.
    #[error("key is {}", .0.as_str())]
    Ended(Status),
    /// The key's organization is suspended.
    #[error("organization is suspended")]
    OrganizationSuspended,
    /// Too many first uses at once.
    #[error(transparent)]
    Overloaded(#[from] Overloaded),
    /// The database did not answer, or answered nonsense.
    #[error(transparent)]
    Unavailable(#[from] StoreError),
}

/// A presented key that is not accepted, and whose it is where that is known.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub struct Rejected {
    /// Why.
    pub why: Denied,
    /// The key that was named by a genuine string.
    pub credential: Option<Arc<Credential>>,
}

#[derive(Clone)]
struct Cached {
    loaded: Generation,
    credential: Option<Arc<Credential>>,
}

impl Credentials {
    /// Nothing cached yet.
    #[must_use]
    pub fn new(store: Store, crypto: Arc<Crypto>, generations: Arc<Generations>) -> Self {
        let gate = Arc::new(Gate::new());
        let proofs = Arc::new(Proofs::new(Arc::clone(&crypto), gate, CAPACITY));
        Self {
            denials: Denials::new(store.clone(), Arc::clone(&generations)),
            imports: Imports::new(store.clone(), Arc::clone(&crypto), Arc::clone(&generations)),
            renewals: Renewals::new(
                store.clone(),
                Arc::clone(&crypto),
                Arc::clone(&proofs),
                Arc::clone(&generations),
            ),
            store,
            proofs,
            crypto,
            cache: Cache::new(CAPACITY),
            generations,
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// Who holds this secret, if it is a key in force: secret first, then state, so that a
    /// stranger learns nothing of a key's state.
    ///
    /// # Errors
    /// See [`Denied`].
    pub async fn authenticate(
        &self,
        secret: impl Into<PresentedSecret>,
        now: Timestamp,
    ) -> Result<Verified, Rejected> {
        let verified = self.identify(secret, now).await?;
        match verified.require_in_force(now) {
            Ok(()) => Ok(verified),
            Err(why) => Err(Rejected {
                why,
                credential: Some(verified.credential),
            }),
        }
    }

    /// The same whatever the key's state: for what the holder of a secret may do even then.
    ///
    /// # Errors
    /// See [`Denied`].
    pub async fn identify(
        &self,
        secret: impl Into<PresentedSecret>,
        now: Timestamp,
    ) -> Result<Verified, Rejected> {
        let secret = match secret.into() {
            PresentedSecret::Own(own) => own,
            PresentedSecret::Foreign(foreign) => return self.identify_foreign(foreign, now).await,
        };
        if !self.crypto.is_genuine(&secret) {
            return Err(Denied::Forged.into());
        }
        let id = secret.id();
        let Cached { loaded, credential } = self.look_up(id).await.map_err(Denied::from)?;
        let credential = credential.ok_or(Denied::Unknown)?;
        let which = credential.presented(&secret, now);
        let verified = Verified {
            credential,
            which,
            loaded,
        };
        // Only while a root key is being replaced: a copy, for after the proof.
        let root_key = &verified.credential.hash(which).root_key;
        let again = if self.crypto.is_current(root_key) {
            None
        } else if self.crypto.is_dropped(root_key) {
            // Also where the secret was proven before.
            return Err(Rejected {
                why: Denied::WrongSecret,
                credential: Some(verified.credential),
            });
        } else {
            ApiKeySecret::parse(secret.expose()).ok()
        };
        let proven = self.proofs.prove(secret, &verified.credential, which);
        let why = match proven.await {
            Ok(true) => {
                if let Some(secret) = again {
                    self.renewals.renew(secret, &verified.credential, which);
                }
                return Ok(verified);
            }
            Ok(false) => Denied::WrongSecret,
            Err(why) => why,
        };
        Err(Rejected {
            why,
            credential: Some(verified.credential),
        })
    }

    /// The present state of a key that an access token names. The token's signature stands
    /// for the secret.
    ///
    /// # Errors
    /// See [`Denied`].
    pub async fn of_token(&self, id: KeyId, now: Timestamp) -> Result<Verified, Denied> {
        let Cached { loaded, credential } = self.look_up(id).await?;
        let credential = credential.ok_or(Denied::Unknown)?;
        let verified = Verified {
            credential,
            which: Which::Lasting,
            loaded,
        };
        verified.require_in_force(now)?;
        Ok(verified)
    }

    /// The credential anew, after [`Self::still_stands`] said no. The secret that was proven
    /// counts only while the key still has it.
    ///
    /// # Errors
    /// See [`Denied`].
    pub async fn again(&self, before: &Verified, now: Timestamp) -> Result<Verified, Denied> {
        let after = self.of_token(before.credential.key.id, now).await?;
        // Not by its hash: the same secret may have another by now.
        let proven = before.credential.fingerprint(before.which);
        let counts = [Which::Lasting, Which::Ending]
            .into_iter()
            .filter(|which| *which == Which::Lasting || after.credential.overlaps(now))
            .find(|which| after.credential.fingerprint(*which) == proven);
        match counts {
            Some(which) => Ok(Verified { which, ..after }),
            None => Err(Denied::WrongSecret),
        }
    }

    /// Whether nothing that `verified` rests on is known to have changed since it was loaded, and
    /// that was known lately enough. Asked after signing: a revocation that came between must win,
    /// and a process may have slept.
    #[must_use]
    pub fn still_stands(&self, verified: &Verified) -> bool {
        let key = &verified.credential.key;
        self.generations
            .is_current(verified.loaded, Some(key.id), &key.organization)
            && self.generations.trust(verified.loaded) != Trust::None
    }

    /// The hash of a new secret, computed at the gate where verifications queue too.
    ///
    /// # Errors
    /// [`Overloaded`] when the queue is too long.
    pub async fn hash(&self, secret: &Arc<ApiKeySecret>) -> Result<StoredHash, Overloaded> {
        self.proofs.hash(Arc::clone(secret)).await
    }

    /// How often keys were looked for since the start.
    #[must_use]
    pub fn lookups(&self) -> Lookups {
        Lookups {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
        }
    }

    /// How many keys are held in memory.
    #[must_use]
    pub fn held(&self) -> usize {
        self.cache.len()
    }

    /// How many first uses wait for their turn at Argon2.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.proofs.waiting()
    }

    /// From the cache if what it holds is still true, else from the database. Concurrent
    /// askers of one key share one query.
    async fn look_up(&self, id: KeyId) -> Result<Cached, StoreError> {
        // Almost always: no timer, no waiting.
        if let Some(cached) = self.cache.get(&id)
            && self.is_current(id, &cached)
            && self.generations.trust(cached.loaded) == Trust::Whole
        {
            self.hits.fetch_add(1, Ordering::Relaxed);
            return Ok(cached);
        }
        // Whoever waits for another's query that fails would begin one of its own, and so on in
        // a row: patience is counted from when one came.
        tokio::time::timeout(PATIENCE, self.look_up_patiently(id))
            .await
            .unwrap_or(Err(StoreError::TimedOut))
    }

    async fn look_up_patiently(&self, id: KeyId) -> Result<Cached, StoreError> {
        loop {
            match self.cache.get_value_or_guard_async(&id).await {
                Ok(cached) if self.is_current(id, &cached) => {
                    match self.generations.trust(cached.loaded) {
                        Trust::Whole | Trust::Unanswered => {
                            self.hits.fetch_add(1, Ordering::Relaxed);
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
        self.misses.fetch_add(1, Ordering::Relaxed);
        // Taken before the query: a change during it makes the result stale.
        let loaded = self.generations.begin();
        let found = self.store.credential(id).await?;
        Ok(Cached {
            loaded,
            credential: found.map(|stored| Arc::new(Credential::from(stored))),
        })
    }

    fn forget(&self, id: KeyId, stale: &Cached) {
        self.cache
            .remove_if(&id, |held| held.loaded == stale.loaded);
    }

    fn is_current(&self, id: KeyId, cached: &Cached) -> bool {
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

impl Credential {
    /// How often the key may be exchanged: by itself, and by its organization's policy.
    #[must_use]
    pub fn rate_limit(&self) -> Option<RateLimit> {
        let own = self.key.rate_limit;
        match &self.policy {
            Some(policy) => policy.rate_limit(own),
            None => own,
        }
    }

    /// Whether the key is exchanged for tokens and not shown to services itself: by itself, or by
    /// its organization's policy.
    #[must_use]
    pub fn exchange_only(&self) -> bool {
        self.key.exchange_only || self.policy.as_deref().is_some_and(Effective::exchange_only)
    }

    /// Which of the key's secrets this must be, if it is one. Only a key under rotation has to
    /// be asked.
    fn presented(&self, secret: &ApiKeySecret, now: Timestamp) -> Which {
        match self.key.overlap(now) {
            Some(before) if fingerprint::of(secret) == before.fingerprint => Which::Ending,
            _ => Which::Lasting,
        }
    }

    /// The fingerprint of one of the key's secrets.
    #[must_use]
    pub fn fingerprint(&self, which: Which) -> &str {
        match (which, &self.key.overlap) {
            (Which::Ending, Some(before)) => &before.fingerprint,
            _ => &self.key.fingerprint,
        }
    }

    /// When one of the key's secrets ends before the key itself, if it does.
    #[must_use]
    pub fn end_of(&self, which: Which) -> Option<Timestamp> {
        let before = self.key.overlap.as_ref();
        before
            .filter(|_| which == Which::Ending)
            .map(|before| before.ends_at)
    }

    /// When one of the key's secrets was made.
    #[must_use]
    pub fn made_at(&self, which: Which) -> Timestamp {
        match (which, &self.key.overlap) {
            (Which::Ending, Some(before)) => before.created_at,
            _ => self.key.secret_created_at,
        }
    }

    fn overlaps(&self, now: Timestamp) -> bool {
        self.key.overlap(now).is_some()
    }

    fn hash(&self, which: Which) -> &StoredHash {
        match (which, &self.ending_hash) {
            (Which::Ending, Some(hash)) => hash,
            _ => &self.hash,
        }
    }
}

impl Verified {
    /// Requires that the key, and the secret that was proven, count at `now`: whoever waited
    /// long for something asks again.
    ///
    /// # Errors
    /// [`Denied::Ended`], [`Denied::OrganizationSuspended`] or [`Denied::WrongSecret`].
    pub fn require_in_force(&self, now: Timestamp) -> Result<(), Denied> {
        match self.credential.key.status(now) {
            Status::Active if self.credential.organization_suspended => {
                Err(Denied::OrganizationSuspended)
            }
            Status::Active if self.which == Which::Ending && !self.credential.overlaps(now) => {
                Err(Denied::WrongSecret)
            }
            Status::Active => Ok(()),
            ended => Err(Denied::Ended(ended)),
        }
    }
}

impl From<Denied> for Rejected {
    fn from(why: Denied) -> Self {
        Self {
            why,
            credential: None,
        }
    }
}

impl From<StoredCredential> for Credential {
    fn from(stored: StoredCredential) -> Self {
        Self {
            claims: KeyClaims::of(&stored.key),
            key: stored.key,
            organization_suspended: stored.organization_suspended,
            policy: stored.policy,
            hash: stored.hash,
            ending_hash: stored.ending_hash,
        }
    }
}

impl From<StoredHashError> for Denied {
    fn from(error: StoredHashError) -> Self {
        let what = match error {
            StoredHashError::Damaged => "hash",
            StoredHashError::TooDear => "hash costs more than the greatest cost",
            StoredHashError::NotHeld => "root_key names one that is not held here",
        };
        Self::Unavailable(StoreError::Corrupt {
            table: "api_key_secrets",
            what,
        })
    }
}
