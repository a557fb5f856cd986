//! Proofs: whether a secret matches a stored hash, found out once and then remembered.
//!
//! What is remembered is a fact about a hash and a string, so no change of a key can make it
//! false: invalidation leaves it alone, and an edited key does not pay Argon2 again.

use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::Cache;
use ring::hmac;
use tracing::Instrument;

use super::Credential;
use super::Denied;
use super::Which;
use super::gate::{Gate, Overloaded};
use super::one_each::OneEach;
use crate::crypto::Crypto;
use crate::crypto::imported::is_slow;
use crate::crypto::random;
use crate::crypto::secret_hash::StoredHashError;
use crate::domain::secret::{ApiKeySecret, ForeignSecret, KeyId};
use crate::store::api_keys::StoredHash;
use crate::telemetry::spans::inner_span;

/// How many refuted secrets are remembered of each kind. Refuting one of tenmint's own needs a
/// string that was once a genuine key, so there are few; a string of another system can be made up
/// by whoever knows how a slow one begins. Apart from each other, and from the proven ones, they can
/// displace none.
const REFUTED: usize = 10_000;

/// How long a request waits for its turn and its run.
const PATIENCE: Duration = Duration::from_secs(12);

type Digest = [u8; 32];

/// Remembers which secrets matched which hashes.
pub struct Proofs {
    crypto: Arc<Crypto>,
    own: Arc<Way>,
    /// To hashes that other systems made dear. Strangers who know how a string begins can fill it,
    /// and must not fill the one above.
    foreign: Arc<Way>,
    /// On the latter, where each key waits once.
    one_each: OneEach,
    /// Of this process alone: a digest found in its memory identifies nothing elsewhere.
    key: hmac::Key,
    proven: Cache<Digest, ()>,
}

/// Through which gate secrets are proven, and which were not.
struct Way {
    gate: Arc<Gate>,
    refuted: Cache<Digest, ()>,
}

impl Proofs {
    /// Nothing remembered yet.
    #[must_use]
    pub fn new(crypto: Arc<Crypto>, gate: Arc<Gate>, capacity: usize) -> Self {
        Self {
            crypto,
            own: Arc::new(Way::through(gate)),
            foreign: Arc::new(Way::through(Arc::new(Gate::of_width(1)))),
            one_each: OneEach::default(),
            key: hmac::Key::new(hmac::HMAC_SHA256, &random::bytes::<32>()),
            proven: Cache::new(capacity),
        }
    }

    /// How many runs wait for their turn.
    pub(super) fn waiting(&self) -> usize {
        self.own.gate.waiting()
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
        if self.own.refuted.get(&digest).is_some() {
            return Ok(false);
        }
        let (crypto, credential) = (Arc::clone(&self.crypto), Arc::clone(credential));
        let work = move || {
            let StoredHash { phc, root_key } = credential.hash(which);
            crypto.verify(root_key, &secret, phc)
        };
        self.once(digest, &self.own, None, work).await
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
        if self.foreign.refuted.get(&digest).is_some() {
            return Ok(false);
        }
        let crypto = Arc::clone(&self.crypto);
        let (secret, credential) = (Arc::clone(secret), Arc::clone(credential));
        let work = move || {
            let StoredHash { phc, root_key } = credential.hash(which);
            crypto.verify_imported(root_key, credential.key.id, &secret, phc)
        };
        self.once(digest, &self.foreign, Some(id), work).await
    }

    /// Does `work` in a task of its own: a client that hangs up and comes again then finds the run
    /// it started, instead of starting another.
    async fn once(
        self: &Arc<Self>,
        digest: Digest,
        way: &Arc<Way>,
        alone_at: Option<KeyId>,
        work: impl FnOnce() -> Result<bool, StoredHashError> + Send + 'static,
    ) -> Result<bool, Denied> {
        let (proofs, way) = (Arc::clone(self), Arc::clone(way));
        let run = async move { proofs.find_out(digest, &way, alone_at, work).await };
        let run = tokio::spawn(run.instrument(inner_span!("prove a secret")));
        match tokio::time::timeout(PATIENCE, run).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) | Err(_) => Err(Denied::Overloaded(Overloaded)),
        }
    }

    /// One run, however many ask: the others wait at the cache.
    async fn find_out(
        &self,
        digest: Digest,
        way: &Way,
        alone_at: Option<KeyId>,
        work: impl FnOnce() -> Result<bool, StoredHashError> + Send + 'static,
    ) -> Result<bool, Denied> {
        let guard = match self.proven.get_value_or_guard_async(&digest).await {
            Ok(()) => return Ok(true),
            Err(guard) => guard,
        };
        // Another run ended while this one waited for the guard, and it did not match.
        if way.refuted.get(&digest).is_some() {
            return Ok(false);
        }
        let _trial = match alone_at {
            Some(id) => Some(self.one_each.turn(id).await.ok_or(Overloaded)?),
            None => None,
        };
        let matches = way.gate.run(work).await??;
        if matches {
            let _ = guard.insert(());
        } else {
            way.refuted.insert(digest, ());
        }
        Ok(matches)
    }

    /// The hash of a secret under the current root key.
    pub(super) async fn hash(&self, secret: Arc<ApiKeySecret>) -> Result<StoredHash, Overloaded> {
        let crypto = Arc::clone(&self.crypto);
        let hashed = self.own.gate.run(move || crypto.hash(&secret)).await?;
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

impl Way {
    fn through(gate: Arc<Gate>) -> Self {
        Self {
            gate,
            refuted: Cache::new(REFUTED),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::keyring::Keyring;
    use crate::crypto::root_key::RootKey;
    use crate::crypto::secret_hash::HashCost;

    #[tokio::test(flavor = "multi_thread")]
    async fn strings_that_anybody_makes_up_displace_no_secret_that_was_refuted() {
        let keyring = Keyring::of(&RootKey::generate());
        let crypto = Crypto::new(keyring, "tmsk".parse().unwrap(), HashCost::default());
        let gate = Arc::new(Gate::of_width(1));
        let proofs = Proofs::new(Arc::new(crypto), gate, 10);
        let refute = async |way: &Arc<Way>, n: usize, of: Option<KeyId>| {
            let digest = proofs.digest(&n.to_string(), "hash");
            let found = proofs.find_out(digest, way, of, || Ok(false)).await;
            assert!(!found.unwrap());
            digest
        };
        let former = refute(&proofs.own, 0, None).await;
        let guessed = KeyId::new(ulid::Ulid(1));
        for n in 1..2 * REFUTED {
            refute(&proofs.foreign, n, Some(guessed)).await;
        }
        assert!(proofs.own.refuted.get(&former).is_some());
        assert!(proofs.foreign.refuted.len() <= REFUTED);
    }
}
