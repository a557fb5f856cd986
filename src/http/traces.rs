//! One span for each request, by the names that OpenTelemetry gives things of HTTP.
//!
//! Routes, not paths; no query, no headers, no addresses: what a request carries can be a secret,
//! and spans leave the machine.

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::http::{Method, Version};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use tracing::Instrument;
use tracing::field::Empty;

use crate::telemetry::spans::{self, span};

/// With a span for each request, if anybody records them; otherwise as it was.
pub(super) fn traced(router: Router) -> Router {
    if spans::are_recorded() {
        router.layer(from_fn(within_span))
    } else {
        router
    }
}

async fn within_span(request: Request, next: Next) -> Response {
    let method = method(request.method());
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map(|route| route.as_str().to_owned());
    // Of methods that nobody knows, none is a name.
    let verb = if method == "_OTHER" { "HTTP" } else { method };
    let name = match &route {
        Some(route) => format!("{verb} {route}"),
        None => verb.to_owned(),
    };
    let span = span!(
        "request",
        otel.name = name,
        otel.kind = "server",
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
        network.protocol.version = version(request.version()),
        otel.status_code = Empty,
        "error.type" = Empty,
    );
    spans::continue_from(&span, request.headers());
    let response = next.run(request).instrument(span.clone()).await;
    let status = response.status();
    span.record("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
        span.record("error.type", status.as_str());
    }
    response
}

/// A method that is known; strangers make up others without end.
fn method(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        "CONNECT" => "CONNECT",
        "TRACE" => "TRACE",
        _ => "_OTHER",
    }
}

const fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "2",
        Version::HTTP_10 => "1.0",
        _ => "1.1",
    }
}
