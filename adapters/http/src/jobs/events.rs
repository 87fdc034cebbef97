//! A job as a stream of server-sent events (HTML standard, section 9.2), one for each state that it is seen in.
//!
//! The id of an event is a digest of what it shows. So there is no history to keep, on any server: a client that comes back
//! with the id of the present state waits for the next one, and any other gets the present state at once.
//!
//! A stream ends with the job, with the session of whoever follows it, when the server stops, and after
//! [`LONGEST`]; a client that still wants to know comes back by itself.

use std::fmt::Write;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures::{Stream, stream};
use poem::{Body, IntoResponse, Request, Response};
use poem_openapi::payload::Payload;
use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use portwright_application::{Jobs, Sessions};
use portwright_domain::access::Principal;
use portwright_domain::job::Job;
use ring::digest::{SHA256, digest};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::body::JobBody;
use super::streams::Place;

/// The header with which a client says what it has seen.
pub(crate) const LAST_EVENT_ID: &str = "Last-Event-ID";

/// How often a stream without news says that it is there, and looks whether its caller may still follow.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// The longest stream.
const LONGEST: Duration = Duration::from_mins(10);

/// A comment, which clients skip.
const COMMENT: Bytes = Bytes::from_static(b":\n\n");

/// One state of a job, as it is told.
struct Event {
    id: String,
    text: String,
}

impl Event {
    fn of(job: Job) -> Self {
        let data = serde_json::to_string(&JobBody::from(job)).unwrap_or_default();
        let hash = digest(&SHA256, data.as_bytes());
        let id = URL_SAFE_NO_PAD.encode(hash.as_ref().get(..12).unwrap_or_default());
        let mut text = format!("id: {id}\nevent: job\n");
        // What a task wrote may have line breaks between its members.
        for line in data.split(['\n', '\r']) {
            let _ = writeln!(text, "data: {line}");
        }
        text.push('\n');
        Self { id, text }
    }
}

/// Somebody follows a job.
pub(super) struct Following {
    pub(super) jobs: Arc<Jobs>,
    pub(super) sessions: Arc<Sessions>,
    /// Set as soon as the service is about to stop.
    pub(super) draining: CancellationToken,
    /// Who follows, and the token that says so.
    pub(super) caller: Principal,
    pub(super) token: String,
    pub(super) _place: Place,
}

/// How far a stream has come.
struct Progress {
    following: Following,
    seen: Job,
    /// The id of the last event that the client has.
    told: Option<String>,
    /// When the caller was last seen to be signed in.
    checked_at: Instant,
    ends_at: Instant,
}

impl Following {
    /// The events from this state of the job on; `None` if it is the last one and the client has it.
    pub(super) fn events(self, job: Job, request: &Request) -> Option<EventStream> {
        let told = request.header(LAST_EVENT_ID).map(str::to_owned);
        if job.state.is_terminal() && told.as_ref() == Some(&Event::of(job.clone()).id) {
            return None;
        }
        let now = Instant::now();
        let progress = Progress { following: self, seen: job, told, checked_at: now, ends_at: now + LONGEST };
        Some(EventStream(Body::from_bytes_stream(Box::pin(progress.chunks()))))
    }
}

impl Progress {
    fn chunks(self) -> impl Stream<Item = io::Result<Bytes>> {
        stream::unfold(self, |mut progress| async {
            let chunk = progress.next().await?;
            Some((Ok(chunk), progress))
        })
    }

    /// What is told next; `None` at the end. A client that wants to know why comes back, and is told.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(news) = self.news() {
                return Some(news);
            }
            if self.seen.state.is_terminal() {
                return None;
            }
            let look_at = self.checked_at + HEARTBEAT;
            let wait = look_at.saturating_duration_since(Instant::now());
            let Following { jobs, sessions, draining, caller, token, .. } = &self.following;
            self.seen = tokio::select! {
                biased;
                () = draining.cancelled() => return None,
                seen = jobs.follow(*caller, &self.seen, wait) => seen.ok()?,
            };
            let now = Instant::now();
            if now < look_at {
                continue;
            }
            if now >= self.ends_at {
                return None;
            }
            self.following.caller = sessions.authenticate(token).await.ok()?.principal;
            self.checked_at = now;
            return Some(self.news().unwrap_or(COMMENT));
        }
    }

    /// The event of the present state, unless it was told.
    fn news(&mut self) -> Option<Bytes> {
        let Event { id, text } = Event::of(self.seen.clone());
        if self.told.as_ref() == Some(&id) {
            return None;
        }
        self.told = Some(id);
        Some(text.into())
    }
}

/// Server-sent events.
pub(super) struct EventStream(Body);

impl Payload for EventStream {
    const CONTENT_TYPE: &'static str = "text/event-stream";

    /// One event of the stream, which is how readers of documents take the schema of this media type.
    fn schema_ref() -> MetaSchemaRef {
        let text = |description| {
            let schema = MetaSchema { description: Some(description), ..MetaSchema::new("string") };
            MetaSchemaRef::Inline(Box::new(schema))
        };
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            properties: vec![
                ("id", text("What to send as `Last-Event-ID` to go on behind this event.")),
                ("event", text("Always `job`.")),
                ("data", text("The job as JSON.")),
            ],
            required: vec!["id", "event", "data"],
            ..MetaSchema::new("object")
        }))
    }
}

impl IntoResponse for EventStream {
    fn into_response(self) -> Response {
        Response::builder().content_type(Self::CONTENT_TYPE).body(self.0)
    }
}

#[cfg(test)]
mod tests {
    use portwright_domain::job::{JobState, Life, Outcome};
    use portwright_testkit::ManualClock;
    use portwright_testkit::builders::a_job;

    use super::*;

    fn job(state: JobState, outcome: Option<Outcome>) -> Job {
        let spec = a_job().build();
        let life = Life::begin(&spec, ManualClock::START);
        Job {
            spec,
            state,
            attempts: life.attempts,
            progress: portwright_domain::job::Progress::default(),
            outcome,
            created_at: ManualClock::START,
            started_at: None,
            finished_at: None,
        }
    }

    #[test]
    fn an_event_has_the_id_of_what_it_shows() {
        let ready = Event::of(job(JobState::Ready, None));
        assert_eq!(ready.id.len(), 16);
        assert_eq!(Event::of(job(JobState::Ready, None)).id, ready.id);
        assert_ne!(Event::of(job(JobState::Running, None)).id, ready.id);
        let data = serde_json::to_string(&JobBody::from(job(JobState::Ready, None))).expect("JSON");
        assert_eq!(ready.text, format!("id: {}\nevent: job\ndata: {data}\n\n", ready.id));
    }

    #[test]
    fn what_a_task_wrote_in_several_lines_arrives_as_one_event() {
        let result = Bytes::from_static(b"{\"a\":\r\n1,\n\"b\": 2}");
        let event = Event::of(job(JobState::Succeeded, Some(Outcome::Succeeded(result))));
        let lines: Vec<&str> = event.text.lines().skip(2).filter(|line| !line.is_empty()).collect();
        assert!(lines.len() > 1 && lines.iter().all(|line| line.starts_with("data: ")), "{lines:?}");
        let data = lines.iter().filter_map(|line| line.strip_prefix("data: ")).collect::<Vec<_>>().join("\n");
        let data: serde_json::Value = serde_json::from_str(&data).expect("JSON");
        assert_eq!(data["result"], serde_json::json!({"a": 1, "b": 2}));
    }
}
