//! The gateway endpoint: whether a request that a gateway holds may go through to its service.
//!
//! Only gateways are answered. Nothing that their clients write is taken for theirs: a header that
//! a client can send as well only ever demands more.

mod answer;
mod demand;
mod describe;
mod refused;
mod shown;

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use axum::routing::{MethodRouter, any};

use super::oauth_error::OAuthError;
use super::phases::others_first;
use super::{Peer, body, rate_limit};
use crate::app::App;
use crate::app::metrics::timed;
use crate::credentials::limits::Standing;
use crate::gateway::{Asked, Refused};

pub use describe::describe;

use answer::let_through;
use demand::{Demand, Demands};
use shown::{Shown, shown};

/// `/gateway/verify`, by any method: gateways forward that of the request they hold. What is
/// demanded is in the query string, which the gateway's configuration writes.
pub fn verify() -> MethodRouter<Arc<App>> {
    demanded(Demands::in_query())
}

/// `/gateway/verify/…`, for gateways that append the path of the request they hold, and its query
/// string with it. What is demanded is in headers.
pub fn verify_below() -> MethodRouter<Arc<App>> {
    demanded(Demands::InHeaders)
}

fn demanded(demands: Demands) -> MethodRouter<Arc<App>> {
    let demands = Arc::new(demands);
    any(move |State(app): State<Arc<App>>, request: Request| {
        answer(app, Arc::clone(&demands), request)
    })
}

async fn answer(app: Arc<App>, demands: Arc<Demands>, request: Request) -> Response {
    let work = pin!(respond(&app, &demands, request));
    timed(&app.metrics.gateway, &app.mint.clock, work).await
}

async fn respond(app: &App, demands: &Demands, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    body::ignore(body).await;
    others_first().await;
    let mut standing = None;
    let mut response = match decide(app, &parts, demands, &mut standing).await {
        Ok(response) => response,
        Err(error) => error,
    };
    if let Some(standing) = standing {
        rate_limit::tell(&mut response, &standing);
    }
    response
}

async fn decide(
    app: &App,
    parts: &Parts,
    demands: &Demands,
    standing: &mut Option<Standing>,
) -> Result<Response, Response> {
    let peer = parts.extensions.get::<Peer>().map(|Peer(peer)| peer.ip());
    let gateway = peer.filter(|peer| app.gateways.has(*peer));
    let gateway = gateway.ok_or_else(|| refuse(app, refused::no_gateway()))?;
    let demand = demands.read(parts, &app.mint.audiences);
    let demand = demand.map_err(|why| refuse(app, refused::bad_demand(&why)))?;
    let header = app.gateways.header();
    let (presented, token) = match shown(&parts.headers, header.name()) {
        Shown::Nothing => return Err(refuse(app, refused::nothing_shown())),
        Shown::Confused => return Err(refuse(app, refused::confused())),
        Shown::One { presented, token } => (presented, token),
    };
    let address = address(app, parts, gateway);
    let asked = Asked {
        presented,
        address,
        user_agent: parts
            .headers
            .get(header::USER_AGENT)
            .map(HeaderValue::as_bytes),
        required: &demand.scopes,
        audience: demand.audience.as_ref(),
        exchange: demand.exchange,
    };
    match app.gateway.verify(asked, standing).await {
        Ok(passed) => Ok(let_through(&passed, token.filter(|_| demand.exchange))),
        Err(why) => Err(not_let_through(app, &why, &demand, address)),
    }
}

/// Where the request comes from, as the gateway says; `None`, which is denied, if it does not.
fn address(app: &App, parts: &Parts, gateway: IpAddr) -> Option<IpAddr> {
    let lines = parts.headers.get_all(app.gateways.header().name());
    let lines = lines.into_iter().map(HeaderValue::as_bytes);
    match app.gateways.client_address(gateway, lines) {
        Ok(address) => Some(address),
        Err(why) => {
            tracing::warn!(%gateway, %why, "a gateway did not tell the client's address");
            None
        }
    }
}

fn not_let_through(app: &App, why: &Refused, demand: &Demand, address: Option<IpAddr>) -> Response {
    let request_id = app.request_id();
    app.gateway.count(why, &request_id, address);
    let error = refused::error(&why.refusal, &demand.scopes);
    match why.id() {
        _ if error.is_trouble() => {
            tracing::error!(%request_id, cause = %why, "could not answer a gateway");
        }
        Some(key) => tracing::info!(%request_id, %key, cause = %why, "not let through"),
        None => tracing::info!(%request_id, cause = %why, "not let through"),
    }
    error.respond(&request_id)
}

/// Refuses what is no question, or nobody's.
fn refuse(app: &App, error: OAuthError) -> Response {
    let request_id = app.request_id();
    tracing::info!(%request_id, cause = error.description(), "refused a gateway's question");
    error.respond(&request_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<A, B, C, F>(_: impl Fn(A, B, C) -> F) -> usize {
        size_of::<F>()
    }

    /// Each request's is put on the heap, and copied on its way there.
    #[test]
    fn what_is_rare_takes_no_room_in_the_future_of_what_is_not() {
        let size = size_of_future(answer);
        assert!(size <= 3 * 1024, "{size}");
    }
}
