//! Refusals on the management plane: RFC 9457 problem details, from causes, in one match.

mod roles;

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::body::BodyError;
use super::request_id;
use crate::app::App;
use crate::credentials::Denied;
use crate::domain::policy::{Looser, Rule, Violation};
use crate::domain::secret::redact;
use crate::domain::timestamp::Timestamp;
use crate::manage::refusal::{Excess, Refusal};

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
    retry_after: Option<u8>,
    /// How many there are, where that is what the refusal is about.
    count: Option<u32>,
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<Rule>,
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

    /// What goes too far is nowhere in the request, so no pointer can name it.
    fn bootstrap_exceeds(excess: &Excess) -> Self {
        let lacking = match excess {
            Excess::Scope(scope) => format!("hold {scope}"),
            Excess::Networks => "be open to every network".to_owned(),
            Excess::Lifetime(end) => format!("outlive {end}, when your own key ends"),
        };
        Self::forbidden(
            "exceeds_authority",
            "Beyond your own authority",
            format!(
                "the management key would {lacking}, and so must the operator key that makes it: \
                 use one like those of tenmint operator-key"
            ),
        )
    }

    /// The same, of a key that is there: it is not the request that holds what goes too far.
    fn target_exceeds(excess: &Excess) -> Self {
        let lacking = match excess {
            Excess::Scope(scope) => format!("it holds {scope}, and your own credential does not"),
            Excess::Networks => "it is open to networks that your own key is not open to, and you \
                                 do not hold api_keys.any_network"
                .to_owned(),
            Excess::Lifetime(end) => format!("it outlives {end}, when your own key ends"),
        };
        Self::forbidden(
            "exceeds_authority",
            "Beyond your own authority",
            format!("this key is more than you are: {lacking}"),
        )
    }

    fn breaks_policy(broken: Violation) -> Self {
        let pointer = broken.rule.pointer_in_key();
        Self::policy_violation(broken.rule, pointer, broken.why)
    }

    fn target_breaks_policy(broken: &Violation) -> Self {
        let why = format!("as this key is, it cannot be given back: {}", broken.why);
        Self::policy_violation(broken.rule, None, why)
    }

    fn looser_policy(looser: &Looser) -> Self {
        let why = format!(
            "the operator's policy says {}: be as strict or stricter, or leave the rule out",
            looser.bound
        );
        Self::policy_violation(looser.rule, Some(looser.rule.pointer()), why)
    }

    fn policy_violation(rule: Rule, pointer: Option<&str>, detail: impl Into<String>) -> Self {
        Self {
            pointer: pointer.map(str::to_owned),
            rule: Some(rule),
            ..Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "policy_violation",
                "Against a policy",
                detail,
            )
        }
    }

    fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        let title = "In conflict with what is there";
        Self::new(StatusCode::CONFLICT, code, title, detail)
    }

    fn key_expired() -> Self {
        let why = "this key is past its end: give it a later expires_at first, or create another";
        Self::conflict("key_expired", why)
    }

    fn rotation_under_way(end: Timestamp) -> Self {
        Self::conflict(
            "rotation_under_way",
            format!(
                "the secret before counts until {end}: wait for that, or end it now by POST to \
                 rotate/finish, then rotate again"
            ),
        )
    }

    fn count_changed(count: usize) -> Self {
        let detail = format!(
            "{count} keys match now, and nothing was done: look at them with dry_run, then name \
             that count as expected_count"
        );
        Self {
            count: u32::try_from(count).ok(),
            ..Self::conflict("count_changed", detail)
        }
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
            headers.insert(header::RETRY_AFTER, HeaderValue::from(u16::from(seconds)));
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

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Anonymous => Self::unauthenticated(
                "send Authorization: Bearer with an API key, or with an access token obtained \
                 for the resource of this management plane",
                None,
            ),
            Refusal::CredentialInUrl => Self::new(
                StatusCode::BAD_REQUEST,
                "credential_in_url",
                "Credential in the URL",
                "send it as Authorization: Bearer; URLs are kept in logs and histories, so \
                 consider the one you sent leaked",
            ),
            Refusal::Key(
                Denied::Forged
                | Denied::Unknown
                | Denied::WrongSecret
                | Denied::Ended(_)
                | Denied::OrganizationSuspended,
            ) => Self::unauthenticated(
                "this credential is not, or no longer, in force",
                Some("invalid_token"),
            ),
            Refusal::Token(_) | Refusal::TokenDenied => Self::unauthenticated(
                "this access token does not count here: obtain one from the deployment's token \
                 endpoint with resource set to the base URL",
                Some("invalid_token"),
            ),
            Refusal::NetworkDenied { .. } => Self::forbidden(
                "network_denied",
                "Network refused",
                "this API key cannot be used from this network address",
            ),
            Refusal::Lacks(action) => Self {
                challenge: Some(format!(
                    r#"Bearer realm="tenmint", error="insufficient_scope", scope="{}""#,
                    action.as_str()
                )),
                ..Self::forbidden(
                    "insufficient_scope",
                    "Scope missing",
                    format!("this needs the scope {}", action.as_str()),
                )
            },
            Refusal::OperatorOnly => Self::forbidden(
                "operator_only",
                "For the operator",
                "only keys of the operator organization can do this; your own organization is at /v1/…",
            ),
            Refusal::NotFound(kind) => Self::new(
                StatusCode::NOT_FOUND,
                "not_found",
                "Not found",
                format!("there is no such {kind} here"),
            ),
            Refusal::Exceeds(excess) => Self {
                pointer: Some(excess.pointer().to_owned()),
                ..Self::forbidden(
                    "exceeds_authority",
                    "Beyond your own authority",
                    excess.to_string(),
                )
            },
            Refusal::TargetExceeds(excess) => Self::target_exceeds(&excess),
            Refusal::BootstrapExceeds(excess) => Self::bootstrap_exceeds(&excess),
            Refusal::Policy(broken) => Self::breaks_policy(broken),
            Refusal::TargetBreaksPolicy(broken) => Self::target_breaks_policy(&broken),
            Refusal::LooserPolicy(looser) => Self::looser_policy(&looser),
            Refusal::KeyRevoked => Self::conflict(
                "key_revoked",
                "this key was revoked, and that is for good: create another",
            ),
            Refusal::KeyExpired => Self::key_expired(),
            Refusal::RotationUnderWay(end) => Self::rotation_under_way(end),
            Refusal::Roles(refusal) => roles::problem(refusal),
            Refusal::Changed => Self::new(
                StatusCode::PRECONDITION_FAILED,
                "changed",
                "Changed meanwhile",
                "this is not, or no longer, the revision that If-Match names: read it again",
            ),
            Refusal::SentDifferently => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency_key_reused",
                "Idempotency-Key used before",
                "another request was sent under this Idempotency-Key: choose a new one",
            ),
            Refusal::InFlight => Self::conflict(
                "in_flight",
                "the same request is under way: send it again in a moment for its result",
            ),
            Refusal::CountChanged { count } => Self::count_changed(count),
            Refusal::OrganizationExists => Self::conflict(
                "organization_exists",
                "an organization of this id exists: choose another id",
            ),
            Refusal::OtherAlgorithm(there) => Self::conflict(
                "other_algorithm",
                format!("this organization signs with {there}: leave alg out, or say {there}"),
            ),
            Refusal::OperatorNotSuspendable => Self::conflict(
                "operator_not_suspendable",
                "the operator organization cannot be suspended: revoke its keys instead",
            ),
            Refusal::Invalid { pointer, why } => Self::invalid(pointer, why),
            Refusal::Overloaded(_) | Refusal::Key(Denied::Overloaded(_)) => {
                Self::later("overloaded", "Too much at once")
            }
            Refusal::Unavailable(_) | Refusal::Key(Denied::Unavailable(_)) => {
                Self::later("unavailable", "Unavailable")
            }
            Refusal::Corrupt(_) | Refusal::Issuer(_) | Refusal::Broken => Self::internal(),
        }
    }
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
