//! Traces for a collector (OTLP over HTTP, protobuf).
//!
//! ```text
//!  spans of `tracing` ──► Recorder ──► at most 2,048 spans ──► a thread of its own ──► collector
//!                                        └ full: dropped, counted          └ away: dropped, counted
//! ```
//! Whoever serves or works never waits for a collector: spans are handed over or dropped, and the thread has a runtime of
//! its own. What is dropped is said once per outage, and once more with its number when the collector answers again.
//!
//! A span is recorded if it says where it stands in a trace that is sampled (`otel.trace`), or is within one that is.

mod exporter;
mod fields;
mod recorder;
mod sender;

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanExporter as _;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Filter, Layer};
use tracing_subscriber::registry::LookupSpan;

use self::exporter::Exporter;
use self::recorder::Recorder;
use self::sender::Sender;
use crate::config::Tracing;
use crate::exit::Exit;
use crate::failure::{Failure, Problem};

/// How long the end of a process may take for the last spans.
const LAST_EXPORT: Duration = Duration::from_secs(2);

/// Exports until it is dropped, and then what is left.
#[derive(Debug)]
pub(super) struct Export(Exporter);

impl Export {
    /// Begins to export to the collector, if there is one.
    ///
    /// # Errors
    /// If the collector cannot be one: its URL, the headers, or no authorities that vouch for it.
    pub(super) fn start(tracing: &Tracing) -> Result<Option<Self>, Failure> {
        let Some(collector) = &tracing.collector else { return Ok(None) };
        let unusable = |why: String| {
            let problem = Problem::new(format!("traces cannot be exported to {collector} ({why})"));
            Failure::new(
                Exit::Config,
                problem.fix("correct the variables OTEL_EXPORTER_OTLP_*, or remove them"),
            )
        };
        let sender = Sender::new(collector, tracing.timeout).map_err(|why| unusable(why.to_string()))?;
        let headers = tracing.headers.iter().map(|(name, value)| (name.clone(), value.expose().to_owned()));
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(sender)
            .with_endpoint(collector)
            .with_headers(headers.collect())
            .with_timeout(tracing.timeout)
            .build();
        let mut exporter = exporter.map_err(|error| unusable(error.to_string()))?;
        exporter.set_resource(&resource(tracing));
        let exporter = Exporter::start(exporter).map_err(|error| unusable(error.to_string()))?;
        Ok(Some(Self(exporter)))
    }

    /// What hands spans over.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        Recorder::new(self.0.inbox()).with_filter(ours())
    }
}

impl Drop for Export {
    fn drop(&mut self) {
        self.0.end(LAST_EXPORT);
    }
}

/// Our own spans, whatever the log leaves out, and what goes wrong within them.
fn ours<S>() -> impl Filter<S> {
    let is_ours = |it: &Metadata<'_>| {
        let level = if it.is_span() { Level::DEBUG } else { Level::WARN };
        it.target().starts_with("portwright") && *it.level() <= level
    };
    filter_fn(is_ours).with_max_level_hint(Level::DEBUG)
}

/// Who we are. What the operator says wins.
fn resource(tracing: &Tracing) -> Resource {
    let given = tracing.attributes.iter().map(|(name, value)| KeyValue::new(name.clone(), value.clone()));
    Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("process.pid", i64::from(std::process::id())),
        ])
        .with_attributes(given)
        .with_service_name(tracing.service_name.clone())
        .build()
}
