//! Refusals in the OpenAPI document.

use utoipa::PartialSchema;

use super::{LONGEST_ID, RefusalView};
use crate::domain::secret::KeyId;
use crate::http::openapi::Operation;
use crate::http::openapi::words::pattern;

/// Every operation.
pub fn describe() -> Vec<Operation> {
    let request_id =
        pattern("As X-Request-Id had it", "^[A-Za-z0-9_]+$").max_length(Some(LONGEST_ID));
    vec![
        Operation::get(
            "/v1/refusals",
            "listRefusals",
            "Tells why requests were refused lately",
        )
        .query(
            "request_id",
            "The refusal of this request alone",
            request_id,
        )
        .query("api_key_id", "Refusals of this key alone", KeyId::schema())
        .paged()
        .answers_page::<RefusalView>("A page of refusals, newest first"),
    ]
}
