//! Jobs that were leased to a worker that went away before it heard of them: they are handed back at once, instead of
//! waiting for a lease that the same worker may renew for ever.

use portwright_domain::PortError;
use portwright_domain::job::{Lease, LeasedJob};
use portwright_domain::ports::job_queue::{LeaseRequest, Settlement, Verdict};
use tokio::sync::oneshot;

use super::ask::{Answer, Ask};
use super::exchange::{self, Exchanged};
use super::wire::Wire;

/// Hands back whatever was leased with this answer to this operation.
pub(super) fn of_answer(operation: &'static str, answer: Answer) -> Option<Ask> {
    if operation != exchange::OPERATION {
        return None;
    }
    match Exchanged::read(answer) {
        Ok(Exchanged { leased: Some(leased), .. }) => of(&leased),
        _ => None,
    }
}

/// Hands these back.
pub(super) fn of(leased: &[LeasedJob]) -> Option<Ask> {
    let worker = leased.first()?.lease.worker.clone();
    let release = |lease: &Lease| Settlement { lease: lease.clone(), verdict: Verdict::Release };
    let settle: Vec<_> = leased.iter().map(|leased| release(&leased.lease)).collect();
    let nothing = LeaseRequest {
        worker,
        tasks: Vec::new(),
        queues: Vec::new(),
        max: 0,
        lease: std::time::Duration::ZERO,
        wait: std::time::Duration::ZERO,
    };
    let arguments = exchange::arguments(&settle, &nothing, None);
    Some(Ask { operation: "jobs.hand_back", arguments, jobs: exchange::jobs(&settle), reply: None })
}

/// The answer of an exchange, as long as nobody has read it. Whoever stops waiting drops this.
pub(super) struct Unread {
    pub(super) answered: oneshot::Receiver<Result<Answer, PortError>>,
    pub(super) wire: Wire,
}

impl Drop for Unread {
    fn drop(&mut self) {
        self.answered.close();
        if let Ok(Ok(answer)) = self.answered.try_recv()
            && let Some(ask) = of_answer(exchange::OPERATION, answer)
        {
            self.wire.mention(ask);
        }
    }
}
