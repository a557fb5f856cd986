//! The token endpoints (RFC 6749 §3.2).

mod describe;

use std::fmt::Write;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use utoipa::ToSchema;

use super::client_request::MAX_BODY;
use super::phases::others_first;
use super::token_request::{Scheme, TokenRequest};
use super::{Peer, address, body, json, oauth_error::OAuthError, path, rate_limit};
use crate::app::App;
use crate::app::metrics::timed;
use crate::credentials::Denied;
use crate::domain::issuer::Issuer;
use crate::issue::{Exchange, Issued, Refusal, Refused};

pub use describe::{client_form, describe};

/// How many bytes of an answer are neither token nor scopes, at most. Where its room grows with it,
/// it grows beyond the kilobyte for which the allocator has a place at once.
const AROUND: usize = 96;

/// RFC 6749 §5.1.
#[derive(ToSchema)]
#[schema(as = TokenAnswer)]
struct Answer<'a> {
    access_token: &'a str,
    token_type: &'static str,
    expires_in: u64,
    scope: &'a str,
}

impl Answer<'_> {
    /// In JSON. Of base64url and dots JSON escapes none, and a search through the whole token would
    /// be most of what this answer costs.
    fn render(&self) -> String {
        let Self {
            access_token,
            token_type,
            expires_in,
            scope,
        } = self;
        let scope = serde_json::to_string(scope).expect("a string is JSON");
        let mut json = String::with_capacity(AROUND + access_token.len() + scope.len());
        let _ = write!(
            json,
            r#"{{"access_token":"{access_token}","token_type":"{token_type}","expires_in":{expires_in},"scope":{scope}}}"#
        );
        json
    }
}

/// `POST /oauth/token`: the deployment issuer.
pub fn deployment(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> impl Future<Output = Response> + Send {
    // Apart before it is a future's: that has room for both otherwise, and is copied with them.
    let (parts, body) = request.into_parts();
    async move {
        let work = pin!(exchange(&app, &Issuer::Deployment, peer, &parts, body));
        timed(&app.metrics.token, &app.mint.clock, work).await
    }
}

/// `POST /orgs/{org}/oauth/token`: an organization's issuer, which knows its own keys alone.
pub async fn organization(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let issuer = path::organization_issuer(&mut parts).await;
    let work = pin!(exchange(&app, &issuer, peer, &parts, body));
    timed(&app.metrics.token, &app.mint.clock, work).await
}

/// Any other method at a token endpoint.
pub async fn post_only(State(app): State<Arc<App>>) -> Response {
    let description = "use POST at the token endpoint";
    let request_id = app.mint.refuse_malformed(description, None);
    OAuthError::post_only(description, &request_id)
}

/// The authorization endpoint that metadata has to name, and that this server is without.
pub async fn no_authorization_endpoint(State(app): State<Arc<App>>) -> Response {
    let error = OAuthError::new(
        StatusCode::BAD_REQUEST,
        "unsupported_response_type",
        "there is no sign-in here: obtain a token by the client_credentials grant",
    );
    malformed(&app, error, None)
}

async fn exchange(app: &App, issuer: &Issuer, peer: Peer, parts: &Parts, body: Body) -> Response {
    let address = address::behind(peer, &parts.headers, app);
    let body = match body::read(body, MAX_BODY).await {
        Ok(body) => body,
        Err(error) => return malformed(app, error.into(), address),
    };
    let parsed = match TokenRequest::parse(&parts.uri, &parts.headers, &body) {
        Ok(parsed) => parsed,
        Err(error) => return malformed(app, error.into(), address),
    };
    others_first().await;
    let mut standing = None;
    let exchange = app.mint.exchange(
        Exchange {
            issuer,
            // What cannot be a key gets the same answer as a wrong one.
            secret: parsed.secret,
            scope: parsed.scope,
            resources: parsed.resources.iter().map(|one| &**one).collect(),
            address,
            user_agent: parts
                .headers
                .get(header::USER_AGENT)
                .map(HeaderValue::as_bytes),
        },
        &mut standing,
    );
    let mut response = match exchange.await {
        Ok(issued) => answer(&issued, parsed.scope_written.as_deref()),
        Err(why) => refused(&why, parsed.scheme),
    };
    if let Some(standing) = standing {
        rate_limit::tell(&mut response, &standing);
    }
    response
}

/// What a client asked for it got, whole: it is told so in its own spelling. Some clients take
/// any other for a smaller grant (RFC 6749 §3.3), and fail.
fn answer(issued: &Issued, asked_scope: Option<&str>) -> Response {
    let body = Answer {
        access_token: &issued.token,
        token_type: "Bearer",
        expires_in: issued.expires_in,
        scope: asked_scope.unwrap_or(&issued.scope),
    }
    .render();
    tracing::debug!(key = %issued.key, "issued a token");
    let mut response = json::written(StatusCode::OK, body);
    let no_cache = HeaderValue::from_static("no-cache");
    response.headers_mut().insert(header::PRAGMA, no_cache);
    response
}

fn refused(why: &Refused, scheme: Scheme) -> Response {
    let (refusal, request_id) = (&why.refusal, &why.request_id);
    let error = OAuthError::from_refusal(refusal, scheme);
    match (refusal, why.key) {
        (Refusal::Client(Denied::Unavailable(_)) | Refusal::Signing(_), _) => {
            tracing::error!(%request_id, cause = %refusal, "refused a token");
        }
        (_, Some(key)) => {
            tracing::info!(%request_id, %key, cause = %refusal, "refused a token");
        }
        (_, None) => tracing::info!(%request_id, cause = %refusal, "refused a token"),
    }
    error.respond(request_id)
}

fn malformed(app: &App, error: OAuthError, address: Option<IpAddr>) -> Response {
    let request_id = app.mint.refuse_malformed(error.description(), address);
    tracing::info!(%request_id, cause = error.description(), "malformed token request");
    error.respond(&request_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<A, B, C, F>(_: impl Fn(A, B, C) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn an_answer_has_room_from_the_start() {
        let (token, scope) = ("t".repeat(900), "read:projects/42/** inference");
        let json = Answer {
            access_token: &token,
            token_type: "Bearer",
            expires_in: u64::MAX,
            scope,
        }
        .render();
        assert!(json.len() <= AROUND + token.len() + scope.len() + 2);
        assert!(json.ends_with(r#","scope":"read:projects/42/** inference"}"#));
    }

    /// Each request's is put on the heap. For a kilobyte, which a token request takes, the allocator
    /// has a place at once.
    #[test]
    fn what_is_rare_takes_no_room_in_the_futures_of_what_is_not() {
        let size = size_of_future(deployment);
        assert!(size <= 1_024, "{size}");
        let size = size_of_future(crate::http::introspect::deployment);
        assert!(size <= 2_048, "{size}");
    }
}
