//! Whom a management request comes from, and how far it reaches: into the caller's own
//! organization, or, for the operator, into the one that the path names.

use std::sync::Arc;

use axum::extract::{FromRequestParts, MatchedPath};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::address;
use super::authorization::{Authorization, read};
use super::path::Ids;
use super::problem::Problem;
use super::query;
use crate::app::App;
use crate::domain::management::ManagementAction;
use crate::domain::organization::OrganizationId;
use crate::domain::role::RoleName;
use crate::domain::scope::{ActionName, ActionNameError};
use crate::domain::secret::{ApiKeySecret, KeyId, contains_api_key};
use crate::domain::signing_key::Kid;
use crate::domain::text::{ActingFor, TextError};
use crate::manage::caller::{Actor, Caller, Presented};
use crate::manage::refusal::Refusal;

/// By which a caller names the one of its own users that it acts for.
const ACTING_FOR: HeaderName = HeaderName::from_static("tenmint-acting-for");

/// A management request, once its caller is known.
pub struct Reach {
    /// Who.
    pub actor: Actor,
    /// Into which organization.
    pub organization: OrganizationId,
    /// The API key that the path names.
    pub key: Option<KeyId>,
    /// The role that the path names.
    pub role: Option<RoleName>,
    /// The action that the path names, or why it names none.
    pub action: Option<Result<ActionName, ActionNameError>>,
    /// The signing key that the path names.
    pub kid: Option<Kid>,
    request_id: String,
}

/// What a handler of this plane answers.
pub type Answer = Result<Response, Refused>;

/// A refusal under its request id.
#[derive(Debug)]
pub struct Refused {
    /// Boxed: errors travel through every `?` of a handler.
    problem: Box<Problem>,
    request_id: String,
}

impl Reach {
    /// The answer to a request that is not acceptable as it was written.
    pub fn refuse(&self, why: impl Into<Problem>) -> Refused {
        let problem = why.into();
        problem.log(&self.request_id);
        Refused {
            problem: Box::new(problem),
            request_id: self.request_id.clone(),
        }
    }

    /// Requires, before input is discussed, that the caller may do this at all.
    pub fn require(&self, action: ManagementAction) -> Result<(), Refused> {
        let allowed = self.actor.require(action);
        allowed.map_err(|why| self.refuse_act(why))
    }

    /// The same for a refused act, whose cause is worth a line in the log.
    pub fn refuse_act(&self, refusal: Refusal) -> Refused {
        refused(refusal, &self.request_id)
    }
}

impl FromRequestParts<Arc<App>> for Reach {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refused> {
        let request_id = app.request_id();
        let ids = Ids::of(parts).await;
        let outcome = match caller(parts, app, &request_id).await {
            Ok(caller) => {
                let own = caller.organization.clone();
                let actor = Actor::Key(Box::new(caller));
                // Before anything is looked up: a tenant learns nothing of which
                // organizations there are, not even of itself by this way.
                let allowed = match &ids.organization {
                    Some(_) => actor.require_operator(),
                    None => Ok(()),
                };
                allowed.map(|()| (actor, ids.organization.unwrap_or(own)))
            }
            Err(refusal) => Err(refusal),
        };
        let mut reach = match outcome {
            Ok((actor, organization)) => Self {
                actor,
                organization,
                key: ids.key,
                role: ids.role,
                action: ids.action,
                kid: ids.kid,
                request_id,
            },
            Err(refusal) => return Err(refused(refusal, &request_id)),
        };
        // Behind the walls: input is not discussed with strangers.
        if !parts.method.is_safe() && !takes_parameters(parts) {
            query::none(&parts.uri).map_err(|why| reach.refuse(why))?;
        }
        let user = acting_for(&parts.headers).map_err(|why| reach.refuse(why))?;
        if let Actor::Key(caller) = &mut reach.actor {
            caller.acting_for = user;
        }
        Ok(reach)
    }
}

/// Whether an act looks at its query string itself. Whoever sends any other act a parameter means
/// something by it, such as `dry_run`, and it must not be done all the same.
fn takes_parameters(parts: &Parts) -> bool {
    let route = parts.extensions.get::<MatchedPath>();
    let ends = |end| route.is_some_and(|route| route.as_str().ends_with(end));
    match parts.method {
        Method::PATCH => ends("/api-keys/{id}"),
        Method::DELETE => !ends("/scopes/{action}"),
        _ => false,
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        self.problem.respond(&self.request_id)
    }
}

fn refused(refusal: Refusal, request_id: &str) -> Refused {
    match &refusal {
        Refusal::Unavailable(_)
        | Refusal::Corrupt(_)
        | Refusal::Issuer(_)
        | Refusal::RootKey(_)
        | Refusal::Broken => {
            tracing::error!(%request_id, cause = %refusal, "refused an act of management");
        }
        _ => tracing::info!(%request_id, cause = %refusal, "refused an act of management"),
    }
    Refused {
        problem: Box::new(refusal.into()),
        request_id: request_id.to_owned(),
    }
}

async fn caller(parts: &Parts, app: &App, request_id: &str) -> Result<Caller, Refusal> {
    if parts.uri.query().is_some_and(holds_credential) {
        return Err(Refusal::CredentialInUrl);
    }
    let Authorization::Bearer(text) = read(&parts.headers) else {
        return Err(Refusal::Anonymous);
    };
    let presented = match ApiKeySecret::parse(text) {
        Ok(secret) => Presented::Key(secret),
        Err(_) => Presented::Token(text),
    };
    let address = address::of(parts, app);
    let user_agent = parts.headers.get(header::USER_AGENT);
    let user_agent = user_agent.map(HeaderValue::as_bytes);
    app.management
        .caller(presented, address, user_agent, request_id.to_owned())
        .await
}

/// Which of its own users the caller says that it acts for.
fn acting_for(headers: &HeaderMap) -> Result<Option<ActingFor>, Problem> {
    let refuse = |why: String| {
        Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid_header",
            "A header is not acceptable",
            format!("Tenmint-Acting-For: {why}"),
        )
    };
    let mut values = headers.get_all(ACTING_FOR).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(refuse("send it once, naming one user".to_owned()));
    }
    let text = std::str::from_utf8(value.as_bytes())
        .map_err(|_| refuse("write it in UTF-8".to_owned()))?;
    let user = text
        .parse()
        .map_err(|why: TextError| refuse(why.to_string()))?;
    Ok(Some(user))
}

/// Whether a query string holds what belongs into a header (RFC 6750 §2.3 and §5.3).
fn holds_credential(query: &str) -> bool {
    form_urlencoded::parse(query.as_bytes())
        .any(|(name, value)| name == "access_token" || contains_api_key(&value))
}
