//! Who signs, and whose signatures count: the signing keys of each issuer, opened and cached.

use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::Cache;
use tokio::sync::Semaphore;

use super::freshness::Trust;
use super::generations::{Generation, Generations};
use crate::crypto::Crypto;
use crate::crypto::fingerprint;
use crate::crypto::jose::jwks;
use crate::crypto::jose::key_pair::{KeyPair, NotAKey};
use crate::crypto::jose::signer::{Signer, TokenType};
use crate::crypto::jose::trust::{TokenError, TrustedKey};
use crate::crypto::seal::{DoesNotOpen, Row};
use crate::domain::organization::OrganizationId;
use crate::domain::signing_key::{Algorithm, State};
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::signing_keys::SealedSigningKey;

/// How long a request waits for the database where what is held may be used otherwise.
const ASKING: Duration = Duration::from_secs(1);

/// How many organizations' signing keys are held open at most.
const CAPACITY: usize = 10_000;

/// How many look-ups may be under way at once. Anybody can ask for the keys of an organization
/// that does not exist; they are not to take the database from those who ask for one that does.
const LOOK_UPS: usize = 4;

/// The signing keys of all issuers.
pub struct Issuers {
    look_ups: Semaphore,
    store: Store,
    crypto: Arc<Crypto>,
    token_type: TokenType,
    cache: Cache<OrganizationId, Cached>,
    last_known: Cache<OrganizationId, Arc<Identity>>,
    generations: Arc<Generations>,
}

/// An issuer's signing keys, ready for everything they are for.
pub struct Identity {
    /// Signs access tokens, with the active key.
    pub signer: Signer,
    /// Verifies them, whichever of the published keys signed.
    pub trusted: Vec<TrustedKey>,
    /// The JWKS document (RFC 7517 §5).
    pub jwks: Arc<str>,
    /// By what caches tell it from others.
    pub jwks_tag: Box<str>,
    /// What the published keys sign with, each algorithm once, the active key's first.
    pub algorithms: Vec<Algorithm>,
}

/// What an issuer publishes.
pub struct Published {
    /// Its signing keys.
    pub identity: Arc<Identity>,
    /// Whether that is so now. Otherwise it was when the database last answered: one of these keys
    /// may be withdrawn since, and another sign.
    pub is_known: bool,
}

/// Why there is nothing to sign with.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// The database did not answer, or answered nonsense.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The stored key does not open.
    #[error(transparent)]
    Sealed(#[from] DoesNotOpen),
    /// What opened is no key.
    #[error(transparent)]
    Key(#[from] NotAKey),
    /// The stored public half is none.
    #[error("a stored public key is not usable")]
    Public(#[from] TokenError),
}

#[derive(Clone)]
struct Cached {
    loaded: Generation,
    identity: Arc<Identity>,
}

impl Cached {
    fn published(self, is_known: bool) -> Published {
        Published {
            identity: self.identity,
            is_known,
        }
    }
}

impl Issuers {
    /// Nothing opened yet.
    #[must_use]
    pub fn new(
        store: Store,
        crypto: Arc<Crypto>,
        token_type: TokenType,
        generations: Arc<Generations>,
    ) -> Self {
        Self {
            store,
            crypto,
            token_type,
            cache: Cache::new(CAPACITY),
            last_known: Cache::new(CAPACITY),
            look_ups: Semaphore::new(LOOK_UPS),
            generations,
        }
    }

    /// The signing keys of an organization; `None` if there is no such organization, or it
    /// was not bootstrapped.
    ///
    /// # Errors
    /// See [`IssuerError`].
    pub async fn of(&self, id: &OrganizationId) -> Result<Option<Arc<Identity>>, IssuerError> {
        let found = self.found(id).await?;
        Ok(found.map(|published| published.identity))
    }

    /// The same for what is published: while the database does not answer, what was true when it
    /// last did. Validators must not fail because a database restarts.
    ///
    /// # Errors
    /// See [`IssuerError`].
    pub async fn published(&self, id: &OrganizationId) -> Result<Option<Published>, IssuerError> {
        match self.found(id).await {
            Err(IssuerError::Store(error)) if error.is_passing() => match self.last_known.get(id) {
                Some(identity) => Ok(Some(Published {
                    identity,
                    is_known: false,
                })),
                None => Err(IssuerError::Store(error)),
            },
            other => other,
        }
    }

    /// The same as [`Self::of`], if memory tells: almost always.
    #[must_use]
    pub fn at_once(&self, id: &OrganizationId) -> Option<Arc<Identity>> {
        let cached = self.cache.get(id).filter(|cached| {
            self.generations.is_current(cached.loaded, None, id)
                && self.generations.trust(cached.loaded) == Trust::Whole
        })?;
        Some(cached.identity)
    }

    async fn found(&self, id: &OrganizationId) -> Result<Option<Published>, IssuerError> {
        if let Some(identity) = self.at_once(id) {
            let is_known = true;
            return Ok(Some(Published { identity, is_known }));
        }
        self.generations.patiently(self.look_up(id)).await
    }

    async fn look_up(&self, id: &OrganizationId) -> Result<Option<Published>, IssuerError> {
        loop {
            match self.cache.get_value_or_guard_async(id).await {
                Ok(cached) if self.generations.is_current(cached.loaded, None, id) => {
                    match self.generations.trust(cached.loaded) {
                        Trust::Whole => return Ok(Some(cached.published(true))),
                        Trust::Unanswered => return Ok(Some(cached.published(false))),
                        Trust::Doubtful => return self.ask_first(id, cached).await,
                        Trust::None => self.forget(id, &cached),
                    }
                }
                Ok(stale) => self.forget(id, &stale),
                Err(guard) => {
                    // What is not there is not remembered: strangers would fill the cache.
                    let Some(cached) = self.load(id).await? else {
                        return Ok(None);
                    };
                    if self.generations.is_current(cached.loaded, None, id) {
                        let _ = guard.insert(cached.clone());
                        return Ok(Some(cached.published(true)));
                    }
                }
            }
        }
    }

    /// From the database; if that does not answer either, what is held counts on.
    async fn ask_first(
        &self,
        id: &OrganizationId,
        held: Cached,
    ) -> Result<Option<Published>, IssuerError> {
        match tokio::time::timeout(ASKING, self.load(id)).await {
            Ok(Ok(loaded)) => {
                // Should a change have overtaken it, whoever finds it sees that.
                if let Some(cached) = &loaded {
                    self.cache.insert(id.clone(), cached.clone());
                }
                Ok(loaded.map(|cached| cached.published(true)))
            }
            Ok(Err(error)) if !is_passing(&error) => Err(error),
            Ok(Err(_)) | Err(_) => {
                self.generations.asked_in_vain();
                Ok(Some(held.published(false)))
            }
        }
    }

    async fn load(&self, id: &OrganizationId) -> Result<Option<Cached>, IssuerError> {
        if self.generations.is_hopeless() {
            return Err(StoreError::TimedOut.into());
        }
        let turn = self.look_ups.acquire().await;
        let loaded = self.generations.begin();
        let ask = || self.store.published_signing_keys(id);
        let stored = self.store.asked_again(ask).await?;
        drop(turn);
        let Some(identity) = self.identity(&stored)? else {
            return Ok(None);
        };
        let identity = Arc::new(identity);
        // A load that a withdrawal overtook must not be what is published in an outage.
        if self.generations.is_current(loaded, None, id) {
            self.last_known.insert(id.clone(), Arc::clone(&identity));
        }
        Ok(Some(Cached { loaded, identity }))
    }

    fn forget(&self, id: &OrganizationId, stale: &Cached) {
        self.cache.remove_if(id, |held| held.loaded == stale.loaded);
    }

    /// Whether a stored key can sign.
    ///
    /// # Errors
    /// See [`IssuerError`].
    pub fn opens(&self, stored: &SealedSigningKey) -> Result<(), IssuerError> {
        self.open(stored).map(drop)
    }

    /// What the published keys of an issuer are good for; `None` if none of them signs.
    ///
    /// # Errors
    /// See [`IssuerError`]; what is wrong with a key that does not sign is logged, and the others
    /// go on without it.
    fn identity(&self, stored: &[SealedSigningKey]) -> Result<Option<Identity>, IssuerError> {
        let signs = |stored: &&SealedSigningKey| stored.key.life.state() == State::Active;
        let Some(active) = stored.iter().find(signs) else {
            return Ok(None);
        };
        let signing = self.open(active)?;
        let mut published = vec![(&active.key, signing.public())];
        for other in stored.iter().filter(|other| !signs(other)) {
            match self.open(other) {
                Ok(pair) => published.push((&other.key, pair.public())),
                Err(error) => {
                    let (kid, organization) = (&other.key.kid, &other.key.organization);
                    tracing::error!(%kid, %organization, %error, "a signing key is not published");
                }
            }
        }
        let mut algorithms = Vec::new();
        let mut trusted = Vec::new();
        for (key, public) in &published {
            trusted.push(TrustedKey::new(key.kid.clone(), key.algorithm, public)?);
            if !algorithms.contains(&key.algorithm) {
                algorithms.push(key.algorithm);
            }
        }
        let entries: Vec<_> = published
            .iter()
            .map(|(key, public)| (&key.kid, key.algorithm, public))
            .collect();
        let (kid, algorithm) = (&active.key.kid, active.key.algorithm);
        let jwks = jwks::document(&entries);
        Ok(Some(Identity {
            jwks_tag: fingerprint::of_document(&jwks).into(),
            jwks: Arc::from(jwks),
            signer: Signer::new(signing, algorithm, kid, self.token_type),
            trusted,
            algorithms,
        }))
    }

    /// Opens a sealed key. What is published is its own public half, not the row's: nobody can
    /// plant a public key in the JWKS by writing to the database.
    fn open(&self, stored: &SealedSigningKey) -> Result<KeyPair, IssuerError> {
        let key = &stored.key;
        let row = Row {
            organization: &key.organization,
            kid: &key.kid,
            algorithm: key.algorithm,
        };
        let pkcs8 = self.crypto.open(&stored.root_key, &stored.sealed, row)?;
        Ok(KeyPair::from_pkcs8(key.algorithm, &pkcs8)?)
    }
}

fn is_passing(error: &IssuerError) -> bool {
    matches!(error, IssuerError::Store(error) if error.is_passing())
}
