//! Metadata of the issuers (RFC 8414; the same document under its OpenID spelling).

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::{conditional, jwks, path};
use crate::app::App;
use crate::domain::issuer::{BaseUrl, Issuer};
use crate::domain::signing_key::Algorithm;

/// RFC 8414 §2, and what OpenID Connect Discovery 1.0 §3 requires beside it.
///
/// `authorization_endpoint` and the two id-token members are there because clients in the
/// wild fail without them; the empty list of response types says what is true.
#[derive(Serialize, ToSchema)]
#[schema(as = IssuerMetadata)]
pub(super) struct Metadata {
    issuer: String,
    token_endpoint: String,
    revocation_endpoint: String,
    introspection_endpoint: String,
    jwks_uri: String,
    /// `docs/revocation-feed.md`.
    tenmint_revocations_uri: String,
    authorization_endpoint: String,
    #[schema(value_type = Vec<String>)]
    response_types_supported: [&'static str; 0],
    #[schema(value_type = Vec<String>)]
    grant_types_supported: [&'static str; 1],
    #[schema(value_type = Vec<String>)]
    token_endpoint_auth_methods_supported: [&'static str; 2],
    #[schema(value_type = Vec<String>)]
    revocation_endpoint_auth_methods_supported: [&'static str; 2],
    #[schema(value_type = Vec<String>)]
    introspection_endpoint_auth_methods_supported: [&'static str; 2],
    #[schema(value_type = Vec<String>)]
    subject_types_supported: [&'static str; 1],
    id_token_signing_alg_values_supported: Vec<Algorithm>,
}

/// How a client that has a registered way can present its key (RFC 6749 §2.3.1).
const AUTH_METHODS: [&str; 2] = ["client_secret_basic", "client_secret_post"];

/// The deployment issuer's.
pub async fn deployment(State(app): State<Arc<App>>, request: Request) -> Response {
    document(&app, &Issuer::Deployment, request.headers()).await
}

/// An organization issuer's.
pub async fn organization(State(app): State<Arc<App>>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    let issuer = path::organization_issuer(&mut parts).await;
    document(&app, &issuer, &parts.headers).await
}

async fn document(app: &App, issuer: &Issuer, request: &HeaderMap) -> Response {
    match jwks::published(app, issuer).await {
        Ok(published) => {
            let algorithms = published.identity.algorithms.clone();
            let metadata = metadata(issuer, &app.mint.base, algorithms);
            let document = serde_json::to_string(&metadata).expect("strings are JSON");
            let max_age = published.cacheable_for(conditional::MAX_AGE);
            conditional::respond(request, document, max_age)
        }
        Err(refusal) => refusal,
    }
}

/// Every URL is made from the base URL that was set. What the Host header says is a
/// stranger's word.
fn metadata(issuer: &Issuer, base: &BaseUrl, algorithms: Vec<Algorithm>) -> Metadata {
    let name = issuer.name(base);
    Metadata {
        token_endpoint: format!("{name}/oauth/token"),
        revocation_endpoint: format!("{name}/oauth/revoke"),
        introspection_endpoint: format!("{name}/oauth/introspect"),
        jwks_uri: format!("{name}/.well-known/jwks.json"),
        tenmint_revocations_uri: format!("{name}/.well-known/revocations"),
        authorization_endpoint: format!("{}/oauth/authorize", base.as_str()),
        issuer: name,
        response_types_supported: [],
        grant_types_supported: ["client_credentials"],
        token_endpoint_auth_methods_supported: AUTH_METHODS,
        revocation_endpoint_auth_methods_supported: AUTH_METHODS,
        introspection_endpoint_auth_methods_supported: AUTH_METHODS,
        subject_types_supported: ["public"],
        id_token_signing_alg_values_supported: algorithms,
    }
}
