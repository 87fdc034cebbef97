//! The log: text for people on a terminal, one JSON object per line elsewhere, always on the standard error. The standard
//! output belongs to what commands answer.
//!
//! Traces go to a collector, if there is one and the program is built with the feature `otlp`.

mod json;
#[cfg(feature = "otlp")]
mod otlp;
mod text;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{IsTerminal, stderr};
use std::panic::{self, PanicHookInfo};

use tracing::Subscriber;
use tracing_subscriber::layer::{Identity, Layer};
use tracing_subscriber::prelude::*;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Registry, registry};

use crate::config::{Config, Log, LogFormat};
use crate::failure::Failure;
use json::JsonLines;
use text::TextFields;

/// What is logged where `RUST_LOG` says nothing: what a server does,
const OF_SERVERS: &str = "info";
/// and of other commands only what goes wrong: a command answers, and its log is in the way.
const OF_COMMANDS: &str = "warn";

/// Whether the log is meant for a program.
#[must_use]
pub fn is_json(format: LogFormat) -> bool {
    match format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !stderr().is_terminal(),
    }
}

/// What runs beside the log. To be dropped when nothing is logged any more: what is left of traces is exported then, as
/// far as two seconds suffice.
#[derive(Debug, Default)]
#[must_use = "traces are exported as long as it is there"]
pub struct Telemetry {
    #[cfg(feature = "otlp")]
    _export: Option<otlp::Export>,
}

/// Starts the log of a command, panics included. A log that was started before stays.
pub fn init(log: &Log) {
    start(log, OF_COMMANDS, None::<Identity>);
}

/// Starts the log of a server or a worker, and the export of its traces if it is built to export them.
///
/// # Errors
/// If traces cannot be exported to where they should go.
pub fn serve(config: &Config) -> Result<Telemetry, Failure> {
    #[cfg(feature = "otlp")]
    {
        let export = otlp::Export::start(&config.tracing)?;
        start(&config.log, OF_SERVERS, export.as_ref().map(otlp::Export::layer));
        Ok(Telemetry { _export: export })
    }
    #[cfg(not(feature = "otlp"))]
    {
        start(&config.log, OF_SERVERS, None::<Identity>);
        if config.tracing.collector.is_some() {
            tracing::warn!("traces are not exported: this program is built without the feature otlp");
        }
        Ok(Telemetry {})
    }
}

fn start(log: &Log, usual: &str, traces: Option<impl Layer<Registry> + Send + Sync>) {
    let filter = EnvFilter::new(log.filter.as_deref().unwrap_or(usual));
    let started = match traces {
        // Each sees what it is meant to see.
        Some(traces) => registry().with(traces).with(lines(log.format).with_filter(filter)).try_init(),
        None => registry().with(filter).with(lines(log.format)).try_init(),
    };
    if started.is_ok() {
        panic::set_hook(Box::new(log_panic));
    }
}

/// Writes the lines.
fn lines<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    if is_json(format) {
        return JsonLines::to(stderr).boxed();
    }
    let layer = tracing_subscriber::fmt::layer().with_writer(stderr);
    layer.fmt_fields(TextFields).with_ansi(stderr().is_terminal()).boxed()
}

/// Whether a field of a span is for traces, and in no log.
fn is_for_traces(field: &str) -> bool {
    field.starts_with("otel.")
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("a panic without words");
    let location = panic.location().map(ToString::to_string);
    let thread = std::thread::current();
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    tracing::error!(
        "error.type" = "panic",
        location,
        thread = thread.name(),
        backtrace,
        "panicked: {message}"
    );
}
