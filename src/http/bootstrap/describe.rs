//! Bootstrap in the OpenAPI document.

use super::{BootstrapBody, BootstrapView};
use crate::http::openapi::Operation;

/// Every operation.
pub fn describe() -> Vec<Operation> {
    vec![
        Operation::post(
            "/v1/organizations/{org}/bootstrap",
            "bootstrapOrganization",
            "Makes an organization's signing key and first management key",
        )
        .once()
        .may_take::<BootstrapBody>()
        .answers::<BootstrapView>(201, "The first time; the management key with its secret")
        .answers::<BootstrapView>(200, "Again; a secret only if one was reissued"),
    ]
}
