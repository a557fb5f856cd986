//! What is held in memory of keys in use.

use super::status::status;
use super::{Overlap, Revocation, Status};
use crate::domain::network::NetworkSet;
use crate::domain::organization::OrganizationId;
use crate::domain::rate_limit::RateLimit;
use crate::domain::scope::HeldScopes;
use crate::domain::secret::KeyId;
use crate::domain::text::{ExternalId, Metadata};
use crate::domain::timestamp::Timestamp;

/// What of an API key decides about its uses, or is told to whoever asks about it: no more, because
/// it is held of very many keys. Each as in [`ApiKey`](super::ApiKey).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyInUse {
    /// Its public id.
    pub id: KeyId,
    /// Whose it is.
    pub organization: OrganizationId,
    /// The most a token of this key can carry.
    pub effective: HeldScopes,
    /// Where the key may be used from.
    pub networks: NetworkSet,
    /// How often it may be exchanged.
    pub rate_limit: Option<RateLimit>,
    /// Whether services are never to be shown it itself.
    pub exchange_only: bool,
    /// The platform's own id for the holder.
    pub external_id: Option<ExternalId>,
    /// The platform's own notes.
    pub metadata: Metadata,
    /// The beginning of the SHA-256 of the secret.
    pub fingerprint: Box<str>,
    /// When its present secret was made.
    pub secret_created_at: Timestamp,
    /// The secret before, while a rotation lets both count. Not how it was last used.
    pub overlap: Option<Box<Overlap>>,
    /// The instant from which it is of no use, if any.
    pub expires_at: Option<Timestamp>,
    /// When it was switched off, if it is.
    pub disabled_at: Option<Timestamp>,
    /// The last second in which tokens may say more than it permits by now.
    pub narrowed_at: Option<Timestamp>,
    /// That it was revoked, if it was.
    pub revoked: Option<Revocation>,
}

impl KeyInUse {
    /// Whether the key is of use at `now`.
    #[must_use]
    pub fn status(&self, now: Timestamp) -> Status {
        status(self.revoked, self.expires_at, self.disabled_at, now)
    }

    /// The secret before, if a rotation still lets it count at `now`.
    #[must_use]
    pub fn overlap(&self, now: Timestamp) -> Option<&Overlap> {
        let overlap = self.overlap.as_deref();
        overlap.filter(|overlap| overlap.is_in_force(now))
    }
}
