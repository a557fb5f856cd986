//! Why the management plane refused: causes, never statuses.

mod ended;
mod roles;

use std::net::IpAddr;

use crate::credentials::Denied;
use crate::credentials::gate::Overloaded;
use crate::credentials::issuers::IssuerError;
use crate::crypto::jose::trust::TokenError;
use crate::crypto::keyring::NotHeld;
use crate::domain::management::ManagementAction;
use crate::domain::policy::{Looser, Rule, Violation};
use crate::domain::scope::Scope;
use crate::domain::secret::KeyId;
use crate::domain::signing_key::KeySpec;
use crate::domain::timestamp::Timestamp;
use crate::store::error::StoreError;

pub use ended::Ended;
pub use roles::RoleRefusal;

/// Why an act or a question of management was refused.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// No credential was presented.
    #[error("no credential was presented")]
    Anonymous,
    /// A credential was presented in the URL, where every log on its way keeps it.
    #[error("a credential was presented in the URL")]
    CredentialInUrl,
    /// An API key was presented that is none, or no longer.
    #[error("{0}")]
    Key(Denied),
    /// A token was presented that does not count here.
    #[error("{0}")]
    Token(TokenError),
    /// A token was presented that was revoked.
    #[error("revoked token")]
    TokenDenied,
    /// The caller's address is outside its key's networks, or unknown.
    #[error("address {} is outside the key's networks", .ip.map_or_else(|| "unknown".to_owned(), |ip| ip.to_string()))]
    NetworkDenied {
        /// The address, if one could be made out.
        ip: Option<IpAddr>,
    },
    /// The caller lacks a scope.
    #[error("the caller lacks the scope {}", .0.as_str())]
    Lacks(ManagementAction),
    /// For the operator alone.
    #[error("the caller is not the operator")]
    OperatorOnly,
    /// There is no such thing, or it is another organization's.
    #[error("no such {0}")]
    NotFound(Kind),
    /// The grant goes beyond what the granter has.
    #[error("{0}")]
    Exceeds(Excess),
    /// What is to be given back goes, as it is, beyond whoever would give it.
    #[error("the key is more than its caller: {0}")]
    TargetExceeds(Excess),
    /// A bootstrap's management key would be more than whoever bootstraps.
    #[error("the management key would be more than its maker: {0}")]
    BootstrapExceeds(Excess),
    /// A rule would be lifted by somebody who is less than a key that it binds.
    #[error("{} binds {}, which is more than the caller: {}", .0.rule.as_str(), .0.key, .0.excess)]
    LiftsBeyond(Box<Lift>),
    /// A key would break the policy of its organization.
    #[error("{}: {}", .0.rule.as_str(), .0.why)]
    Policy(Violation),
    /// A key that is to be given back, as it is, breaks the policy of its organization.
    #[error("the key breaks {}: {}", .0.rule.as_str(), .0.why)]
    TargetBreaksPolicy(Violation),
    /// An organization's own policy would be looser than the operator's.
    #[error("{} is looser than the operator's {}", .0.rule.as_str(), .0.bound)]
    LooserPolicy(Looser),
    /// The key was revoked, for good.
    #[error("the key is revoked")]
    KeyRevoked,
    /// The key is past its end.
    #[error("the key is expired")]
    KeyExpired,
    /// A rotation lets the secret before count until then.
    #[error("a rotation is under way until {0}")]
    RotationUnderWay(Timestamp),
    /// A role, or the scope catalogue, stands in the way.
    #[error(transparent)]
    Roles(#[from] RoleRefusal),
    /// What is there is not what the caller built on.
    #[error("changed since it was read")]
    Changed,
    /// Another request was sent under the same `Idempotency-Key`.
    #[error("the idempotency key was used for another request")]
    SentDifferently,
    /// The same request is under way.
    #[error("the same request is under way")]
    InFlight,
    /// An act on many keys was prepared for another number of them.
    #[error("{count} keys match now")]
    CountChanged {
        /// How many there are now.
        count: usize,
    },
    /// An organization of this id exists.
    #[error("an organization of this id exists")]
    OrganizationExists,
    /// The organization has a signing key of another algorithm or size.
    #[error("the organization signs with {0}")]
    OtherAlgorithm(KeySpec),
    /// A next signing key is published already, and signs from then on.
    #[error("a signing key is to be rotated at {0} already")]
    SigningKeyUnderWay(Timestamp),
    /// A key that is to be imported as the next one has to wait: for a next key that is published
    /// already, until it signs; or for one that is being made.
    #[error("another signing key is under way already")]
    ImportHasToWait(Option<Timestamp>),
    /// An RSA key of the issuer is being made, which takes a while.
    #[error("a signing key is being made")]
    SigningKeyBeingMade,
    /// Keys of the issuer were made in a hurry, or withdrawn young, too often lately.
    #[error("too many signing keys were made in a hurry: again in {wait} s")]
    TooManyEmergencies {
        /// After how many seconds another may be.
        wait: u64,
    },
    /// More signing keys of the issuer are published than anybody should have to fetch.
    #[error("too many signing keys are published")]
    TooManySigningKeys,
    /// The signing key is published no more: there is nothing to withdraw.
    #[error("the signing key is retired")]
    SigningKeyRetired(Ended),
    /// A signing key that is to be imported is here already, in this organization or another.
    #[error("the signing key is known already")]
    SigningKeyKnown,
    /// A signing key that is to be imported has an id that another key here has.
    #[error("the kid is taken")]
    KidTaken,
    /// The organization has no signing key yet.
    #[error("the organization was not bootstrapped")]
    NotBootstrapped,
    /// Keys of the organization that is to be deleted are in force.
    #[error("{keys} keys are in force")]
    KeysRemain {
        /// How many.
        keys: i64,
    },
    /// The operator's own organization cannot be deleted.
    #[error("the operator organization cannot be deleted")]
    OperatorNotDeletable,
    /// The operator's own organization cannot be suspended.
    #[error("the operator organization cannot be suspended")]
    OperatorNotSuspendable,
    /// A field's value is refused by a rule that only the whole request could tell.
    #[error("{pointer}: {why}")]
    Invalid {
        /// The JSON pointer of the field.
        pointer: &'static str,
        /// What to write instead.
        why: String,
    },
    /// Too much hashing at once.
    #[error(transparent)]
    Overloaded(#[from] Overloaded),
    /// The database did not answer in time.
    #[error("{0}")]
    Unavailable(StoreError),
    /// The database answered nonsense.
    #[error("{0}")]
    Corrupt(StoreError),
    /// A signing key does not open, or is none.
    #[error("{0}")]
    Issuer(IssuerError),
    /// Something depends on a root key that this node does not hold.
    #[error(transparent)]
    RootKey(#[from] NotHeld),
    /// tenmint itself failed.
    #[error("an act of management broke off")]
    Broken,
}

/// A rule that its editor may not lift.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lift {
    /// Which.
    pub rule: Rule,
    /// The JSON pointer at which it would be lifted.
    pub pointer: String,
    /// A key that would be given more than the editor has.
    pub key: KeyId,
    /// In what.
    pub excess: Excess,
}

/// Kinds of things that can be missing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// An organization.
    Organization,
    /// An API key.
    ApiKey,
    /// A role.
    Role,
    /// An action in the scope catalogue.
    Action,
    /// A signing key.
    SigningKey,
}

/// In what a grant goes beyond its granter.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Excess {
    /// A scope the granter does not hold.
    #[error("you cannot grant {0}, which your own credential does not hold")]
    Scope(Scope),
    /// A network the granter may not be used from.
    #[error(
        "you cannot open a key to networks that your own key is not open to; \
         name networks within your own, or hold api_keys.any_network"
    )]
    Networks,
    /// A life longer than the granter's.
    #[error("you cannot make a key that outlives your own; let it expire by {0} at the latest")]
    Lifetime(Timestamp),
}

impl Refusal {
    /// The same of a key that is there: it is not the request that holds what is at fault.
    pub(super) fn of_target(self) -> Self {
        match self {
            Self::Policy(violation) => Self::TargetBreaksPolicy(violation),
            other => other,
        }
    }

    /// A field's value is not acceptable.
    pub(super) fn invalid(pointer: &'static str, why: impl std::fmt::Display) -> Self {
        Self::Invalid {
            pointer,
            why: why.to_string(),
        }
    }
}

impl Excess {
    /// The JSON pointer of the field that goes too far.
    #[must_use]
    pub const fn pointer(&self) -> &'static str {
        match self {
            Self::Scope(_) => "/scopes",
            Self::Networks => "/allowed_ip_cidrs",
            Self::Lifetime(_) => "/expires_at",
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Organization => "organization",
            Self::ApiKey => "API key",
            Self::Role => "role",
            Self::Action => "action",
            Self::SigningKey => "signing key",
        })
    }
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Overloaded(overloaded) => Self::Overloaded(overloaded),
            Denied::Unavailable(error) => error.into(),
            other => Self::Key(other),
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        if error.is_passing() {
            Self::Unavailable(error)
        } else {
            Self::Corrupt(error)
        }
    }
}

impl From<IssuerError> for Refusal {
    fn from(error: IssuerError) -> Self {
        match error {
            IssuerError::Store(error) => error.into(),
            other => Self::Issuer(other),
        }
    }
}
