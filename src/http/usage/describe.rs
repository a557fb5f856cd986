//! Usage in the OpenAPI document.

use utoipa::PartialSchema;

use super::{KeyUsedView, UsedView};
use crate::domain::timestamp::Timestamp;
use crate::domain::usage::Grain;
use crate::http::openapi::Operation;

/// Every operation.
pub fn describe() -> Vec<Operation> {
    vec![
        spans(Operation::get(
            "/v1/usage",
            "getUsage",
            "Counts the organization's exchanges and refusals",
        ))
        .answers::<UsedView>(200, "Counts, by hour or by day"),
        spans(Operation::get(
            "/v1/api-keys/{id}/usage",
            "getApiKeyUsage",
            "Counts a key's exchanges and refusals",
        ))
        .answers::<KeyUsedView>(200, "Counts, and when and by whom it was used last"),
    ]
}

fn spans(operation: Operation) -> Operation {
    operation
        .query("grain", "By hour, if not said", Grain::schema())
        .query(
            "since",
            "24 hours or 30 days back, if not said",
            Timestamp::schema(),
        )
        .query("until", "Now, if not said", Timestamp::schema())
}
