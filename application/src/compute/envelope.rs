//! The payload of a job: who is called, with what, and on whose behalf.
//!
//! ```json
//! {"task": "reports.render", "v": 2, "args": {"month": "2026-01"},
//!  "meta": {"trace": null, "requested_by": null, "enqueued_at": "2026-01-01T00:00:00Z"}}
//! ```
//!
//! Invariants
//! - A payload says by itself what it is: dead letters and dumps are readable without the row around them.
//! - Arguments stay text until the task's own code reads them, so each version is parsed as the type that it was.
//! - Unknown fields of the envelope are ignored, so that a newer program may add to `meta`; the arguments are as strict
//!   as their type is.

use bytes::Bytes;
use portwright_domain::Timestamp;
use portwright_domain::trace::{TraceContext, TraceState};
use portwright_domain::user::UserId;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::trace::Origin;

/// On whose behalf a job runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// The W3C `traceparent` of the request that asked.
    pub trace: Option<String>,
    /// Who asked.
    pub requested_by: Option<UserId>,
    /// When it was asked.
    pub enqueued_at: Timestamp,
    /// The W3C `tracestate` that came with the trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_state: Option<String>,
    /// The id of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl Meta {
    /// For a job that somebody asked for now.
    #[must_use]
    pub fn new(origin: Option<&Origin>, requested_by: Option<UserId>, enqueued_at: Timestamp) -> Self {
        let state = origin.and_then(|origin| origin.trace.state.as_ref());
        Self {
            trace: origin.map(|origin| origin.trace.to_string()),
            requested_by,
            enqueued_at,
            trace_state: state.map(|state| state.as_str().to_owned()),
            request_id: origin.and_then(|origin| origin.request_id.clone()),
        }
    }

    /// The place in a trace that asked; `None` if it was in none that can be read.
    #[must_use]
    pub fn parent(&self) -> Option<TraceContext> {
        let state = self.trace_state.as_deref().and_then(TraceState::parse);
        Some(TraceContext::parse(self.trace.as_deref()?)?.with_state(state))
    }
}

/// What a payload holds.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// The task that is called.
    pub task: String,
    /// The arguments.
    pub args: Args,
    /// On whose behalf.
    pub meta: Meta,
}

/// The arguments of one call, unread.
#[derive(Debug, Clone)]
pub struct Args {
    version: u32,
    json: Box<RawValue>,
}

/// A payload that is not what its task takes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PayloadInvalid(String);

#[derive(Serialize)]
struct Written<'a> {
    task: &'a str,
    v: u32,
    args: &'a RawValue,
    meta: &'a Meta,
}

#[derive(Deserialize)]
struct Read {
    task: String,
    v: u32,
    args: Box<RawValue>,
    meta: Meta,
}

impl Envelope {
    /// The payload of a call.
    ///
    /// # Errors
    /// None in practice: text goes in and text comes out.
    pub fn pack(task: &str, version: u32, args: &RawValue, meta: &Meta) -> Result<Bytes, serde_json::Error> {
        serde_json::to_vec(&Written { task, v: version, args, meta }).map(Bytes::from)
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// If it is no envelope.
    pub fn open(payload: &[u8]) -> Result<Self, PayloadInvalid> {
        let invalid = |error| PayloadInvalid(format!("not the payload of a task: {error}"));
        let Read { task, v, args, meta } = serde_json::from_slice(payload).map_err(invalid)?;
        Ok(Self { task, args: Args { version: v, json: args }, meta })
    }
}

impl Args {
    /// Arguments of this version, given as JSON.
    ///
    /// # Errors
    /// If it is no JSON.
    pub fn from_json(version: u32, json: &str) -> Result<Self, PayloadInvalid> {
        let invalid = |error| PayloadInvalid(format!("not JSON: {error}"));
        Ok(Self { version, json: serde_json::from_str(json).map_err(invalid)? })
    }

    /// The version of the program's arguments that wrote them.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// Reads them as what they were when they were written.
    ///
    /// # Errors
    /// If they are of another type.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, PayloadInvalid> {
        serde_json::from_str(self.json.get())
            .map_err(|error| PayloadInvalid(format!("version {} of the arguments: {error}", self.version)))
    }

    /// Says that this version is not read: it is retired, or newer than this program.
    #[must_use]
    pub fn refused(&self) -> PayloadInvalid {
        PayloadInvalid(format!("version {} of the arguments is retired or unknown", self.version))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn meta() -> Meta {
        Meta {
            trace: Some("00-01-02-00".to_owned()),
            requested_by: Some(UserId(Uuid::nil())),
            enqueued_at: Timestamp::UNIX_EPOCH,
            trace_state: None,
            request_id: None,
        }
    }

    #[test]
    fn a_payload_reads_as_it_was_written() {
        let args = serde_json::value::to_raw_value(&("a", 1)).expect("it is written");
        let payload = Envelope::pack("test.echo", 2, &args, &meta()).expect("it is written");
        let text = r#"{"task":"test.echo","v":2,"args":["a",1],"meta":{"trace":"00-01-02-00","#;
        assert!(payload.starts_with(text.as_bytes()), "{payload:?}");
        let envelope = Envelope::open(&payload).expect("it is read");
        assert_eq!((envelope.task.as_str(), envelope.args.version()), ("test.echo", 2));
        assert_eq!(envelope.meta, meta());
        assert_eq!(envelope.args.read::<(String, u8)>(), Ok(("a".to_owned(), 1)));
    }

    #[test]
    fn what_a_newer_program_adds_is_no_obstacle() {
        let payload = r#"{"task":"t","v":1,"args":null,"new":1,
            "meta":{"trace":null,"requested_by":null,"enqueued_at":"2026-01-01T00:00:00Z","tenant":"b"}}"#;
        let envelope = Envelope::open(payload.as_bytes()).expect("it is read");
        assert_eq!(envelope.args.read::<()>(), Ok(()));
    }

    #[test]
    fn the_origin_of_a_job_reads_as_it_was_written() {
        let trace = TraceContext::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        let trace = trace.expect("valid").with_state(TraceState::parse("a=1"));
        let origin = Origin { trace: trace.clone(), request_id: Some("r-1".to_owned()) };
        let written = serde_json::to_string(&Meta::new(Some(&origin), None, Timestamp::UNIX_EPOCH));
        let read: Meta = serde_json::from_str(&written.expect("it is written")).expect("it is read");
        assert_eq!((read.parent(), read.request_id.as_deref()), (Some(trace), Some("r-1")));
        assert_eq!(meta().parent(), None, "what is no trace is no obstacle");
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let not_json = Envelope::open(b"\xff\xfe").expect_err("it is no JSON");
        assert!(not_json.to_string().starts_with("not the payload of a task"), "{not_json}");
        let number = Args::from_json(3, "7").expect("it is JSON");
        let error = number.read::<String>().expect_err("it is a number");
        assert!(error.to_string().starts_with("version 3 of the arguments: invalid type"), "{error}");
        assert_eq!(number.refused().to_string(), "version 3 of the arguments is retired or unknown");
    }
}
