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
use crate::crypto::random;
use crate::domain::secret::ApiKeySecret;
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
    /// Of this process alone: a digest found in its memory identifies nothing elsewhere.
    key: hmac::Key,
    proven: Cache<Digest, ()>,
    refuted: Cache<Digest, ()>,
}

impl Proofs {
    /// Nothing remembered yet.
    #[must_use]
    pub fn new(crypto: Arc<Crypto>, gate: Arc<Gate>, capacity: usize) -> Self {
        Self {
            crypto,
            gate,
            key: hmac::Key::new(hmac::HMAC_SHA256, &random::bytes::<32>()),
            proven: Cache::new(capacity),
            refuted: Cache::new(REFUTED),
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
        let digest = self.digest(&secret, &credential.hash(which).phc);
        if self.proven.get(&digest).is_some() {
            return Ok(true);
        }
        if self.refuted.get(&digest).is_some() {
            return Ok(false);
        }
        // In a task of its own: a client that hangs up and comes again then finds the run it
        // started, instead of starting another.
        let (proofs, credential) = (Arc::clone(self), Arc::clone(credential));
        let run =
            tokio::spawn(async move { proofs.find_out(digest, secret, credential, which).await });
        match tokio::time::timeout(PATIENCE, run).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) | Err(_) => Err(Denied::Overloaded(Overloaded)),
        }
    }

    /// One run, however many ask: the others wait at the cache.
    async fn find_out(
        &self,
        digest: Digest,
        secret: ApiKeySecret,
        credential: Arc<Credential>,
        which: Which,
    ) -> Result<bool, Denied> {
        let guard = match self.proven.get_value_or_guard_async(&digest).await {
            Ok(()) => return Ok(true),
            Err(guard) => guard,
        };
        // Another run ended while this one waited for the guard, and it did not match.
        if self.refuted.get(&digest).is_some() {
            return Ok(false);
        }
        let crypto = Arc::clone(&self.crypto);
        let matches = self
            .gate
            .run(move || {
                let StoredHash { phc, root_key } = credential.hash(which);
                crypto.verify(root_key, &secret, phc)
            })
            .await??;
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
        self.proven.insert(self.digest(secret, &hash.phc), ());
    }

    fn digest(&self, secret: &ApiKeySecret, hash: &str) -> Digest {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(hash.as_bytes());
        context.update(b"\n");
        context.update(secret.expose().as_bytes());
        let tag = context.sign();
        tag.as_ref().try_into().expect("an HMAC-SHA256 of 32 bytes")
    }
}
