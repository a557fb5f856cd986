//! Proofs: whether a secret matches a stored hash, found out once and then remembered.
//!
//! What is remembered is a fact about a hash and a string, so no change of a key can make it
//! false: invalidation leaves it alone, and an edited key does not pay Argon2 again. And a hash of
//! tenmint's own has one secret: once that is known, every other string is refuted without a run.

mod finding;

use std::sync::Arc;

use quick_cache::sync::Cache;
use ring::hmac;

use super::Credential;
use super::Denied;
use super::Which;
use super::gate::{Gate, Overloaded};
use super::held_hash::{End, HeldHash};
use super::one_each::OneEach;
use crate::crypto::Crypto;
use crate::crypto::imported::is_slow;
use crate::crypto::key_mint::Likeness;
use crate::crypto::random;
use crate::domain::secret::{ApiKeySecret, ForeignSecret, KeyId};
use crate::store::api_keys::StoredHash;
use finding::{Claim, Way};

/// Of how many strings of other systems it is remembered that they match a slow hash: as a rule such
/// a hash is soon made anew, and then it is slow no more.
const PROVEN_SLOWLY: usize = 10_000;

/// 128 bits of a MAC of a string, which recognise it.
type Digest = Likeness;

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
    /// For strings of other systems, which have no tag. Of this process alone: a digest found in its
    /// memory identifies nothing elsewhere.
    key: hmac::Key,
    /// Of each hash of tenmint's own the one secret that it was made of.
    proven: Cache<Subject, Digest>,
    /// Of slow hashes: not every one looks at the whole string, so that it can have many.
    proven_slowly: Cache<Digest, ()>,
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

    /// Whether a secret that is recognised by `likeness` matches this one of the credential's hashes,
    /// if that was found out before.
    pub(super) fn recall(
        &self,
        likeness: Likeness,
        credential: &Credential,
        which: Which,
    ) -> Option<bool> {
        self.known(likeness, Some(subject(credential, which)))
    }

    /// Whether `secret`, which is recognised by `likeness`, matches this one of the credential's
    /// hashes.
    ///
    /// # Errors
    /// [`Denied::Overloaded`] when the queue is too long, [`Denied::Unavailable`] when the
    /// stored hash is unusable.
    pub(super) async fn prove(
        self: &Arc<Self>,
        secret: ApiKeySecret,
        likeness: Likeness,
        credential: &Arc<Credential>,
        which: Which,
    ) -> Result<bool, Denied> {
        let subject = Some(subject(credential, which));
        if let Some(known) = self.known(likeness, subject) {
            return Ok(known);
        }
        let claim = Claim::of(credential, likeness, subject);
        let (crypto, credential) = (Arc::clone(&self.crypto), Arc::clone(credential));
        let work = move || {
            let hash = credential.hash(which);
            crypto.verify(&hash.root_key, &secret, &hash.text())
        };
        self.once(claim, work).await
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
        if let Some(likeness) = self.crypto.recognise(secret) {
            self.proven.insert((key, end), likeness);
        }
    }

    /// Of a string of another system beside the hash that it is held against.
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

fn subject(credential: &Credential, which: Which) -> Subject {
    (credential.key.id, credential.hash(which).end())
}
