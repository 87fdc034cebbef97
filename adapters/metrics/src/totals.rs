//! [`Totals`]: what every series has come to, as plain data that can be sent, added up and written as text.

use std::collections::BTreeMap;

use prometheus::TextEncoder;
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, MetricFamily, MetricType};
use serde::{Deserialize, Serialize};

use crate::table::{Kind, Metric};

/// Series of one metric that one child may have; what goes beyond is not kept.
const MOST_SERIES: usize = 2000;
/// Series in one report: with long names, some tens of kilobytes.
const SERIES_PER_REPORT: usize = 100;

/// The values of its labels, in the order of the table.
type Labels = Vec<String>;

/// What a series has come to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Value {
    Number(f64),
    /// How many are in each bucket or one before it, how many there are in all, and their sum.
    Distribution(Vec<u64>, u64, f64),
}

/// Some series of one metric, from a process to its supervisor. Each has its value since the process began, so that one
/// report too few, or too many, does no harm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    metric: String,
    series: Vec<(Labels, Value)>,
}

/// Series with their values, by the names of their metrics.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Totals(BTreeMap<&'static str, BTreeMap<Labels, Value>>);

impl Value {
    fn fits(&self, kind: Kind) -> bool {
        match (self, kind) {
            (Self::Number(number), Kind::Counter | Kind::Gauge) => number.is_finite(),
            (Self::Distribution(buckets, _, sum), Kind::Histogram(bounds)) => {
                buckets.len() == bounds.len() && sum.is_finite()
            }
            _ => false,
        }
    }

    /// Adds up what happened; of how things are, the most is kept.
    fn add(&mut self, other: &Self, kind: Kind) {
        match (self, other) {
            (Self::Number(this), Self::Number(other)) if kind == Kind::Gauge => *this = this.max(*other),
            (Self::Number(this), Self::Number(other)) => *this += other,
            (Self::Distribution(buckets, count, sum), Self::Distribution(more, further, other)) => {
                buckets.iter_mut().zip(more).for_each(|(this, other)| *this = this.saturating_add(*other));
                *count = count.saturating_add(*further);
                *sum += other;
            }
            // Kept apart by `fits`.
            (Self::Number(_), Self::Distribution(..)) | (Self::Distribution(..), Self::Number(_)) => {}
        }
    }
}

impl Totals {
    /// What a registry has gathered.
    pub(crate) fn of(families: &[MetricFamily]) -> Self {
        let mut totals = Self::default();
        for family in families {
            let Some(metric) = Metric::find(family.name()) else { continue };
            for series in family.get_metric() {
                let pairs = series.get_label();
                let value = |name: &&str| {
                    pairs.iter().find(|pair| pair.name() == *name).map_or("", LabelPair::value).to_owned()
                };
                let labels = metric.labels.iter().map(value).collect();
                totals.put(metric, labels, value_of(series, metric.kind));
            }
        }
        totals
    }

    /// Sets a series.
    pub(crate) fn put(&mut self, metric: &Metric, labels: Labels, value: Value) {
        if let Some(metric) = Metric::find(metric.name)
            && labels.len() == metric.labels.len()
            && value.fits(metric.kind)
        {
            self.0.entry(metric.name).or_default().insert(labels, value);
        }
    }

    /// Takes over what a report says, as far as it makes sense: whoever can write to the line could have sent it.
    pub(crate) fn hear(&mut self, report: Report) {
        let Some(metric) = Metric::find(&report.metric) else { return };
        for (labels, value) in report.series {
            let known = self.0.get(metric.name);
            let is_full = known.is_some_and(|it| it.len() >= MOST_SERIES && !it.contains_key(&labels));
            if !is_full {
                self.put(metric, labels, value);
            }
        }
    }

    /// All of it, in parts that can be sent.
    pub(crate) fn reports(&self) -> Vec<Report> {
        let mut reports = Vec::new();
        for (metric, series) in &self.0 {
            let all: Vec<_> = series.iter().map(|(labels, value)| (labels.clone(), value.clone())).collect();
            let part = |part: &[_]| Report { metric: (*metric).to_owned(), series: part.to_vec() };
            reports.extend(all.chunks(SERIES_PER_REPORT).map(part));
        }
        reports
    }

    /// Adds what another process has come to.
    pub(crate) fn add(&mut self, other: &Self) {
        for (name, series) in &other.0 {
            let Some(metric) = Metric::find(name) else { continue };
            let mine = self.0.entry(metric.name).or_default();
            for (labels, value) in series {
                match mine.get_mut(labels) {
                    Some(this) => this.add(value, metric.kind),
                    None => drop(mine.insert(labels.clone(), value.clone())),
                }
            }
        }
    }

    /// Without how things are: of a process that is gone, only what happened still counts.
    pub(crate) fn without_gauges(mut self) -> Self {
        self.0.retain(|name, _| Metric::find(name).is_some_and(|metric| metric.kind != Kind::Gauge));
        self
    }

    /// In the text format of Prometheus.
    pub(crate) fn text(&self) -> String {
        let families: Vec<_> = self.0.iter().filter_map(|(name, series)| family(name, series)).collect();
        TextEncoder::new().encode_to_string(&families).unwrap_or_else(|error| {
            tracing::error!(%error, "the metrics cannot be written");
            String::new()
        })
    }
}

fn value_of(series: &prometheus::proto::Metric, kind: Kind) -> Value {
    match kind {
        Kind::Counter => Value::Number(series.get_counter().get_value()),
        Kind::Gauge => Value::Number(series.get_gauge().get_value()),
        Kind::Histogram(bounds) => {
            let histogram = series.get_histogram();
            let buckets = histogram.get_bucket().iter().take(bounds.len()).map(Bucket::cumulative_count);
            Value::Distribution(buckets.collect(), histogram.get_sample_count(), histogram.get_sample_sum())
        }
    }
}

fn family(name: &str, series: &BTreeMap<Labels, Value>) -> Option<MetricFamily> {
    let metric = Metric::find(name).filter(|_| !series.is_empty())?;
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(metric.help.to_owned());
    family.set_field_type(match metric.kind {
        Kind::Counter => MetricType::COUNTER,
        Kind::Gauge => MetricType::GAUGE,
        Kind::Histogram(_) => MetricType::HISTOGRAM,
    });
    family.set_metric(series.iter().map(|(labels, value)| one(metric, labels, value)).collect());
    Some(family)
}

fn one(metric: &Metric, labels: &Labels, value: &Value) -> prometheus::proto::Metric {
    let pairs = metric.labels.iter().zip(labels).map(|(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value(value.clone());
        pair
    });
    let mut series = prometheus::proto::Metric::from_label(pairs.collect());
    match (value, metric.kind) {
        (Value::Number(number), Kind::Counter) => {
            let mut counter = Counter::default();
            counter.set_value(*number);
            series.set_counter(counter);
        }
        (Value::Number(number), _) => {
            let mut gauge = Gauge::default();
            gauge.set_value(*number);
            series.set_gauge(gauge);
        }
        (Value::Distribution(buckets, count, sum), kind) => {
            let bounds = if let Kind::Histogram(bounds) = kind { bounds } else { &[] };
            let mut histogram = Histogram::default();
            histogram.set_bucket(
                bounds.iter().zip(buckets).map(|(bound, count)| bucket(*bound, *count)).collect(),
            );
            histogram.set_sample_count(*count);
            histogram.set_sample_sum(*sum);
            series.set_histogram(histogram);
        }
    }
    series
}

fn bucket(bound: f64, count: u64) -> Bucket {
    let mut bucket = Bucket::default();
    bucket.set_upper_bound(bound);
    bucket.set_cumulative_count(count);
    bucket
}
