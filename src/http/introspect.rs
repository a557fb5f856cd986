//! The introspection endpoints (RFC 7662).

mod describe;
mod view;

use std::borrow::Cow;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::Response;
use zeroize::Zeroizing;

use super::authorization::{Authorization, read};
use super::client_request::{AboutToken, MAX_BODY, Malformed, Parameter, Scheme, once};
use super::oauth_error::OAuthError;
use super::phases::others_first;
use super::{Peer, address, body, json, path, request_id};
use crate::app::App;
use crate::app::metrics::timed;
use crate::check::introspection::{Active, Question};
use crate::check::{Expected, Presented, Refused};
use crate::credentials::Denied;
use crate::domain::issuer::Issuer;
use crate::domain::management::ManagementAction;
use crate::domain::scope::ScopeSet;
use crate::domain::secret::{ApiKeySecret, PresentedSecret};
use crate::manage::caller::{Actor, Caller, Presented as Credential};
use crate::manage::refusal::Refusal;

pub use describe::describe;
use view::{ActiveView, Inactive};

/// A well-formed introspection request (RFC 7662 §2.1).
struct IntrospectionRequest<'a> {
    about: AboutToken,
    ip: Parameter<'a>,
    scope: Parameter<'a>,
}

/// `POST /oauth/introspect`: tokens of the deployment issuer, and API keys.
pub fn deployment(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> impl Future<Output = Response> + Send {
    // As at the token endpoint.
    let (parts, body) = request.into_parts();
    async move {
        let work = pin!(introspect(&app, &Issuer::Deployment, peer, &parts, body));
        timed(&app.metrics.introspection, &app.mint.clock, work).await
    }
}

/// `POST /orgs/{org}/oauth/introspect`: knows that organization's tokens and keys alone.
pub async fn organization(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let issuer = path::organization_issuer(&mut parts).await;
    let work = pin!(introspect(&app, &issuer, peer, &parts, body));
    timed(&app.metrics.introspection, &app.mint.clock, work).await
}

/// Any other method at an introspection endpoint.
pub async fn post_only(State(app): State<Arc<App>>) -> Response {
    OAuthError::post_only("use POST at the introspection endpoint", &app.request_id())
}

async fn introspect(app: &App, issuer: &Issuer, peer: Peer, parts: &Parts, body: Body) -> Response {
    let request_id = app.request_id();
    let body = match body::read(body, MAX_BODY).await {
        Ok(body) => Zeroizing::new(body.to_vec()),
        Err(error) => return malformed(error.into(), &request_id),
    };
    let asked = match IntrospectionRequest::parse(&parts.uri, &parts.headers, &body) {
        Ok(asked) => asked,
        Err(error) => return malformed(error.into(), &request_id),
    };
    others_first().await;
    let IntrospectionRequest { about, ip, scope } = asked;
    // Services are given keys of tenmint's own.
    let secret = about.secret.and_then(PresentedSecret::own);
    let caller = match caller(app, issuer, secret, (peer, &parts.headers), &request_id).await {
        Ok(caller) => caller,
        Err(why) => return refused(&why, about.scheme, &request_id),
    };
    let (address, scopes) = match (read_address(ip), read_scopes(scope)) {
        (Ok(address), Ok(scopes)) => (address, scopes),
        (Err(error), _) | (_, Err(error)) => return malformed(error, &request_id),
    };
    // The operator sees into every organization, at that organization's own issuer too.
    let own = (!caller.organization.is_operator()).then_some(&caller.organization);
    let question = Question {
        presented: Presented::read(&about.token),
        expected: Expected {
            organization: match issuer {
                Issuer::Deployment => own,
                Issuer::Organization(organization) => Some(organization),
            },
            issuer: Some(issuer),
            audience: None,
        },
        address,
        scopes,
    };
    match app.checker.introspect(question, &request_id).await {
        Ok(active) => answer(app, &active),
        Err(why) => inactive(&why, &request_id),
    }
}

/// Whoever asks, if it may: at an organization's issuer a key of that organization, or the
/// operator's.
async fn caller(
    app: &App,
    issuer: &Issuer,
    secret: Option<ApiKeySecret>,
    (peer, headers): (Peer, &HeaderMap),
    request_id: &str,
) -> Result<Caller, Refusal> {
    let credential = match (secret, read(headers)) {
        (Some(secret), _) => Credential::Key(secret),
        (None, Authorization::Bearer(text)) => Credential::Token(text),
        (None, _) => return Err(Refusal::Anonymous),
    };
    let user_agent = headers.get(header::USER_AGENT);
    let caller = app
        .management
        .caller(
            credential,
            address::behind(peer, headers, app),
            user_agent.map(HeaderValue::as_bytes),
            request_id.to_owned(),
        )
        .await?;
    if let Issuer::Organization(organization) = issuer
        && *organization != caller.organization
        && !caller.organization.is_operator()
    {
        return Err(Refusal::Key(Denied::Unknown));
    }
    let actor = Actor::Key(Box::new(caller));
    actor.require(ManagementAction::TokensIntrospect)?;
    match actor {
        Actor::Key(caller) => Ok(*caller),
        Actor::CommandLine | Actor::System => Err(Refusal::Anonymous),
    }
}

fn answer(app: &App, active: &Active) -> Response {
    let scope = active.holder.scope();
    let view = ActiveView::of(active, &app.mint.base, &scope);
    json::answer(StatusCode::OK, &view)
}

/// The same to the byte, whatever the cause (RFC 7662 §2.2), which the log has and, of a key,
/// also its organization's list of refusals.
fn inactive(why: &Refused, request_id: &str) -> Response {
    if let Some(error) = OAuthError::from_unanswered(&why.refusal) {
        tracing::error!(%request_id, cause = %why, "could not introspect");
        return error.respond(request_id);
    }
    match why.id() {
        Some(key) => tracing::info!(%request_id, %key, cause = %why, "introspected as inactive"),
        None => tracing::info!(%request_id, cause = %why, "introspected as inactive"),
    }
    let mut response = json::answer(StatusCode::OK, &Inactive::default());
    let headers = response.headers_mut();
    headers.insert(request_id::HEADER, request_id::header(request_id));
    response
}

fn refused(why: &Refusal, scheme: Scheme, request_id: &str) -> Response {
    match why {
        Refusal::Unavailable(_) | Refusal::Corrupt(_) | Refusal::Issuer(_) | Refusal::Broken => {
            tracing::error!(%request_id, cause = %why, "refused an introspection");
        }
        _ => tracing::info!(%request_id, cause = %why, "refused an introspection"),
    }
    OAuthError::from_caller(why, scheme).respond(request_id)
}

fn malformed(error: OAuthError, request_id: &str) -> Response {
    let cause = error.description();
    tracing::info!(%request_id, cause, "malformed introspection request");
    error.respond(request_id)
}

fn read_address(ip: Parameter<'_>) -> Result<Option<IpAddr>, OAuthError> {
    let address = ip.map(|text| text.parse::<IpAddr>());
    let address = address.transpose().map_err(|_| Malformed::NoAddress)?;
    Ok(address.map(|address| address.to_canonical()))
}

fn read_scopes(scope: Parameter<'_>) -> Result<Option<ScopeSet>, OAuthError> {
    let scopes = scope.map(|text| ScopeSet::parse_parameter(&text));
    scopes.transpose().map_err(|why| {
        let status = StatusCode::BAD_REQUEST;
        OAuthError::new(status, "invalid_scope", why.to_string())
    })
}

impl<'a> IntrospectionRequest<'a> {
    fn parse(uri: &Uri, headers: &HeaderMap, body: &'a [u8]) -> Result<Self, Malformed> {
        let (mut ip, mut scope): (Parameter<'_>, Parameter<'_>) = (None, None);
        let mut other = |name: &str, value: Cow<'a, str>| match name {
            "ip" => once(&mut ip, value),
            "scope" => once(&mut scope, value),
            // RFC 6749 §3.2: unrecognised parameters are ignored.
            _ => Ok(()),
        };
        let about = AboutToken::parse(uri, headers, body, &mut other)?;
        // A parameter without a value counts as left out.
        ip.take_if(|value| value.is_empty());
        scope.take_if(|value| value.is_empty());
        Ok(Self { about, ip, scope })
    }
}
