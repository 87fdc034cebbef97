//! One line of JSON per event: `timestamp level target message`, then the fields of the event and of the spans around
//! it, side by side, so that a query for `request_id` finds everything that the request did. What begins with `otel.` is for
//! traces alone.
//!
//! `tracing-subscriber`'s own format leaves the fields of spans in objects of their own. It also keeps them as text, which
//! is read and written anew for each field that is recorded later, and once more for each line.

use std::error::Error;
use std::fmt;
use std::io::Write;

use serde::Serializer;
use serde::ser::SerializeMap;
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::{LookupSpan, Scope};

use super::is_for_traces;
use crate::failure::with_causes;

/// Writes each line at once.
pub(super) struct JsonLines<W> {
    writer: W,
}

impl<W> JsonLines<W> {
    pub(super) const fn to(writer: W) -> Self {
        Self { writer }
    }
}

impl<S, W> Layer<S> for JsonLines<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        // An inner span, and then the event itself, know better than what is around them.
        for span in context.event_scope(event).into_iter().flat_map(Scope::from_root) {
            if let Some(of_span) = span.extensions().get::<Fields>() {
                of_span.0.iter().for_each(|(name, value)| fields.set(name, value.clone()));
            }
        }
        event.record(&mut fields);
        if let Ok(line) = line(event, fields) {
            // Nobody is left to hear of it if that fails.
            let _ = self.writer.make_writer().write_all(&line);
        }
    }
}

fn line(event: &Event<'_>, Fields(mut fields): Fields) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut timestamp = String::new();
    SystemTime.format_time(&mut Writer::new(&mut timestamp))?;
    let metadata = event.metadata();
    let message = fields.iter().position(|(name, _)| *name == "message").map(|at| fields.remove(at).1);
    let mut line = Vec::with_capacity(512);
    let mut serializer = serde_json::Serializer::new(&mut line);
    let mut map = serializer.serialize_map(None)?;
    map.serialize_entry("timestamp", &timestamp)?;
    map.serialize_entry("level", metadata.level().as_str())?;
    map.serialize_entry("target", metadata.target())?;
    map.serialize_entry("message", &message)?;
    for (name, value) in &fields {
        if !["timestamp", "level", "target"].contains(name) {
            map.serialize_entry(name, value)?;
        }
    }
    map.end()?;
    line.push(b'\n');
    Ok(line)
}

/// Names and values, as they came; a name has one value, the last.
#[derive(Default)]
struct Fields(Vec<(&'static str, Value)>);

impl Fields {
    fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        if is_for_traces(name) {
            return;
        }
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value.into(),
            None => self.0.push((name, value.into())),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if !is_for_traces(field.name()) {
            self.set(field.name(), format!("{value:?}"));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field.name(), value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field.name(), value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.set(field.name(), with_causes(value));
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::prelude::*;

    use super::*;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("whole").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines that this code logs.
    fn logged(code: impl FnOnce()) -> String {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let layer = JsonLines::to(move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), code);
        let bytes = buffer.0.lock().expect("whole").clone();
        String::from_utf8(bytes).expect("UTF-8")
    }

    #[test]
    fn fields_of_the_event_and_its_spans_stand_side_by_side() {
        let text = logged(|| {
            let request = tracing::info_span!(
                "request",
                request_id = "r-1",
                user_id = tracing::field::Empty,
                otel.kind = "server",
                depth = 1
            );
            let _request = request.enter();
            request.record("user_id", "u-1");
            let _inner = tracing::info_span!("inner", depth = 2).entered();
            tracing::warn!(
                duration_ms = 1.5,
                "error.type" = "unavailable",
                retried = true,
                tries = 3,
                "slow {}",
                "disk"
            );
        });
        let line: Value = serde_json::from_str(&text).expect("one line of JSON");
        assert!(text.starts_with("{\"timestamp\":\"20"), "{text}");
        for (name, value) in [
            ("level", Value::from("WARN")),
            ("target", module_path!().into()),
            ("message", "slow disk".into()),
            ("request_id", "r-1".into()),
            ("user_id", "u-1".into()),
            ("depth", 2.into()),
            ("duration_ms", 1.5.into()),
            ("error.type", "unavailable".into()),
            ("retried", true.into()),
            ("tries", 3.into()),
        ] {
            assert_eq!(line[name], value, "{name} in {text}");
        }
        assert!(!text.contains("otel"), "{text}");
    }

    #[test]
    fn nothing_that_is_logged_can_forge_a_line() {
        let text =
            logged(|| tracing::info!(name = "a\n{\"level\":\"ERROR\"}", level = "forged", "hello\r\nworld"));
        assert_eq!(text.lines().count(), 1);
        let line: Value = serde_json::from_str(&text).expect("one line of JSON");
        assert_eq!(line["level"], "INFO");
        assert_eq!(text.matches("\"level\":").count(), 1, "{text}");
    }

    #[test]
    fn an_error_tells_its_causes() {
        let cause = io::Error::other("no space");
        let error = portwright_domain::PortError::new(
            portwright_domain::ErrorKind::Unavailable,
            "store.begin",
            "full",
        )
        .with_source(cause);
        let text = logged(|| tracing::error!(error = &error as &dyn Error, "failed"));
        assert!(text.contains("no space"), "{text}");
    }

    #[test]
    fn a_panic_is_an_event_with_its_place() {
        let text = logged(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(crate::telemetry::log_panic));
            let _ = std::panic::catch_unwind(|| panic!("the cat is on the keyboard"));
            std::panic::set_hook(before);
        });
        let line: Value = serde_json::from_str(&text).expect("one line of JSON");
        assert_eq!(line["message"], "panicked: the cat is on the keyboard");
        assert_eq!(line["error.type"], "panic");
        assert!(line["location"].as_str().expect("a place").contains("json.rs:"), "{text}");
    }
}
