//! Spans: what takes how long within a request, for whoever asked for traces.
//!
//! Where nobody did, a span is a comparison and nothing else: their target is off in every log.

use http::HeaderMap;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::TraceContextExt;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::instrument::{Instrument, Instrumented};
use tracing::{Level, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// What spans go by in filters, apart from everything that is logged.
pub const TARGET: &str = "otlp";

/// Longest `tracestate` taken over, in bytes: as much as must be (W3C Trace Context §3.3.1.5).
const MAX_STATE: usize = 512;

/// A span, by its name and its fields as `tracing` writes them. Nothing secret, no address and no
/// path may be one: spans leave the machine.
macro_rules! span {
    ($name:literal $(, $($fields:tt)*)?) => {
        tracing::info_span!(target: $crate::telemetry::spans::TARGET, $name $(, $($fields)*)?)
    };
}

/// The same within another, and none where there is no other: what jobs do is no part of a request.
macro_rules! inner_span {
    ($($all:tt)*) => {
        if $crate::telemetry::spans::is_within_one() {
            $crate::telemetry::spans::span!($($all)*)
        } else {
            tracing::Span::none()
        }
    };
}

pub(crate) use {inner_span, span};

/// Whether anybody records spans.
#[must_use]
pub fn are_recorded() -> bool {
    tracing::span_enabled!(target: TARGET, Level::INFO)
}

/// Whether what happens here happens within a span.
#[must_use]
pub fn is_within_one() -> bool {
    are_recorded() && !Span::current().is_none()
}

/// A statement on its way to the database and back, the wait for a connection included. Its text
/// has placeholders where values go.
pub fn query<F: Future>(system: &'static str, text: &'static str, work: F) -> Instrumented<F> {
    work.instrument(inner_span!(
        "query",
        otel.kind = "client",
        db.system.name = system,
        db.query.text = text,
    ))
}

/// Makes a span part of the trace that a request's headers name (W3C Trace Context), if they do.
pub fn continue_from(span: &Span, headers: &HeaderMap) {
    let named = TraceContextPropagator::new().extract(&Named(headers));
    if named.span().span_context().is_valid() {
        // It fails where the span is not recorded.
        let _ = span.set_parent(named);
    }
}

/// The two headers that name a trace. Of two of one name neither counts.
struct Named<'a>(&'a HeaderMap);

impl Extractor for Named<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        let mut values = self.0.get_all(name).iter();
        let value = values.next()?.to_str().ok()?;
        (values.next().is_none() && value.len() <= MAX_STATE).then_some(value)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}
