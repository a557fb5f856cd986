//! The migration report in the OpenAPI document.

use super::ReportView;
use crate::http::openapi::Operation;

/// Every operation.
pub fn describe() -> Vec<Operation> {
    let what = "Tells which keys services are still shown, and which are ready for exchange_only";
    let report = Operation::get("/v1/migration", "getMigration", what)
        .flag(
            "ready",
            "Only keys that are ready, or only those that are not",
        )
        .paged()
        .answers::<ReportView>(
            200,
            "How far the organization is, and a page of its active keys",
        );
    vec![report]
}
