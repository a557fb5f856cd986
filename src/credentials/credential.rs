//! A credential: a key, its organization and their policy, and what proves its secrets.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::held_hash::HeldHash;
use crate::crypto::fingerprint;
use crate::domain::api_key::KeyInUse;
use crate::domain::claims::networks_claim;
use crate::domain::policy::Effective;
use crate::domain::rate_limit::RateLimit;
use crate::domain::secret::ApiKeySecret;
use crate::domain::timestamp::Timestamp;
use crate::store::api_keys::StoredCredential;

/// A key and all that decides about it, as one load found it. Very many are held: whatever is added
/// here is paid for 100,000 times.
#[derive(Debug)]
pub struct Credential {
    /// The key.
    pub key: KeyInUse,
    /// What its tokens say of its networks: `allowed_ip_cidrs`.
    pub networks_claim: Option<Box<RawValue>>,
    /// Whether its organization is suspended.
    pub organization_suspended: bool,
    /// The policy of its organization, if that has one.
    pub policy: Option<Arc<Effective>>,
    hash: HeldHash,
    /// That of the secret which a rotation replaced, if it may still count.
    ending_hash: Option<Box<HeldHash>>,
}

/// Which of a key's secrets was presented.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Which {
    /// The key's own.
    Lasting,
    /// The one before, while a rotation lets both count.
    Ending,
}

impl Credential {
    /// What its tokens say of its scopes when nothing narrower is asked for.
    #[must_use]
    pub fn scope(&self) -> &str {
        self.key.effective.as_parameter()
    }

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
    pub(super) fn presented(&self, secret: &ApiKeySecret, now: Timestamp) -> Which {
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

    pub(super) fn overlaps(&self, now: Timestamp) -> bool {
        self.key.overlap(now).is_some()
    }

    pub(super) fn hash(&self, which: Which) -> &HeldHash {
        match (which, &self.ending_hash) {
            (Which::Ending, Some(hash)) => hash,
            _ => &self.hash,
        }
    }
}

impl From<StoredCredential> for Credential {
    fn from(stored: StoredCredential) -> Self {
        Self {
            networks_claim: networks_claim(&stored.key.networks),
            key: stored.key,
            organization_suspended: stored.organization_suspended,
            policy: stored.policy,
            hash: stored.hash.into(),
            ending_hash: stored.ending_hash.map(|hash| Box::new(hash.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_takes_a_third_of_a_kilobyte_beside_its_texts() {
        assert!(
            size_of::<Credential>() <= 352,
            "{}",
            size_of::<Credential>()
        );
    }
}
