//! The text of a page: series by metric, in the format that was asked for. It counts nothing.

use std::collections::BTreeMap;
use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::{encode, encode_registry};
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::catalogue::{Counter, Gauge, Histogram, MetricDeclaration, MetricKind};
use super::timing::TimingCounts;
use crate::mail::UnixMillis;

/// The format of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageFormat {
    /// The text format of Prometheus, version 0.0.4.
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl PageFormat {
    /// What a client that sends this Accept header is given.
    #[must_use]
    pub fn of_accept(accept: &str) -> Self {
        let wanted = accept.split(',').any(|range| {
            let mut parts = range.split(';').map(str::trim);
            let names_it =
                parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/openmetrics-text"));
            let refused = |part: &str| {
                let weight = part.strip_prefix("q=").and_then(|weight| weight.parse::<f32>().ok());
                weight.is_some_and(|weight| weight <= 0.0)
            };
            names_it && !parts.any(refused)
        });
        if wanted { Self::OpenMetrics } else { Self::Text }
    }

    /// The value of Content-Type.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The series of all metrics.
#[derive(Debug, Default)]
pub(super) struct MetricsPage(BTreeMap<&'static str, MetricFamily>);

#[derive(Debug)]
struct MetricFamily {
    declared: MetricDeclaration,
    series: Vec<Series>,
}

#[derive(Debug)]
struct Series {
    labels: Vec<(&'static str, String)>,
    value: SeriesValue,
}

#[derive(Debug)]
enum SeriesValue {
    Count(u64),
    Seconds(f64),
    Level(i64),
    LevelSeconds(f64),
    Timing(TimingCounts),
}

impl MetricsPage {
    pub(super) fn count<const N: usize>(&mut self, metric: &Counter<N>, labels: [&str; N], value: u64) {
        self.add(metric.0, labels, SeriesValue::Count(value));
    }

    /// A count of seconds.
    pub(super) fn count_seconds<const N: usize>(
        &mut self,
        metric: &Counter<N>,
        labels: [&str; N],
        value: f64,
    ) {
        self.add(metric.0, labels, SeriesValue::Seconds(value));
    }

    pub(super) fn level<const N: usize>(&mut self, metric: &Gauge<N>, labels: [&str; N], value: u64) {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        self.add(metric.0, labels, SeriesValue::Level(value));
    }

    /// A level of seconds with fractions.
    pub(super) fn level_seconds<const N: usize>(&mut self, metric: &Gauge<N>, labels: [&str; N], value: f64) {
        self.add(metric.0, labels, SeriesValue::LevelSeconds(value));
    }

    /// A moment, in whole seconds of Unix time.
    pub(super) fn moment<const N: usize>(&mut self, metric: &Gauge<N>, labels: [&str; N], at: UnixMillis) {
        self.add(metric.0, labels, SeriesValue::Level(at.0.div_euclid(1_000)));
    }

    pub(super) fn timing<const N: usize>(
        &mut self,
        metric: &Histogram<N>,
        labels: [&str; N],
        counts: TimingCounts,
    ) {
        if counts.count > 0 {
            self.add(metric.0, labels, SeriesValue::Timing(counts));
        }
    }

    fn add<const N: usize>(&mut self, declared: MetricDeclaration, labels: [&str; N], value: SeriesValue) {
        let labels = declared.labels.iter().copied().zip(labels.map(str::to_owned)).collect();
        let family =
            self.0.entry(declared.name).or_insert_with(|| MetricFamily { declared, series: Vec::new() });
        family.series.push(Series { labels, value });
    }

    /// The text of all series.
    pub(super) fn text(self, format: PageFormat) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(WrittenPage { page: self, format }));
        let mut text = String::new();
        let written = match format {
            PageFormat::Text => encode_registry(&mut text, &registry),
            PageFormat::OpenMetrics => encode(&mut text, &registry),
        };
        // Writing to a String does not fail.
        if written.is_err() {
            text.clear();
        }
        text
    }
}

/// A page on its way to text.
struct WrittenPage {
    page: MetricsPage,
    format: PageFormat,
}

impl fmt::Debug for WrittenPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WrittenPage").field("format", &self.format).finish_non_exhaustive()
    }
}

impl Collector for WrittenPage {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for family in self.page.0.values() {
            let MetricDeclaration { name, kind, help, .. } = family.declared;
            let kind_of = match kind {
                MetricKind::Counter => MetricType::Counter,
                MetricKind::Gauge => MetricType::Gauge,
                MetricKind::Histogram => MetricType::Histogram,
            };
            // In the older format the name of a counter is that of its samples.
            let total = (self.format == PageFormat::Text && kind == MetricKind::Counter)
                .then(|| format!("{name}_total"));
            let name = total.as_deref().unwrap_or(name);
            let mut metric = encoder.encode_descriptor(name, help, None, kind_of)?;
            match family.series.as_slice() {
                [only] if only.labels.is_empty() => self.write(&only.value, metric)?,
                all => {
                    for series in all {
                        self.write(&series.value, metric.encode_family(&series.labels)?)?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl WrittenPage {
    fn write(&self, value: &SeriesValue, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        match (value, self.format) {
            (SeriesValue::Count(count), PageFormat::OpenMetrics) => ConstCounter::new(*count).encode(encoder),
            (SeriesValue::Count(count), PageFormat::Text) => ConstGauge::new(*count).encode(encoder),
            (SeriesValue::Seconds(sum), PageFormat::OpenMetrics) => ConstCounter::new(*sum).encode(encoder),
            (SeriesValue::Seconds(sum), PageFormat::Text) => ConstGauge::new(*sum).encode(encoder),
            (SeriesValue::Level(level), _) => ConstGauge::new(*level).encode(encoder),
            (SeriesValue::LevelSeconds(level), _) => ConstGauge::new(*level).encode(encoder),
            (SeriesValue::Timing(TimingCounts { buckets, sum, count }), _) => {
                encoder.encode_histogram::<NoLabelSet>(*sum, *count, buckets, None)
            }
        }
    }
}
