//! Denials explained: how each is counted, and what an administrator can do about it.

use std::net::IpAddr;

use super::Denied;
use crate::domain::api_key::Status;
use crate::domain::usage::Outcome;

impl Denied {
    /// How it is counted.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Forged => Outcome::Forged,
            Self::Unknown => Outcome::UnknownKey,
            Self::WrongSecret => Outcome::WrongSecret,
            Self::Ended(Status::Expired) => Outcome::Expired,
            Self::Ended(Status::Disabled) => Outcome::Disabled,
            Self::Ended(Status::Revoked | Status::Active) => Outcome::Revoked,
            Self::OrganizationSuspended => Outcome::OrganizationSuspended,
            Self::Overloaded(_) => Outcome::Overloaded,
            Self::Unavailable(_) => Outcome::Unavailable,
        }
    }

    /// What an administrator of the key's organization can do about it. Says more than the
    /// client was told, and nothing secret.
    #[must_use]
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::Forged => {
                "what was presented is no API key of this deployment: it is mistyped, cut off, \
                 or of another deployment"
            }
            Self::Unknown => {
                "the key string is genuine, and there is no such key in this database: was it \
                 restored from an older backup?"
            }
            Self::WrongSecret => {
                "the secret is not, or no longer, this key's: give the client the present one"
            }
            Self::Ended(Status::Expired) => "the key has expired: give the client a new one",
            Self::Ended(Status::Disabled) => {
                "the key is disabled: enable it if this client may use it"
            }
            Self::Ended(Status::Revoked | Status::Active) => {
                "the key was revoked: give the client a new one, or find out who still uses it"
            }
            Self::OrganizationSuspended => {
                "the organization is suspended: the operator can resume it"
            }
            Self::Overloaded(_) => {
                "too many keys were used for the first time at once: the client may try again"
            }
            Self::Unavailable(_) => {
                "the database was unavailable: the operator finds the cause in the log under \
                 this request id"
            }
        }
    }
}

/// The same for a genuine key at an address where it may not be used, or at none.
#[must_use]
pub fn network_advice(address: Option<IpAddr>) -> String {
    match address {
        Some(ip) => format!(
            "{ip} is outside the key's allowed_ip_cidrs: add it there if this client may use the \
             key"
        ),
        None => "the client's address is not known: a trusted proxy did not tell it in the \
                 header that is configured"
            .to_owned(),
    }
}
