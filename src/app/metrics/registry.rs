//! The text: each measurement with its name, its help and its values.

use std::fmt;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::telemetry::counts::Timed;

/// One label and its value.
type Label = [(&'static str, &'static str); 1];

/// What will be told.
pub(super) struct Measurements(Registry);

/// Histograms of how long things took, by what they are.
#[derive(Debug)]
struct Histograms(Vec<(Label, Timed)>);

impl Measurements {
    pub(super) fn new() -> Self {
        Self(Registry::with_prefix("tenmint"))
    }

    pub(super) fn timings(
        &mut self,
        name: &str,
        help: &str,
        label: &'static str,
        values: impl IntoIterator<Item = (&'static str, Timed)>,
    ) {
        let labelled = values.into_iter().map(|(of, timed)| ([(label, of)], timed));
        self.0.register(name, help, Histograms(labelled.collect()));
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

impl EncodeMetric for Histograms {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for (label, timed) in &self.0 {
            let count = timed.buckets.iter().map(|(_, count)| count).sum();
            let took = timed.took.as_secs_f64();
            encoder
                .encode_family(label)?
                .encode_histogram::<NoLabelSet>(took, count, &timed.buckets, None)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}
