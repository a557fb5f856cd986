//! The revocation feed in the OpenAPI document.

use crate::http::openapi::Operation;
use crate::http::openapi::words::whole;

/// Every operation.
pub fn describe() -> Vec<Operation> {
    let feed = |path, id| {
        Operation::get(
            path,
            id,
            "What voids tokens of this issuer before their end",
        )
        .query(
            "wait",
            "Seconds to wait at most while there is nothing new",
            whole(0, 600),
        )
        .answers_jwt("The signed feed: a JWT of the type revocations+jwt, in compact form")
    };
    vec![
        feed("/.well-known/revocations", "getRevocations"),
        feed(
            "/orgs/{org}/.well-known/revocations",
            "getOrganizationRevocations",
        ),
    ]
}
