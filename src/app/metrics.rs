//! What can be measured of a running deployment, in the text format of OpenMetrics, which Prometheus
//! reads.
//!
//! What the rooms count anyway is read when somebody asks. Labels have few values, all of them known
//! beforehand: no key, organization, address or path is one.

mod registry;
pub mod tls;

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::App;
use crate::clock::Clock;
use crate::domain::usage::Outcome;
use crate::store::Store;
use crate::store::census::Census;
use crate::telemetry::counts::Timings;
use registry::Measurements;
use tls::TlsCounts;

/// How long what was counted in the database is told again, so that whoever asks often costs it
/// nothing.
const CENSUS_HOLDS: Duration = Duration::from_secs(10);

const DAY: Duration = Duration::from_hours(24);

/// The format, as an HTTP header names it.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What is noted while requests are answered.
#[derive(Default)]
pub struct Metrics {
    /// How long token requests took.
    pub token: Timings,
    /// How long introspection took.
    pub introspection: Timings,
    /// How long gateways waited.
    pub gateway: Timings,
    /// What the listener counts of TLS; empty where it speaks none.
    pub tls: OnceLock<Arc<TlsCounts>>,
    census: Mutex<Option<(Instant, Census)>>,
}

impl Metrics {
    /// What is in the database, as it was lately; `None` while it does not answer.
    async fn census(&self, store: &Store, clock: &Clock) -> Option<Census> {
        let mut held = self.census.lock().await;
        if let Some((counted, census)) = *held
            && counted.elapsed() < CENSUS_HOLDS
        {
            return Some(census);
        }
        let now = clock.now();
        let census = store.census(now, now.plus(DAY), now.plus(DAY * 7)).await;
        *held = census
            .inspect_err(|error| tracing::warn!(%error, "the database cannot be counted"))
            .ok()
            .map(|census| (Instant::now(), census));
        held.map(|(_, census)| census)
    }
}

/// Does `work`, and notes how long it took. Pinned, because it is large: by value there would be
/// room for it twice.
pub async fn timed<T>(
    timings: &Timings,
    clock: &Clock,
    work: Pin<&mut impl Future<Output = T>>,
) -> T {
    let began = clock.monotonic();
    let done = work.await;
    timings.note(clock.monotonic().saturating_sub(began));
    done
}

impl App {
    /// Everything that is measured, as text.
    pub async fn measurements(&self) -> String {
        let mut told = Measurements::new();
        told.timings(
            "request_duration_seconds",
            "Time from a request's head to its answer",
            "endpoint",
            [
                ("token", self.metrics.token.timed()),
                ("introspection", self.metrics.introspection.timed()),
                ("gateway", self.metrics.gateway.timed()),
            ],
        );
        let uses = Outcome::ALL.map(|outcome| (outcome.as_str(), self.usage.total(outcome)));
        told.counters(
            "api_key_uses",
            "Exchanges, direct uses and refusals of API keys since the start",
            "outcome",
            &uses,
        );
        self.caches(&mut told);
        let connections = self.store.connections();
        let idle = i64::try_from(connections.idle).unwrap_or(i64::MAX);
        let open = i64::from(connections.open);
        told.gauges(
            "database_connections",
            "Connections of this process to its database",
            "state",
            &[("busy", open - idle), ("idle", idle)],
        );
        told.gauge(
            "database_connections_max",
            "Most connections to the database that there may be",
            connections.most.into(),
        );
        let clock = &self.mint.clock;
        if let Some(tls) = self.metrics.tls.get() {
            tls.tell(&mut told, clock.now());
        }
        let census = self.metrics.census(&self.store, clock).await;
        told.gauge(
            "database_up",
            "Whether the database answers",
            census.is_some().into(),
        );
        if let Some(census) = census {
            self.inventory(&mut told, &census);
        }
        told.into_text()
    }

    fn caches(&self, told: &mut Measurements) {
        let credentials = &self.mint.credentials;
        let lookups = credentials.lookups();
        told.counters(
            "credential_lookups",
            "How often a key was found in memory, and how often the database was asked",
            "result",
            &[("hit", lookups.hits), ("miss", lookups.misses)],
        );
        let whole = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        told.gauge(
            "credentials_held",
            "Keys that are held in memory",
            whole(credentials.held()),
        );
        let silence = self.management.generations.silence();
        told.gauge(
            "changes_silence_milliseconds",
            "Since when nothing is known of what other nodes change",
            i64::try_from(silence.as_millis()).unwrap_or(i64::MAX),
        );
        told.counter(
            "argon2_runs",
            "First uses of keys and new secrets that had their turn at Argon2",
            credentials.runs(),
        );
        told.gauge(
            "argon2_waiting",
            "First uses of keys that wait for their turn at Argon2",
            whole(credentials.waiting()),
        );
    }

    fn inventory(&self, told: &mut Measurements, census: &Census) {
        told.gauge(
            "organizations",
            "Organizations in service",
            census.organizations,
        );
        told.gauge("api_keys", "API keys in force", census.api_keys);
        told.gauges(
            "api_keys_expiring",
            "API keys in force that end within a time",
            "within",
            &[("1d", census.ending_soon), ("7d", census.ending_later)],
        );
        told.gauges(
            "signing_keys",
            "Signing keys that are published",
            "state",
            &[
                ("next", census.next),
                ("active", census.active),
                ("retiring", census.retiring),
            ],
        );
        let interval = self.management.configured.interval();
        if let (Some(interval), Some(since)) = (interval, census.oldest_active) {
            let interval = i64::try_from(interval.as_secs()).unwrap_or(i64::MAX);
            let left = since.saturating_add(interval) - self.mint.clock.now().unix();
            told.gauge(
                "signing_key_rotation_due_seconds",
                "Until the signing key that is in use for longest must have been rotated; less \
                 than 0: rotation does not work",
                left,
            );
        }
    }
}
