//! The verified token as an extractor in axum's handlers.

use axum_core::extract::FromRequestParts;
use http::request::Parts;

use super::claims::Verified;
use super::refused::Refused;
use super::scopes::no_layer;

/// What the layer found out. Outside the layer nobody gets through.
impl<S: Sync> FromRequestParts<S> for Verified {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        parts.extensions.get().cloned().ok_or_else(no_layer)
    }
}
