//! Refusals of those who ask about a credential, or would end one.

use axum::http::StatusCode;

use super::OAuthError;
use crate::check::{Refusal as Checked, Trouble};
use crate::http::client_request::Scheme;
use crate::manage::refusal::Refusal;
use crate::manage::self_revocation::NotEnded;

impl OAuthError {
    /// From a credential that was not ended.
    #[must_use]
    pub fn from_not_ended(why: &NotEnded, scheme: Scheme) -> Self {
        match why {
            NotEnded::TooMany => Self {
                retry_after: Some(60),
                ..Self::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    "temporarily_unavailable",
                    "this client has revoked as many tokens as can be kept until they end: let \
                     this one end by itself, or try again later",
                )
            },
            NotEnded::Refused(refusal) => Self::from_caller(refusal, scheme),
        }
    }

    /// From a caller that may not do what it would.
    #[must_use]
    pub fn from_caller(refusal: &Refusal, scheme: Scheme) -> Self {
        match refusal {
            Refusal::Key(_) | Refusal::Anonymous | Refusal::Token(_) | Refusal::TokenDenied => {
                Self::invalid_client(scheme)
            }
            Refusal::NetworkDenied { .. } => Self::new(
                StatusCode::FORBIDDEN,
                "access_denied",
                "this API key cannot be used from this network address",
            ),
            // RFC 6750 §3.1. RFC 7662 §2.3 points there, and says 401: which clients take for a
            // reason to try again with a fresh token.
            Refusal::Lacks(action) => Self {
                challenge: Some(insufficient_scope(action.as_str()).into()),
                ..Self::new(
                    StatusCode::FORBIDDEN,
                    "insufficient_scope",
                    format!("this needs the scope {}", action.as_str()),
                )
            },
            Refusal::Overloaded(_) => Self::from_trouble(Trouble::Overloaded),
            Refusal::Unavailable(_) => Self::from_trouble(Trouble::Unavailable),
            _ => Self::from_trouble(Trouble::Broken),
        }
    }

    /// From a question about a credential that could not be answered; `None` if it was.
    #[must_use]
    pub fn from_unanswered(refusal: &Checked) -> Option<Self> {
        refusal.trouble().map(Self::from_trouble)
    }

    fn from_trouble(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Overloaded => Self::later("too many new clients at once: try again"),
            Trouble::Unavailable => Self::unavailable(),
            Trouble::Broken => Self::broken("this server cannot do this: ask its administrator"),
        }
    }
}

/// The challenge of RFC 6750 §3.1 that names what is missing.
fn insufficient_scope(scope: &str) -> String {
    format!(r#"Bearer realm="tenmint", error="insufficient_scope", scope="{scope}""#)
}
