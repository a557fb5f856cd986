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

use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use axum::routing::{MethodRouter, any};

use super::oauth_error::OAuthError;
use super::{Peer, address, body, rate_limit};
use crate::app::App;
use crate::app::metrics::timed;
use crate::credentials::limits::Standing;
use crate::gateway::{Asked, Refused};

pub use demand::Demands;
pub use describe::describe;

use answer::let_through;
use demand::Demand;
use shown::{Shown, shown};

/// `/gateway/verify`, and what is below it, by any method: gateways forward that of the request
/// they hold.
pub fn verify(demands: Arc<Demands>) -> MethodRouter<Arc<App>> {
    any(
        move |app: State<Arc<App>>, Extension(peer): Extension<Peer>, request: Request| {
            answer(app, Arc::clone(&demands), peer, request)
        },
    )
}

/// Whether `request` may go through, for the gateway at the other end.
pub fn answer(
    State(app): State<Arc<App>>,
    demands: Arc<Demands>,
    peer: Peer,
    request: Request,
) -> impl Future<Output = Response> + Send {
    // Apart before it is a future's: that has room for both otherwise, and is copied with them.
    let (parts, body) = request.into_parts();
    async move {
        let work = pin!(respond(&app, &demands, peer, &parts, body));
        timed(&app.metrics.gateway, &app.mint.clock, work).await
    }
}

async fn respond(app: &App, demands: &Demands, peer: Peer, parts: &Parts, body: Body) -> Response {
    body::ignore(body).await;
    let mut standing = None;
    let mut response = match decide(app, parts, demands, peer, &mut standing).await {
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
    Peer(gateway): Peer,
    standing: &mut Option<Standing>,
) -> Result<Response, Response> {
    let gateway = gateway.ip();
    if !app.gateways.has(gateway) {
        return Err(refuse(app, refused::no_gateway()));
    }
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
    let lines = address::lines(&parts.headers, app.gateways.header());
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

    fn size_of_future<A, B, C, D, F>(_: impl Fn(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }

    /// Each request's is put on the heap, and copied on its way there.
    #[test]
    fn what_is_rare_takes_no_room_in_the_future_of_what_is_not() {
        let size = size_of_future(answer);
        assert!(size <= 3 * 1024, "{size}");
    }
}
