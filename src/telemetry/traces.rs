//! Traces: spans, gathered and sent to a collector by OTLP (HTTP, protobuf).
//!
//! What goes wrong on the way is said in the log now and then, and hurts nobody: spans wait in a
//! bounded queue, which a thread of its own empties, and are dropped when it is full.

mod carrier;

use std::env;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::{Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::registry::LookupSpan;
use url::Url;

use super::spans::TARGET;
use carrier::Carrier;

/// How long the end of the process waits for spans that are still to be sent.
const FLUSH: Duration = Duration::from_secs(5);

/// What this service is called where nobody says otherwise.
const SERVICE: &str = "tenmint";

/// Why traces cannot be sent as it was asked. What was set is not repeated: it may hold a password.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// The endpoint is none.
    #[error("{0}: write the http or https URL of a collector, such as http://127.0.0.1:4318")]
    Endpoint(&'static str),
    /// Another protocol is asked for.
    #[error(
        "{0}: traces are sent by http/protobuf alone, which collectors take at port 4318: set that, \
         or nothing"
    )]
    Protocol(&'static str),
    /// Another variable of the standard has a value that makes no sense.
    #[error("traces cannot be sent: look at the variables that begin with OTEL_EXPORTER_OTLP_")]
    Other,
}

/// Gathers spans and sends them. Dropped, it sends what is left, for at most five seconds.
pub(super) struct Traces(SdkTracerProvider);

impl Traces {
    /// As it is set: to `endpoint`, or else to what the standard variables name; `None` where
    /// there is no endpoint, and so nothing is to be gathered.
    pub(super) fn start(endpoint: Option<&str>) -> Result<Option<Self>, TracesError> {
        let off = says("OTEL_SDK_DISABLED", "true") || says("OTEL_TRACES_EXPORTER", "none");
        let Some(endpoint) = resolve(endpoint)?.filter(|_| !off) else {
            return Ok(None);
        };
        for name in [
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
            "OTEL_EXPORTER_OTLP_PROTOCOL",
        ] {
            if variable(name).is_some_and(|protocol| protocol != "http/protobuf") {
                return Err(TracesError::Protocol(name));
            }
        }
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Carrier::new())
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(endpoint)
            .build()
            .map_err(|_| TracesError::Other)?;
        // It reads the standard variables for sampling, limits and batches.
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource())
            .build();
        Ok(Some(Self(provider)))
    }

    /// Where spans come in.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer(SERVICE))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_target(false)
            .with_level(false)
            // Events are for the log.
            .with_filter(Targets::new().with_target(TARGET, Level::INFO))
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        // What was not sent by then is lost, and the log has said why.
        let _ = self.0.shutdown_with_timeout(FLUSH);
    }
}

/// Where traces go: to a collector's base URL goes the path that the protocol gives them.
fn resolve(set: Option<&str>) -> Result<Option<String>, TracesError> {
    const WHOLE: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
    const BASE: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
    if let Some(base) = set {
        return below("OTLP_ENDPOINT", base).map(Some);
    }
    if let Some(whole) = variable(WHOLE) {
        let url = collector(&whole).ok_or(TracesError::Endpoint(WHOLE))?;
        return Ok(Some(url.into()));
    }
    variable(BASE).map(|base| below(BASE, &base)).transpose()
}

fn below(name: &'static str, base: &str) -> Result<String, TracesError> {
    let base = collector(base).ok_or(TracesError::Endpoint(name))?;
    Ok(format!("{}/v1/traces", base.as_str().trim_end_matches('/')))
}

/// A collector's URL, if this is one. What identifies us to it goes into OTEL_EXPORTER_OTLP_HEADERS.
fn collector(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let bare = url.query().is_none() && url.fragment().is_none();
    let nameless = url.username().is_empty() && url.password().is_none();
    (matches!(url.scheme(), "http" | "https") && url.has_host() && bare && nameless).then_some(url)
}

/// Who sends.
fn resource() -> Resource {
    let named = variable("OTEL_SERVICE_NAME").is_some()
        || variable("OTEL_RESOURCE_ATTRIBUTES").is_some_and(|all| all.contains("service.name="));
    let mut resource = Resource::builder();
    if !named {
        resource = resource.with_service_name(SERVICE);
    }
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    resource.with_attribute(version).build()
}

fn says(name: &str, value: &str) -> bool {
    variable(name).is_some_and(|said| said.eq_ignore_ascii_case(value))
}

/// A variable that is set to something. The standard takes an empty one for none.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_gets_the_protocols_path() {
        for (base, whole) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            (
                "https://otel.example/in/",
                "https://otel.example/in/v1/traces",
            ),
        ] {
            assert_eq!(resolve(Some(base)).unwrap().as_deref(), Some(whole));
        }
    }

    #[test]
    fn what_is_no_collector_is_refused_and_not_repeated() {
        for bad in [
            "",
            "collector:4318",
            "127.0.0.1:4318",
            "grpc://collector:4317",
            "http://",
            "http://user:hunter2@collector:4318",
            "http://collector:4318?key=hunter2",
        ] {
            let why = resolve(Some(bad)).unwrap_err().to_string();
            assert!(why.starts_with("OTLP_ENDPOINT: write"), "{bad}: {why}");
            assert!(!why.contains("hunter2"), "{why}");
        }
    }
}
