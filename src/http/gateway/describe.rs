//! The gateway endpoint in the OpenAPI document.

use crate::http::openapi::Operation;
use crate::http::openapi::words::text;

/// Every operation.
pub fn describe() -> Vec<Operation> {
    let what =
        "Tells a gateway whether a request may go through; by any method, and any path below";
    let verify = Operation::get("/gateway/verify", "verifyForGateway", what)
        .query(
            "scope",
            "What it is to be good for; may be repeated, and all count",
            text("Scopes, separated by single spaces"),
        )
        .query(
            "audience",
            "Which service it is for; any, if not said",
            text("An absolute URI"),
        )
        .flag(
            "exchange",
            "Whether the service is to see a token in place of an API key",
        )
        .header(
            "X-Tenmint-Require-Scope",
            "Further scopes that it is to be good for; below that path it must be there, be it empty",
            text("Scopes, separated by single spaces"),
        )
        .answers_nothing_but(
            200,
            "It may go through",
            &[
                ("X-Tenmint-Org", "The organization of the key"),
                ("X-Tenmint-Key-Id", "The id of the key"),
                ("X-Tenmint-Credential", "api_key or access_token"),
                ("X-Tenmint-Scope", "What the credential is good for"),
                (
                    "X-Tenmint-External-Id",
                    "The platform's own id, percent-encoded; may be empty",
                ),
            ],
        );
    vec![verify]
}
