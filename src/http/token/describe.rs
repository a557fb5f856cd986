//! The token and revocation endpoints in the OpenAPI document.

use std::borrow::Cow;

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use super::Answer;
use crate::http::openapi::Operation;
use crate::http::openapi::words::{one_of, text};

/// RFC 6749 §4.4.2.
struct TokenForm;
/// RFC 7009 §2.1.
struct RevocationForm;

/// Every operation.
pub fn describe() -> Vec<Operation> {
    let token = |path, id| {
        Operation::post(path, id, "Exchanges an API key for an access token")
            .takes_form::<TokenForm>()
            .answers_limited::<Answer>(200, "An access token")
    };
    let revoke = |path, id| {
        Operation::post(path, id, "Ends an API key or an access token")
            .takes_form::<RevocationForm>()
            .answers_nothing(200, "It is in force no longer, or never was")
    };
    let authorize = "There is no sign-in here; the metadata has to name the endpoint";
    vec![
        token("/oauth/token", "obtainToken"),
        token("/orgs/{org}/oauth/token", "obtainOrganizationToken"),
        revoke("/oauth/revoke", "revoke"),
        revoke("/orgs/{org}/oauth/revoke", "revokeAtOrganization"),
        Operation::get("/oauth/authorize", "authorize", authorize),
        Operation::post("/oauth/authorize", "authorizeByPost", authorize),
    ]
}

/// How a client presents its key in a form, where it does.
pub fn client_form() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .property(
            "client_id",
            text("The key's id, where Basic and Bearer are not used"),
        )
        .property(
            "client_secret",
            text("The full key string, where they are not used"),
        )
}

impl PartialSchema for TokenForm {
    fn schema() -> RefOr<Schema> {
        client_form()
            .property("grant_type", one_of(&["client_credentials"]))
            .required("grant_type")
            .property(
                "scope",
                text("Scopes, separated by single spaces; all, if not said"),
            )
            .property(
                "resource",
                text("What the token is for (RFC 8707); may be repeated"),
            )
            .into()
    }
}

impl ToSchema for TokenForm {
    fn name() -> Cow<'static, str> {
        "TokenRequest".into()
    }
}

impl PartialSchema for RevocationForm {
    fn schema() -> RefOr<Schema> {
        client_form()
            .property(
                "token",
                text("The API key or access token that is to end").min_length(Some(1)),
            )
            .required("token")
            .property("token_type_hint", text("Not needed: it shows by itself"))
            .into()
    }
}

impl ToSchema for RevocationForm {
    fn name() -> Cow<'static, str> {
        "RevocationRequest".into()
    }
}
