//! What is asked most, straight from its connection to its handler.
//!
//! A router tries its patterns, notes what it found, and hands a request on through boxes: a tenth
//! of what an answer costs that signs nothing. Three endpoints are asked all day, by one method
//! each, and these are known by their paths alone. They are routes as well, for whatever else is sent
//! there, and answer the same either way.

use std::future::Ready;
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Extension, Request, State};
use axum::http::{Method, Version};
use axum::response::Response;
use futures_util::future::Either;

use super::gateway::{self, Demands};
use super::{Answers, Peer, introspect, token};
use crate::app::App;
use crate::telemetry::spans;

/// Everything that is served.
pub struct Surface {
    router: Router,
    app: Arc<App>,
    demands: Arc<Demands>,
    /// Paths, below that of the base URL; `None` while spans are recorded, which the router does.
    straight: Option<[(Method, String, Endpoint); 3]>,
}

#[derive(Clone, Copy)]
enum Endpoint {
    Token,
    Introspect,
    Verify,
}

impl Surface {
    /// The router, and the ways around it.
    pub(super) fn new(router: Router, app: Arc<App>, demands: Arc<Demands>) -> Self {
        let base = app.mint.base.path();
        let straight = (!spans::are_recorded()).then(|| {
            [
                (Method::POST, format!("{base}/oauth/token"), Endpoint::Token),
                (
                    Method::GET,
                    format!("{base}/gateway/verify"),
                    Endpoint::Verify,
                ),
                (
                    Method::POST,
                    format!("{base}/oauth/introspect"),
                    Endpoint::Introspect,
                ),
            ]
        });
        Self {
            // Turns handlers into routes now rather than at each request.
            router: router.with_state(()),
            app,
            demands,
            straight,
        }
    }

    fn endpoint(&self, request: &Request) -> Option<Endpoint> {
        let (method, path) = (request.method(), request.uri().path());
        let mut straight = self.straight.iter().flatten();
        let found = straight.find(|(by, to, _)| to == path && by == method);
        found.map(|(_, _, endpoint)| *endpoint)
    }
}

impl Answers for Surface {
    fn answer(
        &self,
        peer: Peer,
        request: Request,
    ) -> impl Future<Output = Response> + Send + 'static {
        let app = || State(Arc::clone(&self.app));
        // Boxed: each connection has room for the largest otherwise.
        let answer: Pin<Box<dyn Future<Output = Response> + Send>> = match self.endpoint(&request) {
            // Over HTTP/2 a connection's task calls this for all its requests, which are to be
            // answered side by side.
            Some(Endpoint::Verify) if request.version() == Version::HTTP_2 => {
                let (app, demands) = (Arc::clone(&self.app), Arc::clone(&self.demands));
                Box::pin(async move { gateway::answer(&app, &demands, peer, request).await })
            }
            Some(Endpoint::Verify) => {
                return gateway::answer(&self.app, &self.demands, peer, request);
            }
            Some(Endpoint::Token) => Box::pin(token::deployment(app(), Extension(peer), request)),
            Some(Endpoint::Introspect) => {
                Box::pin(introspect::deployment(app(), Extension(peer), request))
            }
            None => Box::pin(self.router.answer(peer, request)),
        };
        Either::<Ready<Response>, _>::Right(answer)
    }
}
