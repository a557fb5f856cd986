//! The introspection endpoints in the OpenAPI document.

use std::borrow::Cow;

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema, ToSchema};

use super::view::{ActiveView, Inactive};
use crate::http::openapi::Operation;
use crate::http::openapi::words::text;
use crate::http::token::client_form;

/// RFC 7662 §2.1, and what can be asked beside it.
struct IntrospectionForm;

/// Every operation.
pub fn describe() -> Vec<Operation> {
    let introspect = |path, id| {
        Operation::post(
            path,
            id,
            "Tells what an API key or an access token is worth",
        )
        .takes_form::<IntrospectionForm>()
        .answers_either::<ActiveView<'static>, Inactive>(200, "What it is worth, if anything")
    };
    vec![
        introspect("/oauth/introspect", "introspect"),
        introspect("/orgs/{org}/oauth/introspect", "introspectAtOrganization"),
    ]
}

impl PartialSchema for IntrospectionForm {
    fn schema() -> RefOr<Schema> {
        client_form()
            .property(
                "token",
                text("The access token or API key to ask about").min_length(Some(1)),
            )
            .required("token")
            .property("token_type_hint", text("Not needed: it shows by itself"))
            .property(
                "ip",
                text("The address it was shown from: active only if it may be used from there"),
            )
            .property(
                "scope",
                text("Scopes, separated by single spaces: active only if it covers them all"),
            )
            .into()
    }
}

impl ToSchema for IntrospectionForm {
    fn name() -> Cow<'static, str> {
        "IntrospectionRequest".into()
    }
}
