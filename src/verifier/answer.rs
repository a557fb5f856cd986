//! Refusals on the wire (RFC 6750 §3): from causes, in one match.

use axum_core::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use super::refused::{Cause, Challenge, Refused};

impl Refused {
    /// The answer. Its body is JSON that says the same as its header.
    #[must_use]
    pub fn answer<B: From<String>>(&self) -> http::Response<B> {
        let (status, error) = self.status();
        let mut body = json!({ "error_description": self.to_string() });
        if let Some(error) = error {
            body["error"] = error.into();
        }
        let mut answer = http::Response::new(B::from(body.to_string()));
        *answer.status_mut() = status;
        let headers = answer.headers_mut();
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(challenge) = self.www_authenticate(error) {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
        }
        answer
    }

    fn status(&self) -> (StatusCode, Option<&'static str>) {
        match self.cause() {
            // RFC 6750 §3.1: nothing was shown, and nothing is said about it.
            Cause::NoToken => (StatusCode::UNAUTHORIZED, None),
            Cause::Header => (StatusCode::BAD_REQUEST, Some("invalid_request")),
            Cause::Malformed
            | Cause::UnknownKey
            | Cause::Signature
            | Cause::Type
            | Cause::Issuer
            | Cause::Audience
            | Cause::Expired
            | Cause::NotYetValid
            | Cause::Revoked => (StatusCode::UNAUTHORIZED, Some("invalid_token")),
            // Another token would not help: a client that is told invalid_token would go round.
            Cause::Network { .. } => (StatusCode::FORBIDDEN, Some("access_denied")),
            Cause::Scope(_) | Cause::ScopeText(_) => {
                (StatusCode::FORBIDDEN, Some("insufficient_scope"))
            }
            Cause::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                Some("temporarily_unavailable"),
            ),
            Cause::NoLayer => (StatusCode::INTERNAL_SERVER_ERROR, Some("server_error")),
        }
    }

    /// RFC 6750 §3, with the parameter of RFC 9728 §5.1. Where another token would not help,
    /// nobody is asked for one.
    fn www_authenticate(&self, error: Option<&str>) -> Option<HeaderValue> {
        if matches!(
            self.cause(),
            Cause::Network { .. } | Cause::Unavailable | Cause::NoLayer
        ) {
            return None;
        }
        let Challenge { realm, metadata } = self.challenge();
        let description = self.to_string();
        let mut parameters = vec![("realm", &**realm)];
        if let Some(error) = error {
            parameters.extend([("error", error), ("error_description", &*description)]);
        }
        if let Cause::Scope(scope) = self.cause() {
            parameters.push(("scope", scope.as_str()));
        }
        if let Some(metadata) = metadata {
            parameters.push(("resource_metadata", metadata));
        }
        let parameters = parameters.iter();
        let parameters = parameters.map(|(name, value)| format!("{name}={}", quoted(value)));
        let parameters = parameters.collect::<Vec<_>>().join(", ");
        HeaderValue::from_str(&format!("Bearer {parameters}")).ok()
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        self.answer()
    }
}

/// A quoted string (RFC 9110 §5.6.4), of printable ASCII alone.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars().filter(|c| matches!(c, ' '..='~')) {
        if matches!(character, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn shown(cause: Cause) -> (u16, Option<String>) {
        let challenge = Arc::new(Challenge {
            realm: "a \"b\"".to_owned(),
            metadata: Some("https://a/m".to_owned()),
        });
        let answer = Refused::new(cause, &challenge).answer::<String>();
        let header = answer.headers().get(header::WWW_AUTHENTICATE);
        let header = header.map(|value| value.to_str().unwrap().to_owned());
        (answer.status().as_u16(), header)
    }

    #[test]
    fn who_brings_nothing_is_told_no_error() {
        let (status, challenge) = shown(Cause::NoToken);
        assert_eq!(status, 401);
        let expected = r#"Bearer realm="a \"b\"", resource_metadata="https://a/m""#;
        assert_eq!(challenge.unwrap(), expected);
    }

    #[test]
    fn a_missing_scope_is_named() {
        let (status, challenge) = shown(Cause::Scope("read:projects/42".parse().unwrap()));
        assert_eq!(status, 403);
        let challenge = challenge.unwrap();
        assert!(challenge.contains(r#"error="insufficient_scope""#));
        assert!(challenge.contains(r#"scope="read:projects/42""#));
    }

    #[test]
    fn a_client_that_another_token_would_not_help_is_not_asked_for_one() {
        assert_eq!(shown(Cause::Network { ip: None }), (403, None));
        assert_eq!(shown(Cause::Unavailable), (503, None));
    }
}
