//! One line of JSON per event: `timestamp level target message`, then the fields of the event and of the spans around
//! it, side by side, so that a query for `request_id` finds everything that the request did. What begins with `otel.` is for
//! traces alone.
//!
//! `tracing-subscriber`'s own format leaves the fields of spans in objects of their own.

use std::error::Error;
use std::fmt;

use serde::Serializer;
use serde::ser::SerializeMap;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormattedFields};
use tracing_subscriber::registry::{LookupSpan, Scope};

use super::is_for_traces;
use crate::failure::with_causes;

pub(super) struct JsonLines;

impl<S> FormatEvent<S, JsonFields> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields(Map::new());
        // An inner span, and then the event itself, know better than what is around them.
        for span in context.event_scope().into_iter().flat_map(Scope::from_root) {
            if let Some(of_span) = span.extensions().get::<FormattedFields<JsonFields>>() {
                fields.0.extend(serde_json::from_str::<Map<_, _>>(&of_span.fields).unwrap_or_default());
            }
        }
        event.record(&mut fields);
        writeln!(writer, "{}", line(event, fields.0).map_err(|_| fmt::Error)?)
    }
}

fn line(event: &Event<'_>, mut fields: Map<String, Value>) -> Result<String, Box<dyn Error>> {
    let mut timestamp = String::new();
    SystemTime.format_time(&mut Writer::new(&mut timestamp))?;
    let metadata = event.metadata();
    let message = fields.remove("message");
    let mut line = Vec::with_capacity(256);
    let mut serializer = serde_json::Serializer::new(&mut line);
    let mut map = serializer.serialize_map(None)?;
    map.serialize_entry("timestamp", &timestamp)?;
    map.serialize_entry("level", metadata.level().as_str())?;
    map.serialize_entry("target", metadata.target())?;
    map.serialize_entry("message", &message)?;
    for (name, value) in &fields {
        if !["timestamp", "level", "target"].contains(&name.as_str()) && !is_for_traces(name) {
            map.serialize_entry(name, value)?;
        }
    }
    map.end()?;
    Ok(String::from_utf8(line)?)
}

struct Fields(Map<String, Value>);

impl Fields {
    fn set(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.set(field, with_causes(value));
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
        let layer = tracing_subscriber::fmt::layer()
            .fmt_fields(JsonFields::new())
            .event_format(JsonLines)
            .with_writer(move || writer.clone());
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
