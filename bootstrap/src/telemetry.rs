//! The log: text for people on a terminal, one JSON object per line elsewhere, always on the standard error.
//!
//! The standard output belongs to what commands answer.

mod json;
mod text;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{IsTerminal, stderr};
use std::panic::{self, PanicHookInfo};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::prelude::*;

use crate::config::{Log, LogFormat};
use json::JsonLines;
use text::TextFields;

/// What is logged where `RUST_LOG` says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usual {
    /// What a server does.
    Server,
    /// Only what goes wrong: a command answers, and its log is in the way.
    Command,
}

/// Whether the log is meant for a program.
#[must_use]
pub fn is_json(format: LogFormat) -> bool {
    match format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !stderr().is_terminal(),
    }
}

/// Starts the log of this process, panics included. A log that was started before stays.
pub fn init(log: &Log, usual: Usual) {
    let usual = match usual {
        Usual::Server => "info",
        Usual::Command => "warn",
    };
    let filter = EnvFilter::new(log.filter.as_deref().unwrap_or(usual));
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(stderr);
    let started = if is_json(log.format) {
        registry.with(layer.fmt_fields(JsonFields::new()).event_format(JsonLines)).try_init()
    } else {
        registry.with(layer.fmt_fields(TextFields).with_ansi(stderr().is_terminal())).try_init()
    };
    if started.is_ok() {
        panic::set_hook(Box::new(log_panic));
    }
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
