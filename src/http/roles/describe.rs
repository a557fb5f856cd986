//! Roles in the OpenAPI document.

use super::{EditBody, EditedView, NewRoleBody, RoleView};
use crate::http::openapi::Operation;

/// Every operation.
pub fn describe() -> Vec<Operation> {
    vec![
        Operation::get("/v1/roles", "listRoles", "Lists roles, by name")
            .paged()
            .answers_page::<RoleView>("A page of roles"),
        Operation::post("/v1/roles", "createRole", "Makes a role")
            .once()
            .takes::<NewRoleBody>()
            .answers_tagged::<RoleView>(200, "Sent before; the role as it is now")
            .answers_tagged::<RoleView>(201, "The role"),
        Operation::get("/v1/roles/{role}", "getRole", "Shows a role")
            .answers_tagged::<RoleView>(200, "The role"),
        Operation::patch(
            "/v1/roles/{role}",
            "editRole",
            "Edits a role, as a merge patch",
        )
        .conditional()
        .takes::<EditBody>()
        .answers_tagged::<EditedView>(200, "The role as it is now"),
        Operation::delete("/v1/roles/{role}", "deleteRole", "Deletes a role")
            .flag("force", "Also takes it from the keys that hold it")
            .conditional()
            .answers_nothing(204, "It is gone"),
    ]
}
