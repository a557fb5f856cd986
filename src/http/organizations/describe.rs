//! Organizations in the OpenAPI document.

use super::body::{EditBody, NewOrganizationBody, OwnEditBody};
use super::view::{EditedView, OrganizationView};
use crate::http::openapi::Operation;

/// Every operation.
pub fn describe() -> Vec<Operation> {
    let (all, one) = ("/v1/organizations", "/v1/organizations/{org}");
    let (own, shown) = ("/v1/organization", "The organization");
    vec![
        Operation::get(all, "listOrganizations", "Lists organizations, by id")
            .paged()
            .answers_page::<OrganizationView>("A page of organizations"),
        Operation::post(all, "createOrganization", "Makes an organization")
            .once()
            .takes::<NewOrganizationBody>()
            .answers::<OrganizationView>(200, "Sent before; the organization as it is now")
            .answers::<OrganizationView>(201, shown),
        Operation::get(one, "getOrganization", "Shows an organization")
            .answers_tagged::<OrganizationView>(200, shown),
        Operation::patch(
            one,
            "editOrganization",
            "Edits an organization, as a merge patch",
        )
        .conditional()
        .takes::<EditBody>()
        .answers_tagged::<EditedView>(200, "The organization as it is now"),
        Operation::delete(
            one,
            "deleteOrganization",
            "Deletes an organization for good",
        )
        .flag("force", "Also while API keys are in force: it ends them")
        .conditional()
        .answers_nothing(204, "It is gone; its id is not given again"),
        Operation::post(
            "/v1/organizations/{org}/suspend",
            "suspendOrganization",
            "Stops all keys of an organization",
        )
        .answers::<OrganizationView>(200, shown),
        Operation::post(
            "/v1/organizations/{org}/resume",
            "resumeOrganization",
            "Lets the keys of an organization work again",
        )
        .answers::<OrganizationView>(200, shown),
        Operation::get(
            own,
            "getOwnOrganization",
            "Shows the caller's own organization",
        )
        .answers_tagged::<OrganizationView>(200, shown),
        Operation::patch(
            own,
            "editOwnOrganization",
            "Edits the caller's own organization",
        )
        .conditional()
        .takes::<OwnEditBody>()
        .answers_tagged::<EditedView>(200, "The organization as it is now"),
    ]
}
