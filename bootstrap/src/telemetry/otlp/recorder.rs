//! [`Recorder`]: makes spans of a trace from spans of `tracing`.
//!
//! It does not use the tracer of the SDK: requests and tries choose their identities themselves, so that jobs carry them
//! whether or not anybody records.

use std::time::SystemTime;

use opentelemetry::trace::{Event as SpanEvent, SpanContext, SpanKind, Status, TraceFlags, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue, SpanId, TraceId};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use portwright_application::trace::begin;
use portwright_domain::TraceContext;
use portwright_domain::trace::Sampler;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use super::exporter::Inbox;
use super::fields::Fields;

/// The most events of a span.
const MOST_EVENTS: usize = 32;

/// Hands over each sampled span when it has ended.
pub(super) struct Recorder {
    inbox: Inbox,
    scope: InstrumentationScope,
}

/// A span that has not ended.
struct Open {
    place: TraceContext,
    parent: Option<portwright_domain::trace::SpanId>,
    /// Whether the parent is in this process.
    is_inner: bool,
    began: SystemTime,
    fields: Fields,
    events: Vec<SpanEvent>,
    dropped_events: u32,
}

impl Recorder {
    pub(super) fn new(inbox: Inbox) -> Self {
        let scope =
            InstrumentationScope::builder("portwright").with_version(env!("CARGO_PKG_VERSION")).build();
        Self { inbox, scope }
    }

    fn finished(&self, open: Open, usual_name: &'static str) -> SpanData {
        let Open { place, parent, is_inner, began, fields, events, dropped_events } = open;
        let state = place.state.as_ref().and_then(|state| state.as_str().parse().ok());
        let context = SpanContext::new(
            TraceId::from_bytes(place.trace_id.0.get().to_be_bytes()),
            SpanId::from_bytes(place.span_id.0.get().to_be_bytes()),
            TraceFlags::SAMPLED,
            false,
            state.unwrap_or(TraceState::NONE),
        );
        let mut noted = SpanEvents::default();
        (noted.events, noted.dropped_count) = (events, dropped_events);
        SpanData {
            span_context: context,
            parent_span_id: parent.map_or(SpanId::INVALID, |id| SpanId::from_bytes(id.0.get().to_be_bytes())),
            parent_span_is_remote: parent.is_some() && !is_inner,
            span_kind: fields.kind.clone().unwrap_or(SpanKind::Internal),
            name: name_of(&fields).map_or(usual_name.into(), Into::into),
            start_time: began,
            end_time: now(),
            status: if fields.has("error.type") { Status::error("") } else { Status::Unset },
            attributes: fields.attributes,
            dropped_attributes_count: fields.dropped,
            events: noted,
            links: SpanLinks::default(),
            instrumentation_scope: self.scope.clone(),
        }
    }
}

impl<S> Layer<S> for Recorder
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let (place, parent, is_inner) = match fields.place.take() {
            Some(place) if !place.is_sampled => return,
            Some(place) => (place.with_state(fields.state.take()), fields.parent, false),
            None => {
                let Some(around) = span.parent() else { return };
                let extensions = around.extensions();
                let Some(around) = extensions.get::<Open>() else { return };
                let place = begin(Sampler::OFF, Some(&around.place));
                (place, Some(around.place.span_id), true)
            }
        };
        let (events, began) = (Vec::new(), now());
        let open = Open { place, parent, is_inner, began, fields, events, dropped_events: 0 };
        span.extensions_mut().insert(open);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(open) = span.extensions_mut().get_mut::<Open>() {
            values.record(&mut open.fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let Some(span) = context.event_span(event) else { return };
        let mut extensions = span.extensions_mut();
        let Some(open) = extensions.get_mut::<Open>() else { return };
        if open.events.len() >= MOST_EVENTS {
            open.dropped_events += 1;
            return;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        let level = KeyValue::new("level", event.metadata().level().as_str());
        fields.attributes.push(level);
        let name = fields.message.unwrap_or_else(|| event.metadata().name().to_owned());
        open.events.push(SpanEvent::new(name, now(), fields.attributes, fields.dropped));
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let open = span.extensions_mut().remove::<Open>();
        if let Some(open) = open {
            self.inbox.take(self.finished(open, span.name()));
        }
    }
}

/// As the conventions name spans: `GET /users/{id}`, `process cpu`.
fn name_of(fields: &Fields) -> Option<String> {
    let joined = |first: &str, second: &str| {
        let first = fields.text(first)?;
        Some(fields.text(second).map_or_else(|| first.clone(), |second| format!("{first} {second}")))
    };
    fields
        .name
        .clone()
        .or_else(|| joined("http.request.method", "http.route"))
        .or_else(|| joined("messaging.operation.name", "messaging.destination.name"))
}

#[expect(
    clippy::disallowed_methods,
    reason = "a trace of several processes is put together by their hosts' time"
)]
fn now() -> SystemTime {
    SystemTime::now()
}
