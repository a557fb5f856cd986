//! What tenmint tells about itself: structured events on standard error.

mod sparing;

use std::io::{self, IsTerminal};

use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use sparing::Sparing;

/// Libraries below HTTP can trace whole frames, credentials included. They stay quiet unless they
/// are asked by name.
const QUIET: &str = "h2=info,hyper=info,hyper_util=info,sqlx=warn";

/// The log filter is not one.
#[derive(Debug, thiserror::Error)]
#[error("LOG: write error, warn, info, debug, trace, or a filter such as tenmint=debug,info")]
pub struct FilterError;

/// The log of this process. Dropped, it writes what is still to be written.
///
/// Lines go through a bounded queue to a thread of their own: when nobody reads them, they are
/// lost, and the server goes on. Of lines alike, no more than a hundred are written in a second; how
/// many were left out is written then.
#[must_use = "dropped, the log ends"]
pub struct Log {
    sparing: Sparing,
    #[expect(dead_code, reason = "held for its drop")]
    writer: WorkerGuard,
}

impl Drop for Log {
    fn drop(&mut self) {
        self.sparing.tell();
    }
}

/// Starts logging to standard error, for the whole process; `json` unasked means text on a
/// terminal. Standard output stays free for what commands answer.
///
/// # Errors
/// When the filter is malformed.
pub fn start(filter: &str, json: Option<bool>) -> Result<Log, FilterError> {
    let filter = EnvFilter::builder()
        .parse(format!("{QUIET},{filter}"))
        .map_err(|_| FilterError)?;
    let json = json.unwrap_or_else(|| !io::stderr().is_terminal());
    let (to, writer) = tracing_appender::non_blocking(io::stderr());
    let sparing = Sparing::new();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(to);
    tell_panics_by_their_place();
    // A second start in one process, as in tests, leaves the first in place.
    let _ = if json {
        let log = builder.json().flatten_event(true).finish();
        log.with(sparing.clone()).try_init()
    } else {
        builder
            .with_target(false)
            .with_ansi(io::stderr().is_terminal())
            .finish()
            .with(sparing.clone())
            .try_init()
    };
    sparing.tell_regularly();
    Ok(Log { sparing, writer })
}

/// What panicked may have held a secret, and a panic's message may repeat it: only the place
/// is told.
fn tell_panics_by_their_place() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place = place.unwrap_or_default(), "a task panicked");
    }));
}
