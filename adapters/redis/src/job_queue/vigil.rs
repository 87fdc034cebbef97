//! [`Vigil`]: a wait for the end of a job, which is told to this process.

use std::time::Duration;

use portwright_domain::PortError;
use portwright_domain::job::{JobId, Outcome};
use redis::Value;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::ask::{Arguments, bytes, corrupt};
use super::waiters::Listening;
use super::{RedisJobQueue, codec};

/// How often who waits asks again, in case something that was told got lost.
pub(super) const ASK_AGAIN: Duration = Duration::from_secs(10);
/// How long it takes at most to hear what was told already.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What the script answers where it is not an end; see `tick.lua`.
const UNKNOWN: i64 = 0;

/// Whether a job has ended.
pub(super) enum Ended {
    Unknown,
    NotYet,
    With(Outcome),
}

pub(super) fn ended(answer: Value) -> Option<Ended> {
    match answer {
        Value::Int(UNKNOWN) => Some(Ended::Unknown),
        Value::Int(_) => Some(Ended::NotYet),
        answer => Some(Ended::With(codec::end(&bytes(answer)?)?)),
    }
}

impl RedisJobQueue {
    /// Begins to wait for the end of this job.
    pub(super) fn wait_for(&self, id: JobId, wait: Duration) -> Vigil<'_> {
        Vigil {
            queue: self,
            id,
            deadline: Instant::now() + wait,
            connections: self.connections.subscribe(),
            listening: self.ears.ends.listen(id),
            was_known: false,
        }
    }
}

/// A wait for the end of a job.
pub(super) struct Vigil<'a> {
    queue: &'a RedisJobQueue,
    id: JobId,
    deadline: Instant,
    connections: watch::Receiver<u64>,
    listening: Listening<JobId, Outcome>,
    was_known: bool,
}

impl Vigil<'_> {
    pub(super) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Asks whether it has come, and to be told of it otherwise, until it has or the time is over.
    pub(super) async fn end(mut self) -> Result<Option<Outcome>, PortError> {
        const OPERATION: &str = "jobs.outcome";
        loop {
            self.connections.mark_unchanged();
            let left = self.left();
            let told_to = if left.is_zero() { "" } else { self.queue.process.as_str() };
            let asked = Arguments::of("outcome").with(self.id.0.as_bytes()).with(told_to);
            let answer = self.queue.wire.ask(OPERATION, asked, vec![self.id]).await?;
            match ended(answer.value).ok_or_else(|| corrupt(OPERATION))? {
                Ended::With(outcome) => return Ok(Some(outcome)),
                Ended::Unknown if self.was_known => {
                    // It ended and was removed, and what was told of it is on its way.
                    let last_words = timeout(left.min(LAST_WORDS), &mut self.listening.told).await;
                    return Ok(last_words.ok().and_then(Result::ok));
                }
                Ended::Unknown => return Ok(None),
                Ended::NotYet if left.is_zero() => return Ok(None),
                Ended::NotYet => {}
            }
            if let Some(outcome) = self.is_told().await {
                return Ok(Some(outcome));
            }
        }
    }

    /// Waits to be told, for as long as it makes sense not to ask.
    pub(super) async fn is_told(&mut self) -> Option<Outcome> {
        self.was_known = true;
        let patience = self.left().min(ASK_AGAIN);
        tokio::select! {
            told = timeout(patience, &mut self.listening.told) => told.ok()?.ok(),
            _ = self.connections.changed() => None,
        }
    }
}
