//! What carries spans to the collector: one HTTP client, bounded, and quiet about lasting trouble.

use std::io::Read;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};

/// How long a collector may take for one batch.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longest answer read, in bytes.
const MAX_ANSWER: u64 = 64 * 1024;

/// How often to say that spans do not arrive, while that goes on.
const NEWS: Duration = Duration::from_mins(5);

/// Carries spans. Blocks, on the thread that gathers them.
#[derive(Debug)]
pub(super) struct Carrier {
    agent: ureq::Agent,
    /// When it was last said that spans do not arrive, while that is so.
    said: Mutex<Option<Instant>>,
}

impl Carrier {
    pub(super) fn new() -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            // What stands in the headers is for this collector alone.
            .max_redirects(0)
            .timeout_global(Some(PATIENCE));
        Self {
            agent: config.build().into(),
            said: Mutex::default(),
        }
    }

    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (parts, body) = request.into_parts();
        let answer = self.agent.run(Request::from_parts(parts, &body[..]))?;
        let (parts, body) = answer.into_parts();
        let mut answer = Vec::new();
        let mut bounded = body.into_reader().take(MAX_ANSWER);
        bounded.read_to_end(&mut answer)?;
        Ok(Response::from_parts(parts, answer.into()))
    }

    fn tell(&self, outcome: &Result<Response<Bytes>, HttpError>) {
        let why = match outcome {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("the collector answered with {}", answer.status())),
            Err(why) => Some(why.to_string()),
        };
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        match why {
            None if said.take().is_some() => tracing::info!("traces arrive again"),
            Some(why) if said.is_none_or(|then| then.elapsed() > NEWS) => {
                *said = Some(Instant::now());
                tracing::warn!(why, "traces do not arrive, and are dropped");
            }
            None | Some(_) => {}
        }
    }
}

impl HttpClient for Carrier {
    // As `async-trait` would write it.
    fn send_bytes<'life, 'all>(
        &'life self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'all>>
    where
        'life: 'all,
        Self: 'all,
    {
        Box::pin(async move {
            let outcome = self.send(request);
            self.tell(&outcome);
            outcome
        })
    }
}
