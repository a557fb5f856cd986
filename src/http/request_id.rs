//! Request ids: how a refusal is found again. Made here, never taken from a request, so that
//! nobody writes into logs and answers through them.

use axum::http::{HeaderName, HeaderValue};

/// The header that carries it.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// As a header value.
#[must_use]
pub fn header(id: &str) -> HeaderValue {
    HeaderValue::from_str(id).expect("a request id is ASCII")
}
