//! Settling and leasing, and waiting for a job.

use std::time::Duration;

use portwright_domain::job::{JobId, LeasedJob};
use portwright_domain::ports::job_queue::{Exchange, LeaseRequest, Settled, Settlement, Verdict};
use portwright_domain::{PortError, Timestamp};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::RedisJobQueue;
use super::ask::{Answer, Arguments, Ask, array, bytes, corrupt, number, values};
use super::codec;
use super::hand_back::{self, Unread};
use super::waiters::Listening;
use super::wire::Wire;

pub(super) const OPERATION: &str = "jobs.exchange";
/// How often a worker that waits says that it is still there; see `parking.lua`.
const STILL_THERE: Duration = Duration::from_secs(1);

/// How a worker waits for a job.
pub(super) struct Waiting<'a> {
    ticket: &'a str,
    process: &'a str,
    /// Whether it has waited before, with this ticket.
    again: bool,
}

/// What is asked of the script.
pub(super) fn arguments(
    settle: &[Settlement],
    want: &LeaseRequest,
    waiting: Option<&Waiting<'_>>,
) -> Arguments {
    let mut asked = Arguments::of("exchange").with_number(settle.len() as u64);
    for Settlement { lease, verdict } in settle {
        asked.add(lease.job.0.as_bytes());
        asked.add_number(lease.run.0);
        asked.add(lease.worker.as_str());
        match verdict {
            Verdict::Finish(outcome) => {
                let (state, result) = codec::result(&outcome.clone().within_bounds());
                asked.add("F");
                asked.add_number(u64::from(state));
                asked.add(result);
            }
            Verdict::Retry { delay, death } => {
                asked.add("R");
                asked.add_duration(*delay);
                asked.add(codec::death(death));
            }
            Verdict::Release => {
                asked.add("L");
                asked.add_number(0);
                asked.add("");
            }
        }
    }
    asked.add(want.worker.as_str());
    asked.add_number(u64::from(want.max));
    asked.add_duration(want.lease);
    asked.add_number(want.queues.len() as u64);
    for queue in &want.queues {
        asked.add(queue.as_str());
    }
    asked.add_number(want.tasks.len() as u64);
    for (task, newest) in &want.tasks {
        asked.add(task.as_str());
        asked.add_number(u64::from(*newest));
    }
    let (ticket, process, again) =
        waiting.map_or(("", "", false), |waiting| (waiting.ticket, waiting.process, waiting.again));
    asked.with(ticket).with(process).with(if again { "1" } else { "0" })
}

/// The jobs that are to be settled.
pub(super) fn jobs(settle: &[Settlement]) -> Vec<JobId> {
    settle.iter().map(|settlement| settlement.lease.job).collect()
}

/// What the script answered.
pub(super) struct Exchanged {
    settled: Vec<Settled>,
    /// `None` if the worker was handed something that it has not heard of yet.
    pub(super) leased: Option<Vec<LeasedJob>>,
    now: Timestamp,
    next_due: Option<Timestamp>,
}

impl Exchanged {
    pub(super) fn read(Answer { value, now, next_due }: Answer) -> Result<Self, PortError> {
        let read = || {
            let [settled, leased] = values(value)?;
            let accepted = |answer: &_| match number(answer)? {
                1 => Some(Settled::Accepted),
                _ => Some(Settled::LeaseLost),
            };
            let settled = array(settled)?.iter().map(accepted).collect::<Option<_>>()?;
            let leased = match number(&leased) {
                Some(_) => None,
                None => Some(codec::leased(&bytes(leased)?)?),
            };
            Some(Self { settled, leased, now, next_due })
        };
        read().ok_or_else(|| corrupt(OPERATION))
    }
}

/// Told to the script that a worker waits no more, when it is dropped.
struct Parked {
    ticket: String,
    wire: Wire,
    handed: Listening<String, Vec<LeasedJob>>,
}

impl Drop for Parked {
    fn drop(&mut self) {
        let arguments = Arguments::of("leave").with(&self.ticket);
        self.wire.mention(Ask { operation: "jobs.leave", arguments, jobs: Vec::new(), reply: None });
        // Handed, and not taken.
        self.handed.told.close();
        if let Ok(leased) = self.handed.told.try_recv()
            && let Some(ask) = hand_back::of(&leased)
        {
            self.wire.mention(ask);
        }
    }
}

impl RedisJobQueue {
    pub(super) async fn settle_and_lease(
        &self,
        settle: &[Settlement],
        want: &LeaseRequest,
        waiting: Option<&Waiting<'_>>,
    ) -> Result<Exchanged, PortError> {
        let (reply, answered) = oneshot::channel();
        let mut unread = Unread { answered, wire: self.wire.clone() };
        let arguments = arguments(settle, want, waiting);
        self.wire
            .tell(Ask { operation: OPERATION, arguments, jobs: jobs(settle), reply: Some(reply) })
            .await?;
        Exchanged::read(self.wire.answer(OPERATION, &mut unread.answered).await?)
    }

    pub(super) async fn settle(
        &self,
        settle: &[Settlement],
        want: &LeaseRequest,
    ) -> Result<Exchange, PortError> {
        let Exchanged { settled, leased, .. } = self.settle_and_lease(settle, want, None).await?;
        Ok(Exchange { settled, leased: leased.unwrap_or_default() })
    }

    /// Waits for a job: it is handed over as soon as there is one.
    pub(super) async fn wait_for_jobs(&self, want: &LeaseRequest) -> Result<Exchange, PortError> {
        let deadline = Instant::now() + want.wait;
        let mut connections = self.connections.subscribe();
        loop {
            let ticket = self.ticket();
            let handed = self.ears.hands.listen(ticket.clone());
            let mut parked = Parked { ticket: ticket.clone(), wire: self.wire.clone(), handed };
            let mut waiting = Waiting { ticket: &ticket, process: &self.process, again: false };
            loop {
                connections.mark_unchanged();
                let exchanged = self.settle_and_lease(&[], want, Some(&waiting)).await?;
                match exchanged.leased {
                    Some(leased) if !leased.is_empty() => {
                        return Ok(Exchange { settled: Vec::new(), leased });
                    }
                    _ => {}
                }
                let due = exchanged.next_due.map_or(STILL_THERE, |due| due.since(exchanged.now));
                let left = deadline.saturating_duration_since(Instant::now());
                let is_known = tokio::select! {
                    handed = timeout(due.min(STILL_THERE).min(left), &mut parked.handed.told) => {
                        if let Ok(Ok(leased)) = handed {
                            return Ok(Exchange { settled: Vec::new(), leased });
                        }
                        // Otherwise it was handed something and has not heard of it.
                        exchanged.leased.is_some()
                    }
                    // What was told meanwhile may be lost, and so may what the server knew of the ticket.
                    _ = connections.changed() => false,
                };
                if Instant::now() >= deadline {
                    return Ok(Exchange::default());
                }
                if !is_known {
                    break;
                }
                waiting.again = true;
            }
        }
    }
}
