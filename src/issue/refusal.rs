//! Why no token was issued: the cause, how it is counted, and what an administrator can do.

use std::net::IpAddr;
use std::sync::Arc;

use crate::credentials::explain::network_advice;
use crate::credentials::issuers::IssuerError;
use crate::credentials::{Credential, Denied, Rejected, Verified};
use crate::domain::audience::TargetError;
use crate::domain::claims::MAX_TOKEN;
use crate::domain::scope::{Scope, ScopeError};
use crate::domain::secret::KeyId;
use crate::domain::usage::Outcome;

/// Why no token was issued.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The client is not who it says, or no longer anybody.
    #[error("{0}")]
    Client(Denied),
    /// A genuine string names a key that there is not.
    #[error("unknown key {0}")]
    UnknownKey(KeyId),
    /// The key belongs to an organization with an issuer of its own, not to this one.
    #[error("key of another organization")]
    OtherOrganization,
    /// The address is outside the key's networks, or unknown.
    #[error("address {} is outside the key's networks", .ip.map_or_else(|| "unknown".to_owned(), |ip| ip.to_string()))]
    NetworkDenied {
        /// The address, if one could be made out.
        ip: Option<IpAddr>,
    },
    /// The key was exchanged as often as it may be for now.
    #[error("over the key's rate limit")]
    RateLimited {
        /// In how many seconds it may be again: at least 1.
        seconds: u64,
    },
    /// The policy of the key's organization confines it to the organization's own issuer.
    #[error("the key is confined to its organization's issuer")]
    OwnIssuerOnly {
        /// That issuer's token endpoint.
        endpoint: String,
    },
    /// The `scope` parameter is not of the syntax.
    #[error("malformed scope: {0}")]
    MalformedScope(ScopeError),
    /// A scope is beyond the key.
    #[error("scope beyond the key")]
    ScopeBeyondKey {
        /// The first such scope.
        scope: Scope,
    },
    /// No token is issued for the resources asked for.
    #[error("{0}")]
    Target(TargetError),
    /// With everything asked for, the token would be too long to travel in a header.
    #[error("the token would be longer than {MAX_TOKEN} bytes")]
    TokenTooLong,
    /// The issuer has no signing key.
    #[error("this issuer has no signing key")]
    NoSigningKey,
    /// The key kept changing while it was used.
    #[error("the key kept changing while it was used")]
    Unsettled,
    /// The signing key could not be had.
    #[error("{0}")]
    Signing(IssuerError),
}

/// A refused exchange.
#[derive(Debug, thiserror::Error)]
#[error("{refusal}")]
pub struct Refused {
    /// Why.
    pub refusal: Refusal,
    /// By which id an administrator finds the cause.
    pub request_id: String,
    /// Whose exchange it was, where that is known.
    pub key: Option<KeyId>,
}

/// Why there is no token, and the key that was named by a genuine string.
pub(super) struct RefusedTo {
    pub(super) refusal: Refusal,
    pub(super) credential: Option<Arc<Credential>>,
}

impl RefusedTo {
    /// To whoever presents what cannot be a key.
    pub(super) fn nobody() -> Self {
        Self::not_proven(None, Denied::Forged.into())
    }

    /// To whoever presents a secret that names this key, and proves nothing.
    pub(super) fn not_proven(named: Option<KeyId>, rejected: Rejected) -> Self {
        Self {
            refusal: match (rejected.why, named) {
                (Denied::Unknown, Some(named)) => Refusal::UnknownKey(named),
                (why, _) => Refusal::Client(why),
            },
            credential: rejected.credential,
        }
    }

    /// To whoever proved to hold this key.
    pub(super) fn to(verified: &Verified, refusal: Refusal) -> Self {
        Self {
            refusal,
            credential: Some(Arc::clone(&verified.credential)),
        }
    }
}

impl Refusal {
    /// How it is counted.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Client(denied) => denied.outcome(),
            Self::UnknownKey(_) => Outcome::UnknownKey,
            Self::OtherOrganization => Outcome::OtherOrganization,
            Self::NetworkDenied { .. } => Outcome::NetworkDenied,
            Self::RateLimited { .. } => Outcome::RateLimited,
            Self::OwnIssuerOnly { .. } => Outcome::OwnIssuerOnly,
            Self::MalformedScope(_) | Self::ScopeBeyondKey { .. } => Outcome::InvalidScope,
            Self::Target(_) => Outcome::InvalidTarget,
            Self::TokenTooLong => Outcome::TokenTooLong,
            Self::NoSigningKey => Outcome::NoSigningKey,
            Self::Unsettled | Self::Signing(_) => Outcome::Unavailable,
        }
    }

    /// What an administrator of the key's organization can do about it. Says more than the
    /// client was told, and nothing secret.
    #[must_use]
    pub fn advice(&self) -> String {
        match self {
            Self::Client(denied) => denied.advice().to_owned(),
            Self::UnknownKey(id) => format!("{id}: {}", Denied::Unknown.advice()),
            Self::OtherOrganization => "the key was presented to the issuer of another \
                 organization: use its own issuer's token URL, or the deployment's"
                .to_owned(),
            Self::NetworkDenied { ip } => network_advice(*ip),
            Self::RateLimited { .. } => "the key is exchanged more often than it may be: let the \
                 client keep its token until it ends, or raise the key's rate_limit"
                .to_owned(),
            Self::OwnIssuerOnly { endpoint } => format!(
                "the organization's policy confines its keys to its own issuer: let the client \
                 ask at {endpoint}"
            ),
            Self::MalformedScope(why) => format!("the scope parameter is malformed: {why}"),
            Self::ScopeBeyondKey { scope } => format!(
                "the scope {scope} is beyond the key: let the client ask for less, or make it a \
                 key that holds this scope"
            ),
            Self::Target(why) => format!("the resource cannot be had: {why}"),
            Self::TokenTooLong => format!(
                "the token would be longer than {MAX_TOKEN} bytes: let the client ask for fewer \
                 scopes or resources"
            ),
            Self::NoSigningKey => {
                "the issuer has no signing key: its organization must be bootstrapped".to_owned()
            }
            Self::Unsettled => "the key kept changing while it was used: the client may try \
                 again"
                .to_owned(),
            Self::Signing(_) => "the signing key could not be had: the operator finds the cause \
                 in the log under this request id"
                .to_owned(),
        }
    }
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Self {
        Self::Client(denied)
    }
}
