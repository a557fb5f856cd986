//! Refusals at the gateway endpoint, as its client is to see them (RFC 6750 §3).
//!
//! What a client did wrong is 401, 403 or 429. Gateways know the first two; all else they take for
//! a fault of their own, and so it is used for nothing but such.

use axum::http::StatusCode;

use super::demand::BadDemand;
use crate::check::{Refusal as Uncounted, Trouble};
use crate::credentials::issuers::IssuerError;
use crate::domain::scope::ScopeSet;
use crate::gateway::Refusal;
use crate::http::oauth_error::OAuthError;
use crate::issue::Refusal as NotIssued;

/// The peer is no gateway: it is told the same whatever it brings.
pub(super) fn no_gateway() -> OAuthError {
    OAuthError::new(
        StatusCode::FORBIDDEN,
        "access_denied",
        "only gateways ask here: name this one in GATEWAY_PEERS or TRUSTED_PROXIES",
    )
}

/// The gateway is not set up well.
pub(super) fn bad_demand(why: &BadDemand) -> OAuthError {
    OAuthError::new(StatusCode::BAD_REQUEST, "invalid_request", why.to_string())
}

pub(super) fn nothing_shown() -> OAuthError {
    let description = "send an API key or an access token as Authorization: Bearer, or an API key \
                       as X-API-Key";
    OAuthError::unauthorized(None, description)
}

pub(super) fn confused() -> OAuthError {
    let description = "send one credential, in one header that is sent once and that Connection \
                       does not name";
    OAuthError::unauthorized(Some("invalid_request"), description)
}

/// From a request that is not let through.
pub(super) fn error(refusal: &Refusal, required: &ScopeSet) -> OAuthError {
    match refusal {
        Refusal::Credential(why) => uncounted(why, required),
        Refusal::Exchange(why) => not_issued(why),
    }
}

fn uncounted(why: &Uncounted, required: &ScopeSet) -> OAuthError {
    if let Some(error) = OAuthError::from_unanswered(why) {
        return error;
    }
    match why {
        Uncounted::NetworkDenied { .. } => denied("not from this network address"),
        Uncounted::ExchangeOnly { endpoint } => OAuthError::exchange_instead(endpoint),
        Uncounted::ScopeBeyond { .. } => OAuthError::insufficient_scope(&required.to_parameter()),
        // The same to the byte, whatever the cause.
        Uncounted::Key(_)
        | Uncounted::UnknownKey(_)
        | Uncounted::OtherOrganization
        | Uncounted::Token(_)
        | Uncounted::TokenDenied
        | Uncounted::KeyOfToken(_)
        | Uncounted::Unsettled
        | Uncounted::Issuer(_) => not_in_force(),
    }
}

fn not_issued(why: &NotIssued) -> OAuthError {
    match why {
        NotIssued::RateLimited { seconds } => {
            OAuthError::rate_limited(*seconds, "obtain a token with it and send that instead, or")
        }
        NotIssued::Target(_) => denied("its organization's policy does not allow this resource"),
        NotIssued::Client(_) | NotIssued::UnknownKey(_) | NotIssued::OtherOrganization => {
            not_in_force()
        }
        NotIssued::Signing(IssuerError::Store(error)) if error.is_passing() => {
            OAuthError::from_trouble(Trouble::Unavailable)
        }
        NotIssued::Unsettled => OAuthError::from_trouble(Trouble::Unavailable),
        NotIssued::NetworkDenied { .. }
        | NotIssued::OwnIssuerOnly { .. }
        | NotIssued::MalformedScope(_)
        | NotIssued::ScopeBeyondKey { .. }
        | NotIssued::TokenTooLong
        | NotIssued::NoSigningKey
        | NotIssued::Signing(_) => OAuthError::from_trouble(Trouble::Broken),
    }
}

fn not_in_force() -> OAuthError {
    let description = "this credential is not, or no longer, in force, or not for this service";
    OAuthError::unauthorized(Some("invalid_token"), description)
}

fn denied(why: &str) -> OAuthError {
    let description = format!("this credential cannot be used here: {why}");
    OAuthError::new(StatusCode::FORBIDDEN, "access_denied", description)
}
