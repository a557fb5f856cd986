//! Refusals on the OAuth plane: RFC 6749 §5.2 JSON, from causes, in one match.

mod body;
mod callers;

use std::borrow::Cow;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;

use super::body::BodyError;
use super::client_request::{Malformed, Scheme};
use super::json;
use super::request_id;
use crate::credentials::Denied;
use crate::credentials::issuers::IssuerError;
use crate::issue::Refusal;

/// An error answer.
#[derive(Debug)]
pub struct OAuthError {
    status: StatusCode,
    error: &'static str,
    /// What tenmint itself wrote is borrowed, and needs no cleaning.
    description: Cow<'static, str>,
    challenge: Option<Cow<'static, str>>,
    retry_after: Option<u64>,
}

impl OAuthError {
    /// With a code of the standard and what to do about it.
    #[must_use]
    pub fn new(
        status: StatusCode,
        error: &'static str,
        description: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            status,
            error,
            description: description.into(),
            challenge: None,
            retry_after: None,
        }
    }

    /// One answer for every client that is not who it says, whatever the cause.
    #[must_use]
    pub fn invalid_client(scheme: Scheme) -> Self {
        let challenge = match scheme {
            Scheme::Basic => r#"Basic realm="tenmint", charset="UTF-8""#,
            Scheme::Bearer => r#"Bearer realm="tenmint""#,
        };
        Self {
            challenge: Some(challenge.into()),
            ..Self::new(
                StatusCode::UNAUTHORIZED,
                "invalid_client",
                "client authentication failed: check the API key, and that it is still in force",
            )
        }
    }

    fn later(description: &'static str) -> Self {
        Self {
            retry_after: Some(2),
            ..Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "temporarily_unavailable",
                description,
            )
        }
    }

    fn unavailable() -> Self {
        Self::later("the service is unavailable: try again")
    }

    fn internal() -> Self {
        Self::broken("this server cannot issue the token: ask its administrator")
    }

    fn broken(description: &'static str) -> Self {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self::new(status, "server_error", description)
    }

    /// The answer to any other method than POST.
    #[must_use]
    pub fn post_only(description: &'static str, request: &str) -> Response {
        let status = StatusCode::METHOD_NOT_ALLOWED;
        let mut response = Self::new(status, "invalid_request", description).respond(request);
        let allow = HeaderValue::from_static("POST");
        response.headers_mut().insert(header::ALLOW, allow);
        response
    }

    /// From a refused exchange.
    #[must_use]
    pub fn from_refusal(refusal: &Refusal, scheme: Scheme) -> Self {
        let bad_request = |error, text: String| Self::new(StatusCode::BAD_REQUEST, error, text);
        match refusal {
            Refusal::Client(denied) => match denied {
                Denied::Forged
                | Denied::Unknown
                | Denied::WrongSecret
                | Denied::Ended(_)
                | Denied::OrganizationSuspended => Self::invalid_client(scheme),
                Denied::Overloaded(_) => Self::later("too many new clients at once: try again"),
                Denied::Unavailable(error) if error.is_passing() => Self::unavailable(),
                Denied::Unavailable(_) => Self::internal(),
            },
            Refusal::UnknownKey(_) | Refusal::OtherOrganization => Self::invalid_client(scheme),
            Refusal::NetworkDenied { .. } => Self::new(
                StatusCode::FORBIDDEN,
                "access_denied",
                "this API key cannot be used from this network address",
            ),
            Refusal::RateLimited { seconds, .. } => {
                Self::rate_limited(*seconds, "use the token you have while it lasts, and")
            }
            Refusal::MalformedScope(why) => bad_request("invalid_scope", why.to_string()),
            Refusal::ScopeBeyondKey { scope } => bad_request(
                "invalid_scope",
                format!(
                    "the scope {scope} is beyond this API key: ask for less, or for none to get all it holds"
                ),
            ),
            Refusal::OwnIssuerOnly { endpoint, .. } => bad_request(
                "unauthorized_client",
                format!(
                    "this API key obtains tokens at {endpoint} alone, by its organization's policy"
                ),
            ),
            Refusal::Target(why) => bad_request("invalid_target", why.to_string()),
            Refusal::TokenTooLong => bad_request(
                "invalid_scope",
                "the token would be too long for HTTP headers: ask for fewer scopes".to_owned(),
            ),
            Refusal::NoSigningKey => bad_request(
                "invalid_request",
                "this issuer has no signing key yet: its organization must be bootstrapped"
                    .to_owned(),
            ),
            Refusal::Unsettled => Self::unavailable(),
            Refusal::Signing(IssuerError::Store(error)) if error.is_passing() => {
                Self::unavailable()
            }
            Refusal::Signing(_) => Self::internal(),
        }
    }

    /// What the client is told, for the log.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Whether it is this server's fault.
    #[must_use]
    pub fn is_trouble(&self) -> bool {
        self.status.is_server_error()
    }

    /// The answer, findable by its request id.
    #[must_use]
    pub fn respond(self, request: &str) -> Response {
        let body = body::render(self.error, self.description);
        let mut response = json::answer_written(self.status, body);
        let headers = response.headers_mut();
        headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
        headers.insert(request_id::HEADER, request_id::header(request));
        let challenge = self.challenge.and_then(|challenge| match challenge {
            Cow::Borrowed(own) => Some(HeaderValue::from_static(own)),
            Cow::Owned(text) => text.try_into().ok(),
        });
        if let Some(challenge) = challenge {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<Malformed> for OAuthError {
    fn from(malformed: Malformed) -> Self {
        let error = match malformed {
            Malformed::GrantType => "unsupported_grant_type",
            Malformed::Query
            | Malformed::ContentType
            | Malformed::Repeated
            | Malformed::TooMany
            | Malformed::SeveralCredentials
            | Malformed::SeveralHeaders
            | Malformed::OtherClientId
            | Malformed::NoToken
            | Malformed::NoAddress
            | Malformed::NoGrantType => "invalid_request",
        };
        Self::new(StatusCode::BAD_REQUEST, error, malformed.to_string())
    }
}

impl From<BodyError> for OAuthError {
    fn from(error: BodyError) -> Self {
        let (status, text) = match error {
            BodyError::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "the request body is too large",
            ),
            BodyError::TooSlow => (
                StatusCode::REQUEST_TIMEOUT,
                "the request body came too slowly",
            ),
            BodyError::BrokenOff => (StatusCode::BAD_REQUEST, "the request body broke off"),
        };
        Self::new(status, "invalid_request", text)
    }
}
