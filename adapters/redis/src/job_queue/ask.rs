//! [`Ask`]: one question to the script, and how its answers are read.

use std::io::Write;
use std::time::Duration;

use portwright_domain::job::JobId;
use portwright_domain::{ErrorKind, PortError, Timestamp};
use redis::Value;
use tokio::sync::oneshot;

/// What a question is answered.
pub(super) type Reply = oneshot::Sender<Result<Answer, PortError>>;

/// One question to the script, as `tick.lua` reads it.
pub(super) struct Ask {
    pub(super) operation: &'static str,
    pub(super) arguments: Arguments,
    /// The jobs that it is about, so that they are read together.
    pub(super) jobs: Vec<JobId>,
    /// `None` if nobody waits for the answer.
    pub(super) reply: Option<Reply>,
}

impl Ask {
    /// Whether anybody wants it still.
    pub(super) fn is_wanted(&self) -> bool {
        self.reply.as_ref().is_none_or(|reply| !reply.is_closed())
    }
}

/// Arguments one behind the other.
#[derive(Default)]
pub(super) struct Arguments {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Arguments {
    /// Begins with the name of what is asked.
    pub(super) fn of(name: &str) -> Self {
        Self::default().with(name)
    }

    pub(super) fn with(mut self, argument: impl AsRef<[u8]>) -> Self {
        self.add(argument);
        self
    }

    pub(super) fn with_number(mut self, number: u64) -> Self {
        self.add_number(number);
        self
    }

    pub(super) fn add(&mut self, argument: impl AsRef<[u8]>) {
        self.bytes.extend(argument.as_ref());
        self.ends.push(self.bytes.len());
    }

    pub(super) fn add_number(&mut self, number: u64) {
        // Writing into memory does not fail.
        write!(self.bytes, "{number}").ok();
        self.ends.push(self.bytes.len());
    }

    /// In microseconds.
    pub(super) fn add_duration(&mut self, duration: Duration) {
        self.add_number(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).filter_map(|(start, end)| self.bytes.get(start..*end))
    }

    pub(super) const fn size(&self) -> usize {
        self.bytes.len()
    }
}

/// What the script answered to one question.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) value: Value,
    /// The moment of which it speaks.
    pub(super) now: Timestamp,
    /// When the next scheduled job is ready.
    pub(super) next_due: Option<Timestamp>,
}

/// That an answer is not what the script answers.
pub(super) fn corrupt(operation: &'static str) -> PortError {
    PortError::new(ErrorKind::Corrupt, operation, "a stored job does not parse")
}

pub(super) fn array(value: Value) -> Option<Vec<Value>> {
    if let Value::Array(values) = value { Some(values) } else { None }
}

/// The values of an array of so many.
pub(super) fn values<const LENGTH: usize>(value: Value) -> Option<[Value; LENGTH]> {
    array(value)?.try_into().ok()
}

pub(super) fn bytes(value: Value) -> Option<Vec<u8>> {
    if let Value::BulkString(bytes) = value { Some(bytes) } else { None }
}

pub(super) const fn number(value: &Value) -> Option<i64> {
    if let Value::Int(number) = value { Some(*number) } else { None }
}

pub(super) fn count(value: &Value) -> Option<u64> {
    number(value).and_then(|number| u64::try_from(number).ok())
}

/// Microseconds; negative is none.
#[expect(clippy::option_option, reason = "the outer one is whether it could be read")]
pub(super) fn time(value: &Value) -> Option<Option<Timestamp>> {
    number(value).map(|micros| (micros >= 0).then(|| Timestamp::from_unix_micros(micros)))
}
