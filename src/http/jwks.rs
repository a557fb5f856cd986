//! JWKS documents: what resource servers validate with (RFC 7517 §5).

mod describe;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::Response;

use super::problem::{self, Problem};
use super::{conditional, path};
use crate::app::App;
use crate::credentials::issuers::Published;
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

/// For how long what may have changed since may be cached: as long as spares a struggling server
/// the worst.
const UNSURE: Duration = Duration::from_secs(5);

impl Published {
    /// For how long it may be cached, which is `max_age` if it is known to be so.
    pub(super) fn cacheable_for(&self, max_age: Duration) -> Duration {
        if self.is_known {
            max_age
        } else {
            max_age.min(UNSURE)
        }
    }
}

/// The signing keys behind an issuer, or the answer that there are none.
pub(super) async fn published(app: &App, issuer: &Issuer) -> Result<Published, Response> {
    let organization = issuer.signing_organization();
    match app.mint.issuers.published(&organization).await {
        Ok(Some(published)) => Ok(published),
        Ok(None) => Err(no_such_issuer(app)),
        Err(error) => Err(problem::fail(app, error.into())),
    }
}

/// The answer where there is no such issuer.
pub(super) fn no_such_issuer(app: &App) -> Response {
    problem::respond(app, Problem::no_such_issuer())
}

async fn document(app: &App, issuer: &Issuer, request: &HeaderMap) -> Response {
    match published(app, issuer).await {
        Ok(published) => {
            let max_age = app.management.configured.jwks_max_age();
            let max_age = if app.management.is_announced() {
                published.cacheable_for(max_age)
            } else {
                max_age.min(UNSURE)
            };
            let (jwks, tag) = (&published.identity.jwks, &published.identity.jwks_tag);
            let document = || Bytes::copy_from_slice(jwks.as_bytes());
            conditional::respond_tagged(request, tag, document, max_age)
        }
        Err(refusal) => refusal,
    }
}
