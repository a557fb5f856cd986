//! Refusals on the management plane: RFC 9457 problem details.

mod causes;
mod excess;
mod roles;
mod signing_keys;

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::body::BodyError;
use super::request_id;
use crate::app::App;
use crate::domain::policy::Rule;
use crate::domain::secret::redact;
use crate::manage::refusal::Refusal;

/// A refusal, in the standard's terms.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    /// Stable: what programs look at.
    code: &'static str,
    title: &'static str,
    /// For people: what to do.
    detail: String,
    /// The JSON pointer of the field at fault (RFC 6901).
    pointer: Option<String>,
    /// The rule of a policy that refuses.
    rule: Option<Rule>,
    /// The RFC 6750 §3 challenge.
    challenge: Option<String>,
    /// After how many seconds to come again.
    retry_after: Option<u16>,
    /// How many there are, where that is what the refusal is about.
    count: Option<u32>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct Body<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<Rule>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u32>,
    request_id: &'a str,
}

impl Problem {
    /// A problem of this code.
    #[must_use]
    pub fn new(
        status: StatusCode,
        code: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            status,
            code,
            title,
            detail: detail.into(),
            pointer: None,
            rule: None,
            challenge: None,
            retry_after: None,
            count: None,
        }
    }

    /// A field that is not acceptable.
    #[must_use]
    pub fn invalid(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            pointer: Some(pointer.into()),
            ..Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "invalid_field",
                "A value is not acceptable",
                detail,
            )
        }
    }

    /// An `Idempotency-Key` that is none.
    #[must_use]
    pub fn idempotency_key(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "invalid_idempotency_key",
            "Idempotency-Key not acceptable",
            detail,
        )
    }

    /// An issuer that does not exist, or not yet.
    #[must_use]
    pub fn no_such_issuer() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found",
            "Not found",
            "there is no such issuer, or its organization is not bootstrapped yet",
        )
    }

    /// Who calls is not known.
    #[must_use]
    pub fn unauthenticated(detail: &str, error: Option<&str>) -> Self {
        let challenge = match error {
            Some(error) => format!(r#"Bearer realm="tenmint", error="{error}""#),
            None => r#"Bearer realm="tenmint""#.to_owned(),
        };
        Self {
            challenge: Some(challenge),
            ..Self::new(
                StatusCode::UNAUTHORIZED,
                "unauthenticated",
                "Not authenticated",
                detail,
            )
        }
    }

    fn later(code: &'static str, title: &'static str) -> Self {
        Self {
            retry_after: Some(2),
            ..Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                code,
                title,
                "it is not known whether anything was done: look, then try again",
            )
        }
    }

    fn forbidden(code: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, title, detail)
    }

    fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        let title = "In conflict with what is there";
        Self::new(StatusCode::CONFLICT, code, title, detail)
    }

    fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Internal error",
            "tenmint failed; the operator finds the cause in the log under this request id",
        )
    }

    /// One line for whoever looks the request id up. No values: a client wrote them.
    pub fn log(&self, request_id: &str) {
        let (code, pointer) = (self.code, self.pointer.as_deref().map(redact));
        let pointer = pointer.as_deref().unwrap_or_default();
        tracing::info!(%request_id, code, pointer, "refused a request");
    }

    /// The answer, findable by its request id.
    #[must_use]
    pub fn respond(self, request: &str) -> Response {
        let detail = redact(&self.detail);
        let pointer = self.pointer.as_deref().map(redact);
        let body = Body {
            r#type: format!("urn:tenmint:problem:{}", self.code),
            title: self.title,
            status: self.status.as_u16(),
            detail: &detail,
            code: self.code,
            pointer: pointer.as_deref(),
            rule: self.rule,
            count: self.count,
            request_id: request,
        };
        let body = serde_json::to_vec(&body).expect("strings are JSON");
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
        headers.insert(request_id::HEADER, request_id::header(request));
        if let Some(challenge) = self.challenge.and_then(|text| text.parse().ok()) {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// Answers with a problem under a new request id, by which the log has it too.
pub fn respond(app: &App, problem: Problem) -> Response {
    let request_id = app.request_id();
    problem.log(&request_id);
    problem.respond(&request_id)
}

/// The same for a failure of tenmint's own, whose cause is in the log alone.
pub fn fail(app: &App, refusal: Refusal) -> Response {
    let request_id = app.request_id();
    tracing::error!(%request_id, cause = %refusal, "a request failed");
    Problem::from(refusal).respond(&request_id)
}

/// There is no such route.
pub async fn no_such_route(State(app): State<Arc<App>>) -> Response {
    let detail = "there is nothing at this path";
    let problem = Problem::new(StatusCode::NOT_FOUND, "not_found", "Not found", detail);
    respond(&app, problem)
}

/// The route is there, for another method.
pub async fn method_not_allowed(State(app): State<Arc<App>>) -> Response {
    let detail = "use a method that the Allow header names";
    let status = StatusCode::METHOD_NOT_ALLOWED;
    respond(
        &app,
        Problem::new(status, "method_not_allowed", "Method not allowed", detail),
    )
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        let of =
            |status, code, detail: &str| Self::new(status, code, "The body was not read", detail);
        match error {
            BodyError::TooLarge => of(
                StatusCode::PAYLOAD_TOO_LARGE,
                "body_too_large",
                "send at most 64 KiB",
            ),
            BodyError::TooSlow => of(StatusCode::REQUEST_TIMEOUT, "body_too_slow", "send faster"),
            BodyError::BrokenOff => of(StatusCode::BAD_REQUEST, "body_broken_off", "send it whole"),
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.code)
    }
}
