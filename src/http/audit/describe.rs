//! The audit log in the OpenAPI document.

use std::borrow::Cow;

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use super::{EXPORTS, EntryView};
use crate::domain::audit::Checkpoint;
use crate::domain::organization::OrganizationId;
use crate::domain::text::{ActingFor, Text};
use crate::domain::timestamp::Timestamp;
use crate::http::openapi::Operation;
use crate::http::openapi::words::{pattern, whole};

/// Every operation.
pub fn describe() -> Vec<Operation> {
    let list = Operation::get(
        "/v1/audit-events",
        "listAuditEvents",
        "Lists or exports what was done",
    )
    .query(
        "action",
        "One action, or with .* at its end a family",
        Text::<100>::schema(),
    )
    .query(
        "actor",
        "By this key; operator is every key of the operator",
        Text::<100>::schema(),
    )
    .query("target", "Done to this id", Text::<200>::schema())
    .query(
        "acting_for",
        "For this user of the caller",
        ActingFor::schema(),
    )
    .query("request_id", "By this request", Text::<100>::schema())
    .query("since", "From this instant on", Timestamp::schema())
    .query("until", "Before this instant", Timestamp::schema())
    .paged();
    vec![
        list.answers_page_or::<EntryView>(
            "A page, newest first; or, for an Accept of JSON Lines, all of it, oldest first",
            &EXPORTS,
        ),
        Operation::get(
            "/v1/audit-events/checkpoint",
            "getAuditCheckpoint",
            "Shows the head of the chain of entries",
        )
        .answers::<Checkpoint>(200, "The last entry's place and MAC, to be kept elsewhere"),
    ]
}

impl PartialSchema for Checkpoint {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::Object)
            .property("organization", OrganizationId::schema())
            .required("organization")
            .property("sequence", whole(0, u32::MAX))
            .required("sequence")
            .property("mac", pattern("Its MAC", "^[0-9a-f]{64}$"))
            .required("mac")
            .property("at", Timestamp::schema())
            .required("at")
            .into()
    }
}

impl ToSchema for Checkpoint {
    fn name() -> Cow<'static, str> {
        "Checkpoint".into()
    }
}
