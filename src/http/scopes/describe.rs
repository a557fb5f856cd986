//! The scope catalogue in the OpenAPI document.

use super::{EntryBody, EntryView};
use crate::http::openapi::Operation;

/// Every operation.
pub fn describe() -> Vec<Operation> {
    vec![
        Operation::get(
            "/v1/scopes",
            "listActions",
            "Lists the actions that are known",
        )
        .paged()
        .answers_page::<EntryView>("A page of actions"),
        Operation::put(
            "/v1/scopes/{action}",
            "defineAction",
            "Defines or describes an action",
        )
        .takes::<EntryBody>()
        .answers::<EntryView>(200, "The action, described anew")
        .answers::<EntryView>(201, "The action, defined"),
        Operation::delete("/v1/scopes/{action}", "removeAction", "Removes an action")
            .answers_nothing(204, "It is gone; scopes that name it stay"),
    ]
}
