//! JWKS documents: what resource servers validate with (RFC 7517 §5).

mod describe;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::Response;

use super::problem::{self, Problem};
use super::{conditional, path};
use crate::app::App;
use crate::credentials::issuers::Identity;
use crate::domain::issuer::Issuer;

pub use describe::describe;

/// `/.well-known/jwks.json`: the deployment issuer's.
pub async fn deployment(State(app): State<Arc<App>>, request: Request) -> Response {
    document(&app, &Issuer::Deployment, request.headers()).await
}

/// `/orgs/{org}/.well-known/jwks.json`: an organization issuer's.
pub async fn organization(State(app): State<Arc<App>>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    let issuer = path::organization_issuer(&mut parts).await;
    document(&app, &issuer, &parts.headers).await
}

/// The signing key behind an issuer, or the answer that there is none.
pub(super) async fn identity(app: &App, issuer: &Issuer) -> Result<Arc<Identity>, Response> {
    let organization = issuer.signing_organization();
    match app.mint.issuers.published(&organization).await {
        Ok(Some(identity)) => Ok(identity),
        Ok(None) => Err(problem::respond(app, Problem::no_such_issuer())),
        Err(error) => Err(problem::fail(app, error.into())),
    }
}

async fn document(app: &App, issuer: &Issuer, request: &HeaderMap) -> Response {
    match identity(app, issuer).await {
        Ok(identity) => {
            let max_age = app.management.schedule.jwks_max_age();
            conditional::respond(request, identity.jwks.to_string(), max_age)
        }
        Err(refusal) => refusal,
    }
}
