//! Proofs: whether a secret matches a stored hash, found out once and then remembered.
//!
//! What is remembered is a fact about a hash and a string, so no change of a key can make it
//! false: invalidation leaves it alone, and an edited key does not pay Argon2 again.

use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::Cache;
use ring::hmac;

use super::Credential;
use super::Denied;
use super::Which;
use super::gate::{Gate, Overloaded};
use crate::crypto::Crypto;
use crate::crypto::imported::is_slow;
use crate::crypto::random;
use crate::crypto::secret_hash::StoredHashError;
use crate::domain::secret::{ApiKeySecret, ForeignSecret};
use crate::store::api_keys::StoredHash;

/// How many refuted secrets are remembered. Refuting one needs a string that was once a
/// genuine key, so there are few; apart from the proven ones, they can displace none.
const REFUTED: usize = 10_000;

/// How long a request waits for its turn and its run.
const PATIENCE: Duration = Duration::from_secs(12);

type Digest = [u8; 32];

/// Remembers which secrets matched which hashes.
pub struct Proofs {
    crypto: Arc<Crypto>,
    gate: Arc<Gate>,
    /// Before hashes that other systems made dear. Strangers who know how a string begins can fill
    /// it, and must not fill the one above.
    slow_gate: Arc<Gate>,
    /// Of this process alone: a digest found in its memory identifies nothing elsewhere.
    key: hmac::Key,
    proven: Cache<Digest, ()>,
    refuted: Cache<Digest, ()>,
    /// Likewise, of strings that anybody can make up who knows how a slow one begins.
    refuted_slowly: Cache<Digest, ()>,
}

impl Proofs {
    /// Nothing remembered yet.
    #[must_use]
    pub fn new(crypto: Arc<Crypto>, gate: Arc<Gate>, capacity: usize) -> Self {
        Self {
            crypto,
            gate,
            slow_gate: Arc::new(Gate::of_width(1)),
            key: hmac::Key::new(hmac::HMAC_SHA256, &random::bytes::<32>()),
            proven: Cache::new(capacity),
            refuted: Cache::new(REFUTED),
            refuted_slowly: Cache::new(REFUTED),
        }
    }

    /// How many runs wait for their turn.
    pub(super) fn waiting(&self) -> usize {
        self.gate.waiting()
    }

    /// Whether `secret` matches this one of the credential's hashes.
    ///
    /// # Errors
    /// [`Denied::Overloaded`] when the queue is too long, [`Denied::Unavailable`] when the
    /// stored hash is unusable.
    pub(super) async fn prove(
        self: &Arc<Self>,
        secret: ApiKeySecret,
        credential: &Arc<Credential>,
        which: Which,
    ) -> Result<bool, Denied> {
        let digest = self.digest(secret.expose(), &credential.hash(which).phc);
        if self.proven.get(&digest).is_some() {
            return Ok(true);
        }
        if self.refuted.get(&digest).is_some() {
            return Ok(false);
        }
        let (crypto, credential) = (Arc::clone(&self.crypto), Arc::clone(credential));
        let work = move || {
            let StoredHash { phc, root_key } = credential.hash(which);
            crypto.verify(root_key, &secret, phc)
        };
        self.once(digest, Arc::clone(&self.gate), work).await
    }

    /// Whether a string of another system matches this one of the credential's hashes. A MAC is
    /// computed anew each time: that is as fast as to remember it.
    ///
    /// # Errors
    /// As [`Self::prove`].
    pub(super) async fn prove_foreign(
        self: &Arc<Self>,
        secret: &Arc<ForeignSecret>,
        credential: &Arc<Credential>,
        which: Which,
    ) -> Result<bool, Denied> {
        let id = credential.key.id;
        let StoredHash { phc, root_key } = credential.hash(which);
        if !is_slow(phc) {
            return Ok(self.crypto.verify_imported(root_key, id, secret, phc)?);
        }
        let digest = self.digest(secret.expose(), phc);
        if self.proven.get(&digest).is_some() {
            return Ok(true);
        }
        if self.refuted_slowly.get(&digest).is_some() {
            return Ok(false);
        }
        let crypto = Arc::clone(&self.crypto);
        let (secret, credential) = (Arc::clone(secret), Arc::clone(credential));
        let work = move || {
            let StoredHash { phc, root_key } = credential.hash(which);
            crypto.verify_imported(root_key, credential.key.id, &secret, phc)
        };
        let matches = self.once(digest, Arc::clone(&self.slow_gate), work).await?;
        if !matches {
            self.refuted_slowly.insert(digest, ());
        }
        Ok(matches)
    }

    /// Does `work` in a task of its own: a client that hangs up and comes again then finds the run
    /// it started, instead of starting another.
    async fn once(
        self: &Arc<Self>,
        digest: Digest,
        gate: Arc<Gate>,
        work: impl FnOnce() -> Result<bool, StoredHashError> + Send + 'static,
    ) -> Result<bool, Denied> {
        let proofs = Arc::clone(self);
        let run = tokio::spawn(async move { proofs.find_out(digest, &gate, work).await });
        match tokio::time::timeout(PATIENCE, run).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) | Err(_) => Err(Denied::Overloaded(Overloaded)),
        }
    }

    /// One run, however many ask: the others wait at the cache.
    async fn find_out(
        &self,
        digest: Digest,
        gate: &Gate,
        work: impl FnOnce() -> Result<bool, StoredHashError> + Send + 'static,
    ) -> Result<bool, Denied> {
        let guard = match self.proven.get_value_or_guard_async(&digest).await {
            Ok(()) => return Ok(true),
            Err(guard) => guard,
        };
        // Another run ended while this one waited for the guard, and it did not match.
        if self.refuted.get(&digest).is_some() {
            return Ok(false);
        }
        let matches = gate.run(work).await??;
        if matches {
            let _ = guard.insert(());
        } else {
            self.refuted.insert(digest, ());
        }
        Ok(matches)
    }

    /// The hash of a secret under the current root key.
    pub(super) async fn hash(&self, secret: Arc<ApiKeySecret>) -> Result<StoredHash, Overloaded> {
        let crypto = Arc::clone(&self.crypto);
        let hashed = self.gate.run(move || crypto.hash(&secret)).await?;
        Ok(StoredHash {
            phc: hashed.phc,
            root_key: hashed.root_key.to_string(),
        })
    }

    /// Remembers that a secret matches a hash that was just made of it.
    pub(super) fn remember(&self, secret: &ApiKeySecret, hash: &StoredHash) {
        self.proven
            .insert(self.digest(secret.expose(), &hash.phc), ());
    }

    fn digest(&self, secret: &str, hash: &str) -> Digest {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(hash.as_bytes());
        context.update(b"\n");
        context.update(secret.as_bytes());
        let tag = context.sign();
        tag.as_ref().try_into().expect("an HMAC-SHA256 of 32 bytes")
    }
}
