//! The RateLimit fields (draft-ietf-httpapi-ratelimit-headers-11): how a key stands to its limit.

use axum::body::Bytes;
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;

use crate::credentials::limits::Standing;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Says in the answer what the key may do and what is left of it. A refused client that waits
/// for `Retry-After` waits for the same instant that `t` names (§6).
pub fn tell(response: &mut Response, standing: &Standing) {
    let (limit, window) = (standing.limit.limit, standing.limit.window);
    let policy = format!(r#""key";q={limit};w={window}"#);
    let now = format!(r#""key";r={};t={}"#, standing.remaining, standing.seconds);
    for (name, value) in [(POLICY, policy), (LIMIT, now)] {
        // Taken over, not copied.
        let value = HeaderValue::from_maybe_shared(Bytes::from(value));
        let value = value.expect("digits and letters are ASCII");
        response.headers_mut().insert(name, value);
    }
}
