//! The revocation endpoints (RFC 7009).

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use zeroize::Zeroizing;

use super::client_request::{AboutToken, MAX_BODY};
use super::oauth_error::OAuthError;
use super::{address, body, path};
use crate::app::App;
use crate::domain::issuer::Issuer;
use crate::manage::refusal::Refusal;
use crate::manage::self_revocation::{NotEnded, Origin, key_in, revoke_key, revoke_token};

/// `POST /oauth/revoke`.
pub async fn deployment(State(app): State<Arc<App>>, request: Request) -> Response {
    revoke(&app, Issuer::Deployment, request).await
}

/// `POST /orgs/{org}/oauth/revoke`: knows that organization's keys alone.
pub async fn organization(State(app): State<Arc<App>>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let issuer = path::organization_issuer(&mut parts).await;
    revoke(&app, issuer, Request::from_parts(parts, body)).await
}

/// Any other method at a revocation endpoint.
pub async fn post_only(State(app): State<Arc<App>>) -> Response {
    OAuthError::post_only("use POST at the revocation endpoint", &app.request_id())
}

async fn revoke(app: &App, issuer: Issuer, request: Request) -> Response {
    let request_id = app.request_id();
    let (parts, body) = request.into_parts();
    let parsed = match body::read(body, MAX_BODY).await {
        Ok(body) => {
            let body = Zeroizing::new(body.to_vec());
            // RFC 6749 §3.2: unrecognised parameters are ignored.
            AboutToken::parse(&parts.uri, &parts.headers, &body, |_, _| Ok(()))
                .map_err(OAuthError::from)
        }
        Err(error) => Err(error.into()),
    };
    let parsed = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            let cause = error.description();
            tracing::info!(%request_id, cause, "malformed revocation request");
            return error.respond(&request_id);
        }
    };
    let scheme = parsed.scheme;
    match end(app, issuer, parsed, &parts, &request_id).await {
        Ok(()) => done(),
        Err(why) => {
            match &why {
                NotEnded::TooMany | NotEnded::Refused(Refusal::Key(_) | Refusal::Anonymous) => {
                    tracing::info!(%request_id, cause = %why, "refused a revocation");
                }
                NotEnded::Refused(_) => {
                    tracing::error!(%request_id, cause = %why, "refused a revocation");
                }
            }
            OAuthError::from_not_ended(&why, scheme).respond(&request_id)
        }
    }
}

/// An API key authenticates itself: whoever found one can end it, knowing nothing else. For an
/// access token the client that it was issued to must be there.
async fn end(
    app: &App,
    issuer: Issuer,
    asked: AboutToken,
    parts: &Parts,
    request_id: &str,
) -> Result<(), NotEnded> {
    let management = Arc::clone(&app.management);
    let origin = Origin {
        address: address::for_the_record(parts, app),
        request_id: request_id.to_owned(),
    };
    match (key_in(&management, &asked.token).await?, asked.secret) {
        (Some(key), _) => revoke_key(management, issuer, key, origin).await,
        (None, Some(client)) => {
            revoke_token(management, issuer, client, &asked.token, origin).await
        }
        // A key that is mistyped, or cut off, is one that nobody has (RFC 7009 §2.2). For what
        // could be an access token the client must say who it is.
        (None, None) if !could_be_access_token(&asked.token) => Ok(()),
        (None, None) => Err(Refusal::Anonymous.into()),
    }
}

/// Three segments between dots (RFC 7515 §3.1): no API key has a dot.
fn could_be_access_token(token: &str) -> bool {
    token.split('.').count() == 3
}

/// The same for all that was, or was not, there to end (RFC 7009 §2.2).
fn done() -> Response {
    let headers = [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::PRAGMA, HeaderValue::from_static("no-cache")),
    ];
    headers.into_response()
}
