//! The gateway endpoint: whether a request that a gateway holds may go through to its service.
//!
//! Only gateways are answered. Nothing that their clients write is taken for theirs: a header that
//! a client can send as well only ever demands more.

mod answer;
mod demand;
mod describe;
mod refused;
mod shown;

use std::borrow::Cow;
use std::future::{Ready, ready};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::HttpBody;
use axum::extract::{Extension, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use axum::routing::{MethodRouter, any};
use futures_util::future::Either;

use super::oauth_error::OAuthError;
use super::{Peer, address, body, rate_limit};
use crate::app::App;
use crate::check::Presented;
use crate::credentials::limits::Standing;
use crate::domain::client_address::UnknownAddress;
use crate::gateway::{Asked, Passed, Refused};

pub use demand::Demands;
pub use describe::describe;

use answer::let_through;
use demand::Demand;
use shown::{Shown, shown};

/// An answer that has to be waited for.
type Later = Pin<Box<dyn Future<Output = Response> + Send>>;

/// `/gateway/verify`, and what is below it, by any method: gateways forward that of the request
/// they hold.
pub fn verify(demands: Arc<Demands>) -> MethodRouter<Arc<App>> {
    any(
        move |State(app): State<Arc<App>>, Extension(peer): Extension<Peer>, request: Request| {
            answer(&app, &demands, peer, request)
        },
    )
}

/// Whether `request` may go through, for the gateway at the other end: at once, if memory tells and
/// there is no body to be done with.
pub fn answer(
    app: &Arc<App>,
    demands: &Arc<Demands>,
    peer: Peer,
    request: Request,
) -> Either<Ready<Response>, Later> {
    let began = app.mint.clock.monotonic();
    let (parts, body) = request.into_parts();
    let mut standing = None;
    if body.is_end_stream()
        && let Some(response) = answer_at_once(app, &parts, demands, peer, &mut standing)
    {
        return Either::Left(ready(done(app, began, response, standing)));
    }
    let (app, demands) = (Arc::clone(app), Arc::clone(demands));
    Either::Right(Box::pin(async move {
        body::ignore(body).await;
        let response = match Question::read(&app, &parts, &demands, peer) {
            Ok((presented, question)) => {
                let asked = question.asked();
                let outcome = app.gateway.verify(presented, asked, &mut standing).await;
                question.answer(&app, outcome)
            }
            Err(why) => refuse(&app, why),
        };
        done(&app, began, response, standing)
    }))
}

fn answer_at_once(
    app: &App,
    parts: &Parts,
    demands: &Demands,
    peer: Peer,
    standing: &mut Option<Standing>,
) -> Option<Response> {
    let (presented, question) = match Question::read(app, parts, demands, peer) {
        Ok(read) => read,
        Err(why) => return Some(refuse(app, why)),
    };
    let asked = question.asked();
    let outcome = app.gateway.verify_at_once(&presented, asked, standing);
    Some(question.answer(app, outcome.transpose()?))
}

fn done(
    app: &App,
    began: Duration,
    mut response: Response,
    standing: Option<Standing>,
) -> Response {
    if let Some(standing) = standing {
        rate_limit::tell(&mut response, &standing);
    }
    let now = app.mint.clock.monotonic();
    app.metrics.gateway.note(now.saturating_sub(began));
    response
}

/// What a gateway asks of a credential.
struct Question<'a> {
    demand: Cow<'a, Demand>,
    /// The text of the credential, if it is no API key.
    token: Option<&'a str>,
    gateway: IpAddr,
    /// Where the request comes from, as the gateway says.
    address: Result<IpAddr, UnknownAddress>,
    user_agent: Option<&'a [u8]>,
}

impl<'a> Question<'a> {
    /// Reads it and the credential, if it is a question, and a gateway's.
    fn read(
        app: &App,
        parts: &'a Parts,
        demands: &'a Demands,
        Peer(gateway): Peer,
    ) -> Result<(Presented<'a>, Self), OAuthError> {
        let gateway = gateway.ip();
        if !app.gateways.has(gateway) {
            return Err(refused::no_gateway());
        }
        let demand = demands.read(parts, &app.mint.audiences);
        let demand = demand.map_err(|why| refused::bad_demand(&why))?;
        let header = app.gateways.header();
        let (presented, token) = match shown(&parts.headers, header.name()) {
            Shown::Nothing => return Err(refused::nothing_shown()),
            Shown::Confused => return Err(refused::confused()),
            Shown::One { presented, token } => (presented, token),
        };
        let user_agent = parts.headers.get(header::USER_AGENT);
        let question = Self {
            demand,
            token,
            gateway,
            address: app
                .gateways
                .client_address(gateway, address::lines(&parts.headers, header)),
            user_agent: user_agent.map(HeaderValue::as_bytes),
        };
        Ok((presented, question))
    }

    /// Unknown, it is within no network.
    fn address(&self) -> Option<IpAddr> {
        self.address.as_ref().ok().copied()
    }

    fn asked(&self) -> Asked<'_> {
        Asked {
            address: self.address(),
            user_agent: self.user_agent,
            required: &self.demand.scopes,
            audience: self.demand.audience.as_ref(),
            exchange: self.demand.exchange,
        }
    }

    fn answer(&self, app: &App, outcome: Result<Passed, Refused>) -> Response {
        let Self { gateway, .. } = self;
        if let Err(why) = &self.address {
            tracing::warn!(%gateway, %why, "a gateway did not tell the client's address");
        }
        match outcome {
            Ok(passed) => let_through(&passed, self.token.filter(|_| self.demand.exchange)),
            Err(why) => not_let_through(app, &why, &self.demand, self.address()),
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
