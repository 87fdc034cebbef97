//! [`Exposition`]: the text that Prometheus comes for.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use portwright_domain::PortError;
use tokio::time::timeout;

use crate::metrics::Metrics;
use crate::table::{Metric, name};
use crate::totals::{Totals, Value};

/// How long a source may take; Prometheus itself gives up after ten seconds.
const PATIENCE: Duration = Duration::from_millis(500);

/// Something that is asked at each scrape, because it knows how things are now.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// What it is called in `scrape_source_up`.
    fn name(&self) -> &'static str;

    /// How things are. Without an answer within half a second, the scrape goes on without.
    ///
    /// # Errors
    /// If that cannot be told; its series are missing then.
    async fn read(&self) -> Result<Readings, PortError>;
}

/// What a source says.
#[derive(Debug, Default)]
pub struct Readings(Vec<(&'static Metric, Vec<String>, f64)>);

impl Readings {
    /// Adds a value, with the labels in the order of the table. One with other labels than that is left out.
    #[must_use]
    pub fn with(mut self, metric: &'static Metric, labels: &[&str], value: f64) -> Self {
        self.0.push((metric, labels.iter().map(|&label| label.to_owned()).collect(), value));
        self
    }
}

/// Everything that is known, at each scrape.
pub struct Exposition {
    metrics: Arc<Metrics>,
    sources: Vec<Arc<dyn Source>>,
}

impl Exposition {
    /// What was observed, and what these sources say.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>, sources: Vec<Arc<dyn Source>>) -> Self {
        Self { metrics, sources }
    }

    /// In the text format of Prometheus (version 0.0.4). Never fails, and takes half a second at most: a source that does
    /// not answer is named by `scrape_source_up`.
    pub async fn text(&self) -> String {
        let answers = self.sources.iter().map(async |source| {
            let answer = timeout(PATIENCE, source.read()).await;
            (source.name(), answer.ok().and_then(Result::ok))
        });
        let answers = join_all(answers).await;
        let mut totals = self.metrics.totals();
        for (source, readings) in answers {
            let up = if readings.is_some() { 1.0 } else { 0.0 };
            let readings = readings.unwrap_or_default().with(&name::SOURCE_UP, &[source], up);
            enter(readings, &mut totals);
        }
        totals.text()
    }
}

fn enter(readings: Readings, totals: &mut Totals) {
    for (metric, labels, value) in readings.0 {
        totals.put(metric, labels, Value::Number(value));
    }
}
