//! Protected-resource metadata (RFC 9728): where to obtain tokens for this resource server.

use std::sync::Arc;

use axum_core::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use serde_json::json;
use url::Url;

use crate::domain::audience::Resource;
use crate::domain::issuer::{BaseUrl, is_confidential};

/// The document, ready to be served. In axum it is a handler:
/// `router.route(metadata.path(), get(metadata.clone()))`, outside the layer, since it is for those
/// who have no token yet.
#[derive(Clone, Debug)]
pub struct ResourceMetadata {
    url: Arc<str>,
    path: Arc<str>,
    document: Arc<str>,
}

impl ResourceMetadata {
    /// Of a resource that is a URL without a query.
    pub(super) fn of(resource: &Resource, issuer: &BaseUrl, scopes: &[String]) -> Option<Self> {
        let parsed = Url::parse(resource.as_str()).ok()?;
        if !is_confidential(&parsed) || parsed.query().is_some() {
            return None;
        }
        // RFC 9728 §3.1: between host and path, without the slash that ends there.
        let origin = parsed.origin().ascii_serialization();
        let path = parsed.path().trim_end_matches('/');
        let path = format!("/.well-known/oauth-protected-resource{path}");
        let mut document = json!({
            "resource": resource.as_str(),
            "authorization_servers": [issuer.as_str()],
            "bearer_methods_supported": ["header"],
        });
        if !scopes.is_empty() {
            document["scopes_supported"] = json!(scopes);
        }
        Some(Self {
            url: format!("{origin}{path}").into(),
            path: path.into(),
            document: document.to_string().into(),
        })
    }

    /// Its URL, which every challenge names as `resource_metadata`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The path of that URL.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The document, JSON.
    #[must_use]
    pub fn document(&self) -> &str {
        &self.document
    }
}

impl IntoResponse for ResourceMetadata {
    fn into_response(self) -> Response {
        let mut response = self.document.to_string().into_response();
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
        let cache = HeaderValue::from_static("public, max-age=300");
        headers.insert(header::CACHE_CONTROL, cache);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_well_known_part_comes_before_the_path() {
        let issuer = "https://auth.example".parse().unwrap();
        let url = |resource: &str| {
            let metadata = ResourceMetadata::of(&resource.parse().unwrap(), &issuer, &[]);
            metadata.map(|metadata| metadata.url().to_owned())
        };
        let well_known = "https://api.example/.well-known/oauth-protected-resource";
        assert_eq!(url("https://api.example").unwrap(), well_known);
        assert_eq!(url("https://api.example/").unwrap(), well_known);
        let below = format!("{well_known}/v1/files");
        assert_eq!(url("https://api.example/v1/files").unwrap(), below);
        for other in ["urn:example:files", "http://api.example", "https://a?b"] {
            assert_eq!(url(other), None, "{other}");
        }
    }
}
