//! Why a credential that a service was shown does not count: the cause, and how it is counted.

use std::net::IpAddr;
use std::sync::Arc;

use crate::credentials::explain::network_advice;
use crate::credentials::issuers::IssuerError;
use crate::credentials::{Credential, Denied, Rejected};
use crate::crypto::jose::trust::TokenError;
use crate::domain::scope::Scope;
use crate::domain::secret::KeyId;
use crate::domain::usage::Outcome;

/// Why a credential does not count where it was shown.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// An API key that is none, or no longer.
    #[error("{0}")]
    Key(Denied),
    /// A genuine string names a key that there is not.
    #[error("unknown key {0}")]
    UnknownKey(KeyId),
    /// It is of an organization that is none of the asker's business.
    #[error("of another organization")]
    OtherOrganization,
    /// An access token that is none, or does not count here.
    #[error("{0}")]
    Token(TokenError),
    /// An access token that was revoked.
    #[error("revoked token")]
    TokenDenied,
    /// An access token whose key is not, or no longer, in force.
    #[error("its key: {0}")]
    KeyOfToken(Denied),
    /// The address is outside the credential's networks, or unknown.
    #[error("address {} is outside the credential's networks", .ip.map_or_else(|| "unknown".to_owned(), |ip| ip.to_string()))]
    NetworkDenied {
        /// The address, if one could be made out.
        ip: Option<IpAddr>,
    },
    /// A scope that is required is not held.
    #[error("scope not held")]
    ScopeBeyond {
        /// The first such scope.
        scope: Scope,
    },
    /// The key itself was shown, and is to be exchanged.
    #[error("the key is to be exchanged, not shown")]
    ExchangeOnly {
        /// Where.
        endpoint: String,
    },
    /// The key kept changing while it was looked at.
    #[error("the key kept changing while it was looked at")]
    Unsettled,
    /// Whose signatures count could not be found out.
    #[error("{0}")]
    Issuer(IssuerError),
}

/// A refusal, and the key that was presented itself, where it is known.
#[derive(Debug, thiserror::Error)]
#[error("{refusal}")]
pub struct Refused {
    /// Why.
    pub refusal: Refusal,
    /// The key.
    pub key: Option<Arc<Credential>>,
}

/// Whose fault it is that no answer can be given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// Too much at once: later there is an answer.
    Overloaded,
    /// The database does not answer: later there is an answer.
    Unavailable,
    /// Something is broken, and stays so.
    Broken,
}

impl Refusal {
    /// Whether nothing was found out, rather than that the credential does not count.
    #[must_use]
    pub fn trouble(&self) -> Option<Trouble> {
        match self {
            Self::Key(Denied::Overloaded(_)) | Self::KeyOfToken(Denied::Overloaded(_)) => {
                Some(Trouble::Overloaded)
            }
            Self::Key(Denied::Unavailable(error))
            | Self::KeyOfToken(Denied::Unavailable(error))
            | Self::Issuer(IssuerError::Store(error)) => Some(if error.is_passing() {
                Trouble::Unavailable
            } else {
                Trouble::Broken
            }),
            Self::Issuer(_) => Some(Trouble::Broken),
            Self::Unsettled => Some(Trouble::Unavailable),
            Self::Key(_)
            | Self::UnknownKey(_)
            | Self::OtherOrganization
            | Self::Token(_)
            | Self::TokenDenied
            | Self::KeyOfToken(_)
            | Self::NetworkDenied { .. }
            | Self::ScopeBeyond { .. }
            | Self::ExchangeOnly { .. } => None,
        }
    }

    /// How it is counted, if a key was presented itself.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        match self {
            Self::Key(denied) => Some(denied.outcome()),
            Self::UnknownKey(_) => Some(Outcome::UnknownKey),
            Self::OtherOrganization => Some(Outcome::OtherOrganization),
            Self::NetworkDenied { .. } => Some(Outcome::NetworkDenied),
            Self::ScopeBeyond { .. } => Some(Outcome::InvalidScope),
            Self::ExchangeOnly { .. } => Some(Outcome::ExchangeOnly),
            Self::Unsettled => Some(Outcome::Unavailable),
            Self::Token(_) | Self::TokenDenied | Self::KeyOfToken(_) | Self::Issuer(_) => None,
        }
    }

    /// What an administrator of the key's organization can do about it. Says more than the
    /// asker was told, and nothing secret.
    #[must_use]
    pub fn advice(&self) -> String {
        match self {
            Self::Key(denied) | Self::KeyOfToken(denied) => denied.advice().to_owned(),
            Self::UnknownKey(id) => format!("{id}: {}", Denied::Unknown.advice()),
            Self::OtherOrganization => "the key was presented to a service of another \
                 organization, which asked about it and was told nothing"
                .to_owned(),
            Self::Token(why) => why.to_string(),
            Self::TokenDenied => "the token was revoked".to_owned(),
            Self::NetworkDenied { ip } => network_advice(*ip),
            Self::ScopeBeyond { scope } => format!(
                "the service wants the scope {scope}, which the key does not hold: let the client \
                 use a key that does"
            ),
            Self::ExchangeOnly { endpoint } => format!(
                "the key is exchange_only, by itself or by its organization's policy, and a \
                 service was shown it itself: let the client exchange it at {endpoint} and send \
                 the token"
            ),
            Self::Unsettled => "the key kept changing while it was looked at: the client may try \
                 again"
                .to_owned(),
            Self::Issuer(_) => "the signing key could not be had: the operator finds the cause in \
                 the log under this request id"
                .to_owned(),
        }
    }
}

impl Refused {
    /// Of a secret that names this key, and proves nothing.
    pub(super) fn not_proven(named: Option<KeyId>, rejected: Rejected) -> Self {
        match (rejected.why, named) {
            (Denied::Unknown, Some(named)) => Refusal::UnknownKey(named).into(),
            (why, _) => Self {
                refusal: Refusal::Key(why),
                key: rejected.credential,
            },
        }
    }

    /// Which key was presented, where it is known.
    #[must_use]
    pub fn id(&self) -> Option<KeyId> {
        self.key.as_ref().map(|credential| credential.key.id)
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, key: None }
    }
}

impl From<TokenError> for Refusal {
    fn from(error: TokenError) -> Self {
        Self::Token(error)
    }
}
