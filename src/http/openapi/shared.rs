//! What operations share: refusals, headers and credentials.

use serde_json::json;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{OperationBuilder, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    ComponentsBuilder, Content, Header, Ref, Required, Response, ResponseBuilder,
    SecurityRequirement, Tag,
};
use utoipa::{PartialSchema, ToSchema};

use super::words::{pattern, text, whole};
use crate::domain::text::ActingFor;
use crate::http::problem::Body as Problem;

/// Refusals of the management plane.
const PROBLEMS: [(u16, &str); 13] = [
    (400, "Not a request that can be read"),
    (401, "No credential that is in force"),
    (403, "Beyond the caller's authority"),
    (404, "Not there, or not the caller's"),
    (405, "Another method"),
    (408, "The body came too slowly"),
    (409, "In conflict with what is there"),
    (412, "Changed since the revision in If-Match"),
    (413, "The body is too large"),
    (415, "Not JSON"),
    (422, "A value is not acceptable: see code and pointer"),
    (500, "tenmint failed"),
    (503, "Unavailable, or too much at once"),
];

/// Refusals of the OAuth plane (RFC 6749 §5.2).
const OAUTH_ERRORS: [(u16, &str); 9] = [
    (400, "Not a request that can be answered"),
    (401, "Not a client whose key is in force"),
    (403, "Not from this network address"),
    (405, "Another method than POST"),
    (408, "The body came too slowly"),
    (413, "The body is too large"),
    (429, "Over the rate limit of the key"),
    (500, "tenmint failed"),
    (503, "Unavailable, or too much at once"),
];

/// Groups of operations.
pub fn tags() -> Vec<Tag> {
    [
        ("OAuth", "Where API keys become access tokens, and end"),
        ("Gateways", "What may go through to services"),
        ("Documents and health", "What anybody may read"),
        ("API keys", "Made, listed, edited, rotated and revoked"),
        ("Roles", "Named sets of scopes that many keys hold"),
        ("Scopes", "The catalogue of actions"),
        (
            "Signing keys",
            "What tokens are signed with, and when it is replaced",
        ),
        ("Usage", "Exchanges and refusals, counted and explained"),
        ("Audit", "What was done, by whom"),
        ("Organizations", "Owners of keys, and their policies"),
    ]
    .into_iter()
    .map(|(name, what)| TagBuilder::new().name(name).description(Some(what)).build())
    .collect()
}

/// What operations refer to.
pub fn components(components: ComponentsBuilder) -> ComponentsBuilder {
    let http = |scheme, what: &str| {
        let mut http = Http::new(scheme);
        http.description = Some(what.to_owned());
        SecurityScheme::Http(http)
    };
    let problems = PROBLEMS.map(|(status, what)| {
        let content = Content::new(Some(Ref::from_schema_name(Problem::name())));
        let response = refusal(status, what).content("application/problem+json", content);
        (format!("Problem{status}"), response.build())
    });
    let errors = OAUTH_ERRORS.map(|(status, what)| {
        let content = Content::new(Some(Ref::from_schema_name("OAuthError")));
        let mut response = refusal(status, what).content("application/json", content);
        if status == 429 {
            response = rate_limited(response);
        }
        (format!("OAuthError{status}"), response.build())
    });
    let mut schemas = vec![(Problem::name().into_owned(), Problem::schema())];
    Problem::schemas(&mut schemas);
    components
        .security_scheme(
            "bearer",
            http(
                HttpAuthScheme::Bearer,
                "An API key, or on the management plane an access token for it",
            ),
        )
        .security_scheme(
            "basic",
            http(HttpAuthScheme::Basic, "The id of an API key, and the key"),
        )
        .security_scheme("apiKey", api_key())
        .schemas_from_iter(schemas)
        .schema("OAuthError", oauth_error())
        .responses_from_iter(problems)
        .responses_from_iter(errors)
        .parameter("ActingFor", acting_for())
}

/// Where platforms have their customers put API keys.
fn api_key() -> SecurityScheme {
    let what = "An API key, at the gateway endpoint";
    SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(
        "X-API-Key",
        what,
    )))
}

/// An operation with the refusals and credentials of its plane.
pub fn complete(operation: OperationBuilder, path: &str) -> OperationBuilder {
    if path.starts_with("/v1/") {
        let bearer = SecurityRequirement::new("bearer", [] as [&str; 0]);
        let operation = operation
            .parameter_ref(Ref::new("#/components/parameters/ActingFor"))
            .security(bearer);
        return refused(operation, "Problem", &PROBLEMS);
    }
    match path.strip_prefix("/orgs/{org}").unwrap_or(path) {
        "/oauth/token" | "/oauth/revoke" | "/oauth/introspect" => {
            // In the body, or not at all where what is to end speaks for itself.
            let operation = operation
                .security(SecurityRequirement::new("basic", [] as [&str; 0]))
                .security(SecurityRequirement::new("bearer", [] as [&str; 0]))
                .security(SecurityRequirement::default());
            refused(operation, "OAuthError", &OAUTH_ERRORS)
        }
        "/gateway/verify" => {
            let operation = operation
                .security(SecurityRequirement::new("bearer", [] as [&str; 0]))
                .security(SecurityRequirement::new("apiKey", [] as [&str; 0]));
            let told = [400, 401, 403, 429, 500, 503];
            let refusals = OAUTH_ERRORS.map(|refusal| told.contains(&refusal.0).then_some(refusal));
            refused(
                operation,
                "OAuthError",
                &refusals.into_iter().flatten().collect::<Vec<_>>(),
            )
        }
        "/oauth/authorize" => refused(operation, "OAuthError", &OAUTH_ERRORS[..1]),
        "/.well-known/revocations" => {
            documents(operation).response("422", Ref::from_response_name("Problem422"))
        }
        "/healthz" | "/readyz" | "/openapi.json" => operation,
        _ => documents(operation),
    }
}

/// With the refusals of public documents.
fn documents(operation: OperationBuilder) -> OperationBuilder {
    refused(operation, "Problem", &PROBLEMS[3..4])
        .response("500", Ref::from_response_name("Problem500"))
        .response("503", Ref::from_response_name("Problem503"))
}

/// With the RateLimit fields.
pub fn rate_limited(response: ResponseBuilder) -> ResponseBuilder {
    response
        .header(
            "RateLimit-Policy",
            header("The limit, if the key has one", r#""key";q=60;w=60"#),
        )
        .header(
            "RateLimit",
            header(
                "What is left of it, if the key has one",
                r#""key";r=59;t=1"#,
            ),
        )
}

fn refused(operation: OperationBuilder, kind: &str, refusals: &[(u16, &str)]) -> OperationBuilder {
    refusals.iter().fold(operation, |operation, (status, _)| {
        let shared = Ref::from_response_name(format!("{kind}{status}"));
        operation.response(status.to_string(), shared)
    })
}

fn refusal(status: u16, what: &str) -> ResponseBuilder {
    let response: Response = Response::new(what);
    let response = ResponseBuilder::from(response).header(
        "X-Request-Id",
        header(
            "By which administrators find the cause",
            "req_01JC7M6R1V9E3Z5T8K2N4P6Q8S",
        ),
    );
    match status {
        401 => response.header(
            "WWW-Authenticate",
            header("How to authenticate", r#"Bearer realm="tenmint""#),
        ),
        405 => response.header("Allow", header("Methods", "POST")),
        429 | 503 => {
            let seconds = HeaderBuilder::new()
                .description(Some("Seconds to wait"))
                .schema(Some(whole(0, 86_400)))
                .build();
            response.header("Retry-After", seconds)
        }
        _ => response,
    }
}

fn header(what: &str, example: &str) -> Header {
    HeaderBuilder::new()
        .description(Some(what))
        .schema(Some(text(what).examples([json!(example)])))
        .build()
}

fn oauth_error() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some("RFC 6749 §5.2"))
        .property("error", pattern("Stable", "^[a-z_]+$"))
        .required("error")
        .property("error_description", text("What to do about it"))
        .required("error_description")
}

fn acting_for() -> utoipa::openapi::path::Parameter {
    ParameterBuilder::new()
        .name("Tenmint-Acting-For")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "Which of its own users the caller acts for, as audit entries show it",
        ))
        .schema(Some(ActingFor::schema()))
        .build()
}
