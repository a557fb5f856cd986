//! Who signs, and whose signatures count: the signing key of each issuer, opened and cached.

use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::Cache;
use tokio::sync::Semaphore;

use super::generations::{Generation, Generations};
use crate::crypto::Crypto;
use crate::crypto::jose::jwks;
use crate::crypto::jose::key_pair::{KeyPair, NotAKey};
use crate::crypto::jose::signer::{Signer, TokenType};
use crate::crypto::jose::trust::{TokenError, TrustedKey};
use crate::crypto::seal::{DoesNotOpen, Row};
use crate::domain::organization::OrganizationId;
use crate::domain::signing_key::SigningKey;
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::signing_keys::SealedSigningKey;

/// How long a request waits for the database to tell who signs.
const PATIENCE: Duration = Duration::from_secs(5);

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

/// One organization's signing key, ready for everything it is for.
pub struct Identity {
    /// What may be told of it.
    pub key: SigningKey,
    /// Signs access tokens.
    pub signer: Signer,
    /// Verifies them.
    pub trusted: Vec<TrustedKey>,
    /// The JWKS document (RFC 7517 §5).
    pub jwks: Arc<str>,
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

    /// The signing key of an organization; `None` if there is no such organization, or it
    /// was not bootstrapped.
    ///
    /// # Errors
    /// See [`IssuerError`].
    pub async fn of(&self, id: &OrganizationId) -> Result<Option<Arc<Identity>>, IssuerError> {
        tokio::time::timeout(PATIENCE, self.look_up(id))
            .await
            .unwrap_or(Err(IssuerError::Store(StoreError::TimedOut)))
    }

    /// The same for what is published: while the database does not answer, what was true when it
    /// last did. Validators must not fail because a database restarts.
    ///
    /// # Errors
    /// See [`IssuerError`].
    pub async fn published(
        &self,
        id: &OrganizationId,
    ) -> Result<Option<Arc<Identity>>, IssuerError> {
        match self.of(id).await {
            Err(IssuerError::Store(error)) if error.is_passing() => match self.last_known.get(id) {
                Some(identity) => Ok(Some(identity)),
                None => Err(IssuerError::Store(error)),
            },
            other => other,
        }
    }

    async fn look_up(&self, id: &OrganizationId) -> Result<Option<Arc<Identity>>, IssuerError> {
        loop {
            match self.cache.get_value_or_guard_async(id).await {
                Ok(cached) if self.generations.is_current(cached.loaded, None, id) => {
                    return Ok(Some(cached.identity));
                }
                Ok(stale) => {
                    self.cache.remove_if(id, |held| held.loaded == stale.loaded);
                }
                Err(guard) => {
                    let turn = self.look_ups.acquire().await;
                    let loaded = self.generations.begin();
                    let stored = self.store.signing_key(id).await?;
                    drop(turn);
                    // What is not there is not remembered: strangers would fill the cache.
                    let Some(stored) = stored else {
                        return Ok(None);
                    };
                    let identity = Arc::new(self.open(stored)?);
                    self.last_known.insert(id.clone(), Arc::clone(&identity));
                    if self.generations.is_current(loaded, None, id) {
                        let _ = guard.insert(Cached {
                            loaded,
                            identity: Arc::clone(&identity),
                        });
                        return Ok(Some(identity));
                    }
                }
            }
        }
    }

    /// Opens a sealed key.
    ///
    /// # Errors
    /// See [`IssuerError`].
    fn open(&self, stored: SealedSigningKey) -> Result<Identity, IssuerError> {
        let SealedSigningKey { key, sealed, .. } = stored;
        let row = Row {
            organization: &key.organization,
            kid: &key.kid,
            algorithm: key.algorithm,
        };
        let pkcs8 = self.crypto.seal.open(&sealed, row)?;
        let pair = KeyPair::from_pkcs8(key.algorithm, &pkcs8)?;
        // What is published is the opened key's own public half, not the row's: nobody can
        // plant a public key in the JWKS by writing to the database.
        let public = pair.public();
        let jwks = jwks::document(&[(&key.kid, key.algorithm, &public)]);
        Ok(Identity {
            trusted: vec![TrustedKey::new(key.kid.clone(), key.algorithm, &public)?],
            signer: Signer::new(pair, key.algorithm, &key.kid, self.token_type),
            jwks: Arc::from(jwks),
            key,
        })
    }
}
