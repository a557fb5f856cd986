//! The OpenAPI document: the resources' descriptions put together, with what all of them share.

mod operation;
mod shared;
pub mod words;

use std::sync::{Arc, LazyLock};

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::response::Response;
use utoipa::openapi::path::{HttpMethod, OperationBuilder};
use utoipa::openapi::{
    ComponentsBuilder, Info, InfoBuilder, License, OpenApi, OpenApiBuilder, PathItem, Paths, Server,
};

use super::{
    api_keys, audit, bootstrap, conditional, gateway, introspect, jwks, migration, organizations,
    refusals, revocations, roles, scopes, signing_keys, token, usage,
};
use crate::app::App;

pub use operation::Operation;

/// Where the caller's own organization is, and where the operator reaches into any.
const MOUNTS: [&str; 2] = ["/v1/", "/v1/organizations/{org}/"];

/// What was described once, and is served as it is; and its tag.
static DOCUMENT: LazyLock<(Bytes, String)> = LazyLock::new(|| {
    let mut text = document().to_pretty_json().expect("a document is JSON");
    text.push('\n');
    let tag = conditional::tag(&text);
    (text.into(), tag)
});

/// `GET /openapi.json`.
pub async fn show(State(_): State<Arc<App>>, request: Request) -> Response {
    let (document, tag) = &*DOCUMENT;
    let document = || document.clone();
    conditional::respond_tagged(request.headers(), tag, document, conditional::MAX_AGE)
}

/// The whole document.
fn document() -> OpenApi {
    let mut components = shared::components(ComponentsBuilder::new());
    let mut paths = Paths::new();
    let resources = [
        ("API keys", api_keys::describe()),
        ("Roles", roles::describe()),
        ("Scopes", scopes::describe()),
        ("Signing keys", signing_keys::describe()),
        ("Usage", usage::describe()),
        ("Usage", refusals::describe()),
        ("Usage", migration::describe()),
        ("Audit", audit::describe()),
        ("Organizations", organizations::describe()),
        ("Organizations", bootstrap::describe()),
        ("OAuth", token::describe()),
        ("OAuth", introspect::describe()),
        ("Gateways", gateway::describe()),
        ("Documents and health", jwks::describe()),
        ("Documents and health", revocations::describe()),
    ];
    for (tag, operations) in resources {
        for operation in operations {
            let Operation {
                path,
                method,
                id,
                inner,
                schemas,
            } = operation;
            components = components.schemas_from_iter(schemas);
            let described = inner.tag(tag).build();
            let own = shared::complete(described.clone().into(), path);
            add(&mut paths, path, &method, own);
            if let Some(path) = for_the_operator(path) {
                let reaching = operation::in_path(described.into(), "org", "An organization");
                let reaching = reaching.operation_id(Some(in_any_organization(id)));
                add(
                    &mut paths,
                    &path,
                    &method,
                    shared::complete(reaching, &path),
                );
            }
        }
    }
    OpenApiBuilder::new()
        .info(info())
        .servers(Some([Server::new(".")]))
        .paths(paths)
        .components(Some(components.build()))
        .tags(Some(shared::tags()))
        .build()
}

fn info() -> Info {
    let license = License::builder()
        .name(env!("CARGO_PKG_LICENSE"))
        .identifier(Some(env!("CARGO_PKG_LICENSE")))
        .build();
    InfoBuilder::new()
        .title("tenmint")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "A token mint: exchanges API keys for short-lived access tokens (OAuth 2.0 client \
             credentials), and manages the keys. All that an organization does below /v1 the \
             operator does below /v1/organizations/{org}.",
        ))
        .license(Some(license))
        .build()
}

fn add(paths: &mut Paths, path: &str, method: &HttpMethod, operation: OperationBuilder) {
    let item = PathItem::new(method.clone(), operation.build());
    match paths.paths.get_mut(path) {
        Some(there) => there.merge_operations(item),
        None => {
            paths.paths.insert(path.to_owned(), item);
        }
    }
}

/// The same of any organization, if the path is one of the caller's own.
fn for_the_operator(path: &str) -> Option<String> {
    let rest = path.strip_prefix(MOUNTS[0])?;
    let own = !rest.starts_with("organization");
    own.then(|| format!("{}{rest}", MOUNTS[1]))
}

/// `listRoles` is `operatorListRoles` there.
fn in_any_organization(id: &str) -> String {
    let (first, rest) = id.split_at(1);
    format!("operator{}{rest}", first.to_ascii_uppercase())
}
