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
            Refusal::Lacks(action) => Self::insufficient_scope(action.as_str()),
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

    /// From a question that could not be answered.
    #[must_use]
    pub fn from_trouble(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Overloaded => Self::later("too many new clients at once: try again"),
            Trouble::Unavailable => Self::unavailable(),
            Trouble::Broken => Self::broken("this server cannot do this: ask its administrator"),
        }
    }

    /// What was presented as Bearer, or nothing, does not count (RFC 6750 §3). Whoever presented
    /// nothing is told no `error`.
    #[must_use]
    pub fn unauthorized(error: Option<&'static str>, description: &'static str) -> Self {
        let challenge = match error {
            Some(error) => format!(r#"Bearer realm="tenmint", error="{error}""#),
            None => r#"Bearer realm="tenmint""#.to_owned(),
        };
        let error = error.unwrap_or("invalid_request");
        Self {
            challenge: Some(challenge.into()),
            ..Self::new(StatusCode::UNAUTHORIZED, error, description)
        }
    }

    /// An API key was shown where its token is wanted (RFC 6750 §3). Its client can be told where
    /// to get one, because it has proved that it holds the key.
    #[must_use]
    pub fn exchange_instead(endpoint: &str) -> Self {
        let description =
            format!("exchange this API key for a token at {endpoint} and send the token");
        let challenge = format!(
            r#"Bearer realm="tenmint", error="invalid_token", error_description="{description}""#
        );
        Self {
            challenge: Some(challenge.into()),
            ..Self::new(StatusCode::UNAUTHORIZED, "invalid_token", description)
        }
    }

    /// A scope is missing (RFC 6750 §3.1): what is wanted in all, separated by single spaces.
    #[must_use]
    pub fn insufficient_scope(wanted: &str) -> Self {
        let challenge =
            format!(r#"Bearer realm="tenmint", error="insufficient_scope", scope="{wanted}""#);
        let description = format!("this needs the scope {wanted}");
        Self {
            challenge: Some(challenge.into()),
            ..Self::new(StatusCode::FORBIDDEN, "insufficient_scope", description)
        }
    }

    /// A key is over its rate limit for so many seconds more; `instead` says what to do.
    #[must_use]
    pub fn rate_limited(seconds: u64, instead: &str) -> Self {
        // RFC 6749 has no word for it; clients that know none go by the status.
        Self {
            retry_after: Some(seconds),
            ..Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "rate_limited",
                format!("this API key is over its rate limit: {instead} ask again in {seconds} s"),
            )
        }
    }
}
