//! The revocation feed in the OpenAPI document.

use std::borrow::Cow;

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema, ToSchema};

use crate::http::openapi::Operation;
use crate::http::openapi::words::{text, whole};

/// A JWT, `docs/revocation-feed.md`.
struct RevocationFeed;

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
        .answers_jwt::<RevocationFeed>("The signed feed")
    };
    vec![
        feed("/.well-known/revocations", "getRevocations"),
        feed(
            "/orgs/{org}/.well-known/revocations",
            "getOrganizationRevocations",
        ),
    ]
}

impl PartialSchema for RevocationFeed {
    fn schema() -> RefOr<Schema> {
        text("A JWT of the type revocations+jwt, in compact form").into()
    }
}

impl ToSchema for RevocationFeed {
    fn name() -> Cow<'static, str> {
        "RevocationFeed".into()
    }
}
