//! API keys: what is known of one, what a new one may be, and when one is usable.

mod edit;
mod effect;
mod expiry;
mod filter;
mod in_use;
mod narrowing;
mod order;
mod rotation;
mod status;
mod unused;

use super::network::NetworkSet;
use super::organization::OrganizationId;
use super::rate_limit::RateLimit;
use super::role::RoleNames;
use super::scope::ScopeSet;
use super::secret::{IMPORTED, KeyId};
use super::text::{Description, ExternalId, Metadata, Name};
use super::timestamp::Timestamp;

pub use edit::{ApiKeyEdit, MetadataEdit};
pub use effect::{Because, Effect, Recorded};
pub use expiry::{AlreadyPast, Days, Expiry, NOTICES, next_notice};
pub use filter::{KeyFilter, Maker, MakerError, Makers, Search};
pub use in_use::KeyInUse;
pub use order::{KeyOrder, Position, SortValue};
pub use rotation::OverlapSpan;
pub use status::{Revocation, RevokeReason, Status, StatusFilter};
pub use unused::{Disuse, UNUSED_WARNING};

/// What is known of an API key: everything but its secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApiKey {
    /// Its public id and OAuth `client_id`.
    pub id: KeyId,
    /// Whose it is.
    pub organization: OrganizationId,
    /// What people call it.
    pub name: Name,
    /// What it is for.
    pub description: Option<Description>,
    /// The scopes it holds by itself.
    pub scopes: ScopeSet,
    /// The roles it holds.
    pub roles: RoleNames,
    /// The most a token of this key can carry: its own scopes and those of its roles.
    pub effective: ScopeSet,
    /// Where the key may be used from.
    pub networks: NetworkSet,
    /// How often it may be exchanged, if that is limited for this key by itself.
    pub rate_limit: Option<RateLimit>,
    /// Whether it is exchanged, and refused where a service is shown it itself.
    pub exchange_only: bool,
    /// The platform's own id for the holder.
    pub external_id: Option<ExternalId>,
    /// The platform's own notes.
    pub metadata: Metadata,
    /// The beginning of the SHA-256 of the secret: tells keys apart, opens nothing.
    pub fingerprint: String,
    /// When its present secret was made.
    pub secret_created_at: Timestamp,
    /// The secret before, while a rotation lets both count.
    pub overlap: Option<Overlap>,
    /// When it was created.
    pub created_at: Timestamp,
    /// Who created it.
    pub created_by: Creator,
    /// The instant from which it is of no use, if any.
    pub expires_at: Option<Timestamp>,
    /// When it was switched off, if it is.
    pub disabled_at: Option<Timestamp>,
    /// The last second in which tokens may have been issued that say more than it permits by now.
    pub narrowed_at: Option<Timestamp>,
    /// That it was revoked, if it was: for good.
    pub revoked: Option<Revocation>,
    /// Raised by every act on the key: 1 when new.
    pub revision: i64,
    /// When its owner is next told that its end is near, or has come.
    pub next_notice_at: Option<Timestamp>,
    /// When its owner was told that nobody uses it.
    pub unused_warned_at: Option<Timestamp>,
    /// When it was last seen used, as far as that is written down; not known to credentials.
    pub last_used_at: Option<Timestamp>,
    /// How its present secret was last seen used, likewise.
    pub secret_last_use: Option<LastUse>,
}

/// How a secret was last seen used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LastUse {
    /// When.
    pub at: Timestamp,
    /// From where, if that could be made out.
    pub address: Option<String>,
}

/// The secret that a rotation replaced.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Overlap {
    /// The beginning of the SHA-256 of that secret.
    pub fingerprint: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// The instant from which it no longer counts.
    pub ends_at: Timestamp,
    /// How it was last seen used.
    pub last_use: Option<LastUse>,
}

/// Who made a key: another key, the operator, or tenmint's own command line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Creator {
    /// The API key of the same organization whose authority was used.
    Key(KeyId),
    /// The operator, who reached in from its own organization with this key. Which key it was
    /// is not this organization's to know.
    Operator(KeyId),
    /// `tenmint` on the machine itself: first start, `operator-key`, `quickstart`.
    CommandLine,
}

/// What a caller says about a key to be made, each part already checked by itself.
#[derive(Clone, Debug)]
pub struct NewApiKey {
    /// What people will call it.
    pub name: Name,
    /// What it is for.
    pub description: Option<Description>,
    /// Its own scopes.
    pub scopes: ScopeSet,
    /// Its roles.
    pub roles: RoleNames,
    /// Where it may be used from.
    pub networks: NetworkSet,
    /// How often it may be exchanged.
    pub rate_limit: Option<RateLimit>,
    /// Whether services are never to be shown it itself.
    pub exchange_only: bool,
    /// The platform's own id for the holder.
    pub external_id: Option<ExternalId>,
    /// The platform's own notes.
    pub metadata: Metadata,
    /// When it ends, if ever.
    pub expiry: Option<Expiry>,
}

impl ApiKey {
    /// Whether the key is of use at `now`.
    #[must_use]
    pub fn status(&self, now: Timestamp) -> Status {
        status::status(self.revoked, self.expires_at, self.disabled_at, now)
    }

    /// The secret before, if a rotation still lets it count at `now`.
    #[must_use]
    pub fn overlap(&self, now: Timestamp) -> Option<&Overlap> {
        self.overlap
            .as_ref()
            .filter(|overlap| overlap.is_in_force(now))
    }

    /// Whether a string that another system gave out counts for the key at `now`.
    #[must_use]
    pub fn is_imported(&self, now: Timestamp) -> bool {
        let before = self.overlap(now).map(|before| &before.fingerprint);
        let mut fingerprints = before.into_iter().chain([&self.fingerprint]);
        fingerprints.any(|fingerprint| fingerprint.starts_with(IMPORTED))
    }
}

impl Overlap {
    /// Whether that secret still counts at `now`.
    #[must_use]
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        now < self.ends_at
    }
}
