//! Proofs: whether a secret matches a stored hash, found out once and then remembered.
//!
//! What is remembered is a fact about a hash and a string, so no change of a key can make it
//! false: invalidation leaves it alone, and an edited key does not pay Argon2 again. And a hash of
//! tenmint's own has one secret: once that is known, every other string is refuted without a run.

use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::Cache;
use ring::hmac;
use subtle::ConstantTimeEq;
use tracing::Instrument;

use super::Credential;
use super::Denied;
use super::Which;
use super::gate::{Gate, Overloaded};
use super::held_hash::{End, HeldHash};
use super::one_each::OneEach;
use crate::crypto::Crypto;
use crate::crypto::imported::is_slow;
use crate::crypto::random;
use crate::crypto::secret_hash::StoredHashError;
use crate::domain::organization::OrganizationId;
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

/// Of how many strings of other systems it is remembered that they match a slow hash: as a rule such
/// a hash is soon made anew, and then it is slow no more.
const PROVEN_SLOWLY: usize = 10_000;

/// 128 bits of a MAC.
type Digest = [u8; 16];

/// A hash that is stored: whose, for a key has two at most, and which of these it is.
type Subject = (KeyId, End);

/// Remembers which secrets matched which hashes.
pub struct Proofs {
    crypto: Arc<Crypto>,
    own: Way,
    /// To hashes that other systems made dear. Strangers who know how a string begins can fill it,
    /// and must not fill the one above.
    foreign: Way,
    /// On the latter, where each key waits once.
    one_each: OneEach,
    /// Of this process alone: a digest found in its memory identifies nothing elsewhere.
    key: hmac::Key,
    /// Of each hash of tenmint's own the one secret that it was made of.
    proven: Cache<Subject, Digest>,
    /// Of slow hashes: not every one looks at the whole string, so that it can have many.
    proven_slowly: Cache<Digest, ()>,
}

/// Through which gate secrets are proven, and which were not.
struct Way {
    gate: Arc<Gate>,
    /// A string that is being looked into has a place here: others who bring it wait for that.
    refuted: Cache<Digest, ()>,
}

/// That a string matches a hash, to be found out.
struct Claim {
    digest: Digest,
    key: KeyId,
    /// Whose key it is.
    organization: OrganizationId,
    /// Which hash, if only one string can match it; otherwise it is a slow one.
    subject: Option<Subject>,
}

impl Proofs {
    /// Nothing remembered yet.
    #[must_use]
    pub fn new(crypto: Arc<Crypto>, gate: Arc<Gate>, capacity: usize) -> Self {
        Self {
            crypto,
            own: Way::through(gate),
            foreign: Way::through(Arc::new(Gate::of_width(1))),
            one_each: OneEach::default(),
            key: hmac::Key::new(hmac::HMAC_SHA256, &random::bytes::<32>()),
            proven: Cache::new(capacity),
            proven_slowly: Cache::new(PROVEN_SLOWLY),
        }
    }

    /// How many runs wait for their turn.
    pub(super) fn waiting(&self) -> usize {
        self.own.gate.waiting()
    }

    /// How many there were.
    pub(super) fn runs(&self) -> u64 {
        self.own.gate.runs()
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
        let end = credential.hash(which).end();
        let digest = self.digest(secret.expose(), &end);
        let subject = Some((credential.key.id, end));
        if let Some(known) = self.known(digest, subject) {
            return Ok(known);
        }
        let claim = Claim::of(credential, digest, subject);
        let (crypto, credential) = (Arc::clone(&self.crypto), Arc::clone(credential));
        let work = move || {
            let hash = credential.hash(which);
            crypto.verify(&hash.root_key, &secret, &hash.text())
        };
        // Boxed: every request would carry room for it otherwise.
        Box::pin(self.once(claim, work)).await
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
        let hash = credential.hash(which);
        let text = hash.text();
        if !is_slow(&text) {
            let matches = self
                .crypto
                .verify_imported(&hash.root_key, id, secret, &text);
            return Ok(matches?);
        }
        let digest = self.digest(secret.expose(), text.as_bytes());
        if let Some(known) = self.known(digest, None) {
            return Ok(known);
        }
        let claim = Claim::of(credential, digest, None);
        let crypto = Arc::clone(&self.crypto);
        let (secret, credential) = (Arc::clone(secret), Arc::clone(credential));
        let work = move || {
            let hash = credential.hash(which);
            crypto.verify_imported(&hash.root_key, credential.key.id, &secret, &hash.text())
        };
        self.once(claim, work).await
    }

    /// Whether a string matches a hash, if that was found out.
    fn known(&self, digest: Digest, subject: Option<Subject>) -> Option<bool> {
        let Some(subject) = subject else {
            let proven = self.proven_slowly.get(&digest).map(|()| true);
            return proven.or_else(|| self.foreign.refuted.get(&digest).map(|()| false));
        };
        match self.proven.get(&subject) {
            Some(proven) => Some(proven.ct_eq(&digest).into()),
            None => self.own.refuted.get(&digest).map(|()| false),
        }
    }

    /// Does `work` in a task of its own: a client that hangs up and comes again then finds the run
    /// it started, instead of starting another.
    async fn once(
        self: &Arc<Self>,
        claim: Claim,
        work: impl FnOnce() -> Result<bool, StoredHashError> + Send + 'static,
    ) -> Result<bool, Denied> {
        let proofs = Arc::clone(self);
        let run = async move { proofs.find_out(&claim, work).await };
        let run = tokio::spawn(run.instrument(inner_span!("prove a secret")));
        match tokio::time::timeout(PATIENCE, run).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) | Err(_) => Err(Denied::Overloaded(Overloaded)),
        }
    }

    /// One run, however many ask: the others wait at the cache.
    async fn find_out(
        &self,
        claim: &Claim,
        work: impl FnOnce() -> Result<bool, StoredHashError> + Send + 'static,
    ) -> Result<bool, Denied> {
        let way = match claim.subject {
            Some(_) => &self.own,
            None => &self.foreign,
        };
        let guard = match way.refuted.get_value_or_guard_async(&claim.digest).await {
            Ok(()) => return Ok(false),
            Err(guard) => guard,
        };
        // Another run ended while this one waited for the guard.
        if let Some(known) = self.known(claim.digest, claim.subject) {
            return Ok(known);
        }
        let _trial = match claim.subject {
            Some(_) => None,
            None => Some(self.one_each.turn(claim.key).await.ok_or(Overloaded)?),
        };
        let matches = way.gate.run(Some(&claim.organization), work).await??;
        match claim.subject {
            Some(subject) if matches => self.proven.insert(subject, claim.digest),
            None if matches => self.proven_slowly.insert(claim.digest, ()),
            _ => {
                let _ = guard.insert(());
            }
        }
        Ok(matches)
    }

    /// The hash of a secret under the current root key.
    pub(super) async fn hash(&self, secret: Arc<ApiKeySecret>) -> Result<StoredHash, Overloaded> {
        let crypto = Arc::clone(&self.crypto);
        let hashed = self
            .own
            .gate
            .run(None, move || crypto.hash(&secret))
            .await?;
        Ok(StoredHash {
            phc: hashed.phc.into(),
            root_key: hashed.root_key.as_str().into(),
        })
    }

    /// Remembers that a secret matches a hash that was just made of it.
    pub(super) fn remember(&self, key: KeyId, secret: &ApiKeySecret, hash: &StoredHash) {
        let end = HeldHash::from(hash.clone()).end();
        let digest = self.digest(secret.expose(), &end);
        self.proven.insert((key, end), digest);
    }

    /// Of a string beside what is stored of the hash that it is held against.
    fn digest(&self, secret: &str, hash: &[u8]) -> Digest {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(hash);
        context.update(b"\n");
        context.update(secret.as_bytes());
        let tag = context.sign();
        let half = tag.as_ref().first_chunk();
        *half.expect("an HMAC-SHA256 of 32 bytes")
    }
}

impl Claim {
    fn of(credential: &Credential, digest: Digest, subject: Option<Subject>) -> Self {
        Self {
            digest,
            key: credential.key.id,
            organization: credential.key.organization.clone(),
            subject,
        }
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
        let key = KeyId::new(ulid::Ulid(1));
        let refute = async |n: usize, subject: Option<Subject>| {
            let claim = Claim {
                digest: proofs.digest(&n.to_string(), b"hash"),
                key,
                organization: "acme".parse().unwrap(),
                subject,
            };
            let found = proofs.find_out(&claim, || Ok(false)).await;
            assert!(!found.unwrap());
            claim.digest
        };
        let former = refute(0, Some((key, *b"the hash"))).await;
        for n in 1..2 * REFUTED {
            refute(n, None).await;
        }
        assert!(proofs.own.refuted.get(&former).is_some());
        assert!(proofs.foreign.refuted.len() <= REFUTED);
    }
}
