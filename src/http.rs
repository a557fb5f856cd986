//! The HTTP surface: the router on one screen, then one file per resource.

mod address;
mod api_keys;
mod audit;
mod authorization;
mod body;
mod bootstrap;
mod client_request;
mod conditional;
mod gateway;
mod health;
mod idempotency;
mod introspect;
mod json;
mod jwks;
mod metadata;
pub mod metrics;
mod migration;
mod oauth_error;
mod openapi;
mod organizations;
mod path;
mod phases;
mod problem;
mod query;
mod rate_limit;
mod reach;
mod refusals;
mod request_id;
mod revocations;
mod revoke;
mod roles;
mod scopes;
mod signing_keys;
mod straight;
mod token;
mod token_request;
mod traces;
mod usage;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::{get, post, put};
use tower::Service;

use crate::app::App;

use gateway::Demands;
pub use straight::Surface;

/// The address at the other end of a connection. A router finds it among a request's extensions.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// Whatever answers the requests of connections.
pub trait Answers: Send + Sync + 'static {
    /// What `peer` asks, answered.
    fn answer(
        &self,
        peer: Peer,
        request: Request,
    ) -> impl Future<Output = Response> + Send + 'static;
}

impl Answers for Router {
    /// With the peer among the request's extensions.
    fn answer(
        &self,
        peer: Peer,
        mut request: Request,
    ) -> impl Future<Output = Response> + Send + 'static {
        request.extensions_mut().insert(peer);
        // A router is always ready, and its clone a counted reference.
        let answer = self.clone().call(request);
        async {
            let Ok(answer) = answer.await;
            answer
        }
    }
}

/// Everything that is served.
pub fn surface(app: Arc<App>) -> Surface {
    let demands = Arc::new(Demands::in_query());
    let router = router(Arc::clone(&app), Arc::clone(&demands));
    Surface::new(router, app, demands)
}

fn router(app: Arc<App>, demands: Arc<Demands>) -> Router {
    let path = app.mint.base.path().to_owned();
    let below_base = oauth_plane()
        .merge(gateways(demands))
        .merge(management_plane())
        .merge(operations());
    // A base URL with a path is reached with it, or without it where a proxy strips it.
    let router = if path.is_empty() {
        below_base
    } else {
        let nested = below_base.clone().nest(&path, below_base);
        nested.merge(metadata_before(&path))
    };
    let router = router
        .method_not_allowed_fallback(problem::method_not_allowed)
        .fallback(problem::no_such_route)
        .with_state(app);
    traces::traced(router)
}

type Routes = Router<Arc<App>>;

fn oauth_plane() -> Routes {
    let token = post(token::deployment).fallback(token::post_only);
    let organization_token = post(token::organization).fallback(token::post_only);
    let revoke = post(revoke::deployment).fallback(revoke::post_only);
    let organization_revoke = post(revoke::organization).fallback(revoke::post_only);
    let introspect = post(introspect::deployment).fallback(introspect::post_only);
    let organization_introspect = post(introspect::organization).fallback(introspect::post_only);
    // RFC 6749 §3.1: a client may come by either.
    let authorize = get(token::no_authorization_endpoint).post(token::no_authorization_endpoint);
    Router::new()
        .route("/oauth/token", token)
        .route("/orgs/{org}/oauth/token", organization_token)
        .route("/oauth/revoke", revoke)
        .route("/orgs/{org}/oauth/revoke", organization_revoke)
        .route("/oauth/introspect", introspect)
        .route("/orgs/{org}/oauth/introspect", organization_introspect)
        .route("/oauth/authorize", authorize)
        .route("/.well-known/jwks.json", get(jwks::deployment))
        .route("/orgs/{org}/.well-known/jwks.json", get(jwks::organization))
        .route("/.well-known/revocations", get(revocations::deployment))
        .route(
            "/orgs/{org}/.well-known/revocations",
            get(revocations::organization),
        )
        .route(
            "/orgs/{org}/.well-known/oauth-authorization-server",
            get(metadata::organization),
        )
        .route(
            "/orgs/{org}/.well-known/openid-configuration",
            get(metadata::organization),
        )
        .merge(metadata_before(""))
}

fn gateways(in_query: Arc<Demands>) -> Routes {
    let below = gateway::verify(Arc::new(Demands::InHeaders));
    Router::new()
        .route("/gateway/verify", gateway::verify(in_query))
        .route("/gateway/verify/", below.clone())
        .route("/gateway/verify/{*path}", below)
}

/// RFC 8414 §3: the well-known part comes before the issuer's path.
fn metadata_before(path: &str) -> Routes {
    ["oauth-authorization-server", "openid-configuration"]
        .into_iter()
        .fold(Router::new(), |routes, document| {
            let deployment = format!("/.well-known/{document}{path}");
            let organization = format!("{deployment}/orgs/{{org}}");
            routes
                .route(&deployment, get(metadata::deployment))
                .route(&organization, get(metadata::organization))
        })
}

fn management_plane() -> Routes {
    let organizations = get(organizations::list).post(organizations::create);
    let organization = get(organizations::show)
        .patch(organizations::edit)
        .delete(organizations::delete);
    let own = get(organizations::show_own).patch(organizations::edit_own);
    // One's own organization, and the operator's way into each.
    ["/v1", "/v1/organizations/{org}"]
        .into_iter()
        .fold(Router::new(), |routes, root| {
            let keys = get(api_keys::list).post(api_keys::create);
            routes
                .route(&format!("{root}/api-keys"), keys)
                .route(
                    &format!("{root}/api-keys/revoke"),
                    post(api_keys::revoke_many),
                )
                .route(
                    &format!("{root}/api-keys/{{id}}"),
                    get(api_keys::show).patch(api_keys::edit),
                )
                .route(
                    &format!("{root}/api-keys/{{id}}/disable"),
                    post(api_keys::disable),
                )
                .route(
                    &format!("{root}/api-keys/{{id}}/enable"),
                    post(api_keys::enable),
                )
                .route(
                    &format!("{root}/api-keys/{{id}}/revoke"),
                    post(api_keys::revoke),
                )
                .route(&format!("{root}/audit-events"), get(audit::list))
                .route(
                    &format!("{root}/audit-events/checkpoint"),
                    get(audit::checkpoint),
                )
                .route(&format!("{root}/api-keys/{{id}}/usage"), get(usage::of_key))
                .route(&format!("{root}/usage"), get(usage::of_organization))
                .route(&format!("{root}/migration"), get(migration::show))
                .route(&format!("{root}/refusals"), get(refusals::list))
                .route(
                    &format!("{root}/api-keys/{{id}}/rotate"),
                    post(api_keys::rotate),
                )
                .route(
                    &format!("{root}/api-keys/{{id}}/rotate/finish"),
                    post(api_keys::finish_rotation),
                )
                .route(
                    &format!("{root}/roles"),
                    get(roles::list).post(roles::create),
                )
                .route(
                    &format!("{root}/roles/{{role}}"),
                    get(roles::show).patch(roles::edit).delete(roles::delete),
                )
                .route(&format!("{root}/signing-keys"), get(signing_keys::list))
                .route(
                    &format!("{root}/signing-keys/rotate"),
                    post(signing_keys::rotate),
                )
                .route(
                    &format!("{root}/signing-keys/{{kid}}"),
                    get(signing_keys::show),
                )
                .route(
                    &format!("{root}/signing-keys/{{kid}}/revoke"),
                    post(signing_keys::revoke),
                )
                .route(&format!("{root}/scopes"), get(scopes::list))
                .route(
                    &format!("{root}/scopes/{{action}}"),
                    put(scopes::define).delete(scopes::remove),
                )
        })
        .route("/v1/organization", own)
        // The operator alone.
        .route("/v1/organizations", organizations)
        .route("/v1/organizations/{org}", organization)
        .route(
            "/v1/organizations/{org}/suspend",
            post(organizations::suspend),
        )
        .route(
            "/v1/organizations/{org}/resume",
            post(organizations::resume),
        )
        .route(
            "/v1/organizations/{org}/bootstrap",
            post(bootstrap::bootstrap),
        )
        .route(
            "/v1/organizations/{org}/signing-keys/import",
            post(signing_keys::import),
        )
}

fn operations() -> Routes {
    Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/openapi.json", get(openapi::show))
}
