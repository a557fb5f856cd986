//! Why a request is refused: causes, and what its answer needs to know beside them.

use std::net::IpAddr;
use std::sync::Arc;

use crate::domain::scope::{Scope, ScopeError};

/// A request that is not let through. In axum it is an answer, so that handlers give it on:
/// `caller.require("read:projects/42")?`.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{cause}")]
pub struct Refused {
    cause: Cause,
    challenge: Arc<Challenge>,
}

/// What is wrong with it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// It brings no token.
    #[error("an access token is needed: send it as Authorization: Bearer")]
    NoToken,
    /// It has several `Authorization` headers, or one that is no Bearer credential.
    #[error("send exactly one Authorization header: Bearer, a space, the access token")]
    Header,
    /// Not an access token at all.
    #[error("this is not an access token")]
    Malformed,
    /// Its `kid` is not one of the issuer's keys.
    #[error("no key of the issuer signed this token")]
    UnknownKey,
    /// Its signature is not that key's, or of another algorithm.
    #[error("the signature of this token does not hold")]
    Signature,
    /// Signed by the issuer, but not as an access token.
    #[error("this is signed as something else than an access token")]
    Type,
    /// Of another `iss`.
    #[error("this token is of another issuer")]
    Issuer,
    /// For another `aud`.
    #[error("this token is for another audience")]
    Audience,
    /// Past its `exp`.
    #[error("this token has expired: obtain another")]
    Expired,
    /// Before its `nbf`.
    #[error("this token is not valid yet: compare the clocks")]
    NotYetValid,
    /// Ended before its time.
    #[error("this token is revoked")]
    Revoked,
    /// Shown from elsewhere than `allowed_ip_cidrs` says.
    #[error("this token cannot be used from this network address")]
    Network {
        /// Where from, when it is known.
        ip: Option<IpAddr>,
    },
    /// Its scopes do not cover this one.
    #[error("this needs the scope {0}")]
    Scope(Scope),
    /// What is asked for cannot be written as a scope, and so nobody holds it.
    #[error("what is asked for is not something that a scope is about")]
    ScopeText(ScopeError),
    /// The issuer's keys, or what it has revoked, are not known at present.
    #[error("tokens cannot be checked at present: try again")]
    Unavailable,
    /// A handler asks for what only the layer finds out, and the layer is not there.
    #[error("this route stands outside the verifier's layer")]
    NoLayer,
}

/// What every answer says of this resource server.
#[derive(Debug, Default)]
pub(super) struct Challenge {
    /// The resource's name.
    pub(super) realm: String,
    /// Where its metadata is (RFC 9728 §5.1).
    pub(super) metadata: Option<String>,
}

impl Refused {
    pub(super) fn new(cause: Cause, challenge: &Arc<Challenge>) -> Self {
        Self {
            cause,
            challenge: Arc::clone(challenge),
        }
    }

    /// What is wrong.
    #[must_use]
    pub const fn cause(&self) -> &Cause {
        &self.cause
    }

    pub(super) fn challenge(&self) -> &Challenge {
        &self.challenge
    }
}
