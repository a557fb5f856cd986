//! The text: each measurement with its name, its help and its values.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// One label and its value.
type Label = [(&'static str, &'static str); 1];

/// Histograms of how long things take, by what they are.
pub(super) type Timings = Family<Label, Histogram, fn() -> Histogram>;

/// What will be told.
pub(super) struct Measurements(Registry);

/// Nothing timed yet.
pub(super) fn timings() -> Timings {
    Family::new_with_constructor(|| {
        // From a warm exchange to one that waited for its turn at Argon2, in seconds.
        Histogram::new([
            0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0,
            5.0,
        ])
    })
}

impl Measurements {
    pub(super) fn new() -> Self {
        Self(Registry::with_prefix("tenmint"))
    }

    pub(super) fn timings(&mut self, name: &str, help: &str, timings: &Timings) {
        self.0.register(name, help, timings.clone());
    }

    /// Counts that only grow: `_total` is added to their name.
    pub(super) fn counters(
        &mut self,
        name: &str,
        help: &str,
        label: &'static str,
        values: &[(&'static str, u64)],
    ) {
        let family = Family::<Label, Counter<u64, AtomicU64>>::default();
        for (of, value) in values {
            family.get_or_create(&[(label, *of)]).inc_by(*value);
        }
        self.0.register(name, help, family);
    }

    /// A count that only grows: `_total` is added to its name.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) {
        let counter = Counter::<u64, AtomicU64>::default();
        counter.inc_by(value);
        self.0.register(name, help, counter);
    }

    pub(super) fn gauges(
        &mut self,
        name: &str,
        help: &str,
        label: &'static str,
        values: &[(&'static str, i64)],
    ) {
        let family = Family::<Label, Gauge>::default();
        for (of, value) in values {
            family.get_or_create(&[(label, *of)]).set(*value);
        }
        self.0.register(name, help, family);
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str, value: i64) {
        let gauge = Gauge::<i64>::default();
        gauge.set(value);
        self.0.register(name, help, gauge);
    }

    pub(super) fn into_text(self) -> String {
        let mut text = String::new();
        text::encode(&mut text, &self.0).expect("memory takes every text");
        text
    }
}
