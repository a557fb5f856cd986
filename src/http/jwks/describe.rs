//! Public documents and health in the OpenAPI document.

use std::borrow::Cow;

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{AdditionalProperties, ArrayBuilder, ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::domain::signing_key::{Algorithm, Kid};
use crate::http::metadata::Metadata;
use crate::http::openapi::Operation;
use crate::http::openapi::words::{one_of, text};

/// RFC 7517 §5.
struct Jwks;
/// How a node is.
struct Health;
/// The OpenAPI document.
struct Document;

/// Every operation.
pub fn describe() -> Vec<Operation> {
    let keys = |path, id| {
        Operation::get(path, id, "The public keys that tokens are validated with")
            .answers_document::<Jwks>("A JWKS")
    };
    let metadata = |path, id| {
        Operation::get(path, id, "What a client of the issuer need know (RFC 8414)")
            .answers_document::<Metadata>("The metadata")
    };
    vec![
        keys("/.well-known/jwks.json", "getJwks"),
        keys("/orgs/{org}/.well-known/jwks.json", "getOrganizationJwks"),
        metadata("/.well-known/oauth-authorization-server", "getMetadata"),
        metadata("/.well-known/openid-configuration", "getOpenIdMetadata"),
        metadata(
            "/.well-known/oauth-authorization-server/orgs/{org}",
            "getOrganizationMetadata",
        ),
        metadata(
            "/.well-known/openid-configuration/orgs/{org}",
            "getOrganizationOpenIdMetadata",
        ),
        metadata(
            "/orgs/{org}/.well-known/oauth-authorization-server",
            "getOrganizationMetadataBelow",
        ),
        metadata(
            "/orgs/{org}/.well-known/openid-configuration",
            "getOrganizationOpenIdMetadataBelow",
        ),
        Operation::get("/openapi.json", "getOpenApi", "This document")
            .answers_document::<Document>("OpenAPI 3.1"),
        Operation::get("/healthz", "isAlive", "Whether the process runs")
            .answers::<Health>(200, "It does"),
        Operation::get("/readyz", "isReady", "Whether to send requests here")
            .answers::<Health>(200, "Send them")
            .answers::<Health>(503, "Send them elsewhere"),
    ]
}

impl PartialSchema for Jwks {
    fn schema() -> RefOr<Schema> {
        let key = ObjectBuilder::new()
            .schema_type(Type::Object)
            .property("kty", one_of(&["EC", "OKP", "RSA"]))
            .required("kty")
            .property("crv", one_of(&["P-256", "Ed25519"]))
            .property("x", text("base64url; of EC and OKP keys"))
            .property("y", text("base64url; of EC keys"))
            .property("n", text("base64url; of RSA keys"))
            .property("e", text("base64url; of RSA keys"))
            .property("use", one_of(&["sig"]))
            .required("use")
            .property("alg", Algorithm::schema())
            .required("alg")
            .property("kid", Kid::schema())
            .required("kid");
        ObjectBuilder::new()
            .schema_type(Type::Object)
            .property("keys", ArrayBuilder::new().items(key))
            .required("keys")
            .into()
    }
}

impl ToSchema for Jwks {
    fn name() -> Cow<'static, str> {
        "Jwks".into()
    }
}

impl PartialSchema for Health {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::Object)
            .property("status", one_of(&["alive", "ready", "not ready"]))
            .required("status")
            .into()
    }
}

impl ToSchema for Health {
    fn name() -> Cow<'static, str> {
        "Health".into()
    }
}

impl PartialSchema for Document {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::Object)
            .additional_properties(Some(AdditionalProperties::FreeForm(true)))
            .property("openapi", text("3.1.0"))
            .required("openapi")
            .into()
    }
}

impl ToSchema for Document {
    fn name() -> Cow<'static, str> {
        "OpenApi".into()
    }
}
