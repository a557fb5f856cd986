//! What tenmint tells about itself: structured events on standard error, traces to a collector, and
//! counts.

pub mod counts;
pub mod spans;
mod sparing;
pub mod traces;

use std::io::{self, IsTerminal};

use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt, registry};

use sparing::Sparing;
use traces::{Traces, TracesError};

/// Libraries below HTTP can trace whole frames, credentials included. They stay quiet unless they
/// are asked by name. Spans are for traces, and never in the log.
const QUIET: &str = "h2=info,hyper=info,hyper_util=info,sqlx=warn,otlp=off";

/// Why nothing can be told.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The log filter is not one.
    #[error("LOG: write error, warn, info, debug, trace, or a filter such as tenmint=debug,info")]
    Filter,
    /// Traces cannot be sent as it was asked.
    #[error(transparent)]
    Traces(#[from] TracesError),
}

/// The log of this process. Dropped, it writes what is still to be written.
///
/// Lines go through a bounded queue to a thread of their own: when nobody reads them, they are
/// lost, and the server goes on. Of lines alike, no more than a hundred are written in a second; how
/// many were left out is written then.
#[must_use = "dropped, the log ends"]
pub struct Log {
    sparing: Sparing,
    #[expect(dead_code, reason = "held for its drop")]
    traces: Option<Traces>,
    // After them: what the last of them had to say is logged.
    #[expect(dead_code, reason = "held for its drop")]
    writer: WorkerGuard,
}

impl Drop for Log {
    fn drop(&mut self) {
        self.sparing.tell();
    }
}

/// Whether traces are sent, should there be somewhere to send them.
#[derive(Clone, Copy, Debug)]
pub enum Traced<'a> {
    /// To this collector, or to the one that the standard variables name.
    To(Option<&'a str>),
    /// They are not.
    Nowhere,
}

/// Starts logging to standard error, for the whole process; `json` unasked means text on a
/// terminal. Standard output stays free for what commands answer.
///
/// # Errors
/// When the filter is malformed, or the collector's address is.
pub fn start(filter: &str, json: Option<bool>, traced: Traced<'_>) -> Result<Log, TelemetryError> {
    let filter = EnvFilter::builder()
        .parse(format!("{QUIET},{filter}"))
        .map_err(|_| TelemetryError::Filter)?;
    let traces = match traced {
        Traced::To(endpoint) => Traces::start(endpoint)?,
        Traced::Nowhere => None,
    };
    let json = json.unwrap_or_else(|| !io::stderr().is_terminal());
    let (to, writer) = tracing_appender::non_blocking(io::stderr());
    let sparing = Sparing::new();
    let lines = fmt::layer().with_writer(to);
    let lines = if json {
        lines.json().flatten_event(true).boxed()
    } else {
        let colours = io::stderr().is_terminal();
        lines.with_target(false).with_ansi(colours).boxed()
    };
    tell_panics_by_their_place();
    // A second start in one process, as in tests, leaves the first in place.
    let _ = match &traces {
        // One filter for all: what is not logged is nothing but a comparison.
        None => registry()
            .with(lines)
            .with(filter)
            .with(sparing.clone())
            .try_init(),
        Some(traces) => registry()
            .with(lines.and_then(sparing.clone()).with_filter(filter))
            .with(traces.layer())
            .try_init(),
    };
    sparing.tell_regularly();
    Ok(Log {
        sparing,
        traces,
        writer,
    })
}

/// What panicked may have held a secret, and a panic's message may repeat it: only the place
/// is told.
fn tell_panics_by_their_place() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place = place.unwrap_or_default(), "a task panicked");
    }));
}
