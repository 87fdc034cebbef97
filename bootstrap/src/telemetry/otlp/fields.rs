//! [`Fields`]: what the fields of a span or an event of `tracing` mean for a trace.

use std::error::Error;
use std::fmt;
use std::num::NonZeroU64;

use opentelemetry::trace::SpanKind;
use opentelemetry::{Key, KeyValue, Value};
use portwright_domain::TraceContext;
use portwright_domain::trace::{SpanId, TraceState};
use tracing::field::{Field, Visit};

use crate::failure::with_causes;
use crate::telemetry::is_for_traces;

/// The longest text of an attribute, in bytes.
const LONGEST: usize = 1_024;
/// The most attributes of a span.
const MOST: usize = 64;

/// Our names in the log that have others in OpenTelemetry.
const RENAMED: [(&str, &str); 2] = [("job_id", "messaging.message.id"), ("user_id", "user.id")];

/// What was said so far.
#[derive(Debug, Default)]
pub(super) struct Fields {
    /// Where the span stands, if it says so.
    pub(super) place: Option<TraceContext>,
    /// What it says came before it.
    pub(super) parent: Option<SpanId>,
    pub(super) state: Option<TraceState>,
    pub(super) kind: Option<SpanKind>,
    pub(super) name: Option<String>,
    pub(super) message: Option<String>,
    pub(super) attributes: Vec<KeyValue>,
    pub(super) dropped: u32,
}

impl Fields {
    /// The text of an attribute.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        let attribute = self.attributes.iter().find(|it| it.key.as_str() == name)?;
        Some(attribute.value.as_str().into_owned())
    }

    /// Whether there is such an attribute.
    pub(super) fn has(&self, name: &str) -> bool {
        self.attributes.iter().any(|it| it.key.as_str() == name)
    }

    fn say(&mut self, field: &Field, text: &str) {
        match field.name() {
            "message" => self.message = Some(shortened(text)),
            // Every span says so already.
            "trace_id" => {}
            "otel.trace" => self.place = TraceContext::parse(text),
            "otel.parent" => self.parent = span_id(text),
            "otel.state" => self.state = TraceState::parse(text),
            "otel.name" => self.name = Some(shortened(text)),
            "otel.kind" => self.kind = kind(text),
            _ => self.set(field, shortened(text)),
        }
    }

    fn set(&mut self, field: &Field, value: impl Into<Value>) {
        let name = field.name();
        let renamed = RENAMED.iter().find(|(ours, _)| *ours == name).map(|(_, theirs)| *theirs);
        let name = if is_for_traces(name) { name.get("otel.".len()..) } else { renamed.or(Some(name)) };
        let attribute = KeyValue::new(Key::from_static_str(name.unwrap_or_default()), value);
        if let Some(known) = self.attributes.iter_mut().find(|it| it.key == attribute.key) {
            *known = attribute;
        } else if self.attributes.len() < MOST {
            self.attributes.push(attribute);
        } else {
            self.dropped += 1;
        }
    }
}

fn span_id(text: &str) -> Option<SpanId> {
    NonZeroU64::new(u64::from_str_radix(text, 16).ok()?).map(SpanId)
}

fn kind(text: &str) -> Option<SpanKind> {
    let kinds =
        [("server", SpanKind::Server), ("client", SpanKind::Client), ("consumer", SpanKind::Consumer)];
    kinds.into_iter().find(|(name, _)| *name == text).map(|(_, kind)| kind)
}

fn shortened(text: &str) -> String {
    text.get(..text.floor_char_boundary(LONGEST)).unwrap_or_default().to_owned()
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.say(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.say(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match i64::try_from(value) {
            Ok(value) => self.set(field, value),
            Err(_) => self.set(field, value.to_string()),
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.say(field, &with_causes(value));
    }
}
