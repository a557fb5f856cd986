//! The migration report in the OpenAPI document.

use super::ReportView;
use crate::http::openapi::Operation;
use crate::http::openapi::words::one_of;

/// Every operation.
pub fn describe() -> Vec<Operation> {
    let what = "Tells which keys services are still shown, and which are ready for exchange_only";
    let report = Operation::get("/v1/migration", "getMigration", what)
        .query(
            "readiness",
            "Only keys that are ready, only those that are not, or only those that were not used",
            one_of(&["ready", "not_ready", "unknown"]),
        )
        .paged()
        .answers::<ReportView>(
            200,
            "How far the organization is, and a page of its active keys",
        );
    vec![report]
}
