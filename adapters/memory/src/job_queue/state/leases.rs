//! What the worker's half does to the [`State`]: jobs are leased, settled, and given back when their worker is gone.

use portwright_domain::Timestamp;
use portwright_domain::job::{
    CauseOfDeath, Death, JobId, JobState, Lease, LeasedJob, Outcome, Progress, Run, WorkerId,
};
use portwright_domain::ports::job_queue::{LeaseRequest, Renewal, Settled, Settlement, Verdict};

use super::{Stands, State};
use crate::job_queue::ready::Turn;

/// A job that crashed alone this often is dead.
const STRIKES: u32 = 3;

impl State {
    pub(in crate::job_queue) fn settle(&mut self, settlement: &Settlement, now: Timestamp) -> Settled {
        let lease = &settlement.lease;
        let Some(record) = self.jobs.get_mut(&lease.job) else {
            return Settled::LeaseLost;
        };
        if record.settled == Some(lease.run) {
            return Settled::Accepted;
        }
        if !record.is_held_by(lease) {
            return Settled::LeaseLost;
        }
        record.settled = Some(lease.run);
        match &settlement.verdict {
            Verdict::Finish(outcome) => self.end(lease.job, outcome.clone(), now),
            Verdict::Retry { .. } | Verdict::Release if record.cancel => {
                self.end(lease.job, Outcome::Cancelled, now);
            }
            Verdict::Release => {
                record.job.attempts -= 1;
                self.make_ready(lease.job, Turn::HandedBack, now);
            }
            Verdict::Retry { death, .. } if record.job.attempts >= record.job.spec.max_attempts => {
                self.end(lease.job, Outcome::Dead(death.clone()), now);
            }
            Verdict::Retry { delay, .. } => {
                // Its worker lived to tell.
                record.suspect = false;
                if delay.is_zero() {
                    self.make_ready(lease.job, Turn::Usual, now);
                } else {
                    self.schedule(lease.job, now.plus(*delay));
                }
            }
        }
        Settled::Accepted
    }

    /// Leases what the worker can run next, and renews its lease.
    ///
    /// A suspect runs alone: when it is next, its worker gets nothing until its other jobs are done, then the suspect,
    /// and nothing more until that is done.
    pub(in crate::job_queue) fn lease(&mut self, want: &LeaseRequest, now: Timestamp) -> Vec<LeasedJob> {
        let mut leased = Vec::new();
        while leased.len() < want.max as usize {
            let next = self.ready.first(want, &self.paused);
            let Some((id, record)) = next.and_then(|id| Some((id, self.jobs.get(&id)?))) else {
                break;
            };
            let mut held =
                self.workers.get(&want.worker).into_iter().flat_map(|worker| &worker.jobs).peekable();
            let busy = held.peek().is_some();
            let is_suspect = |id: &JobId| self.jobs.get(id).is_some_and(|record| record.suspect);
            if busy && (record.suspect || held.any(is_suspect)) {
                break;
            }
            leased.extend(self.hold(id, &want.worker, now));
        }
        self.renew(&want.worker, now.plus(want.lease));
        leased
    }

    fn hold(&mut self, id: JobId, worker: &WorkerId, now: Timestamp) -> Option<LeasedJob> {
        self.enter(id, Stands::Held(worker.clone()));
        let record = self.jobs.get_mut(&id)?;
        record.run = Run(record.run.0 + 1);
        record.job.state = JobState::Running;
        record.job.attempts += 1;
        record.job.started_at = Some(now);
        Some(LeasedJob {
            lease: Lease { job: id, run: record.run, worker: worker.clone() },
            job: record.job.spec.clone(),
            attempt: record.job.attempts,
            suspect: record.suspect,
        })
    }

    pub(in crate::job_queue) fn renew(&mut self, name: &WorkerId, lease_ends: Timestamp) -> Renewal {
        let Some(worker) = self.workers.get_mut(name) else {
            return Renewal::default();
        };
        worker.lease_ends = lease_ends;
        let mut renewal = Renewal::default();
        for (&job, record) in worker.jobs.iter().filter_map(|id| Some((id, self.jobs.get(id)?))) {
            renewal.held.push(Lease { job, run: record.run, worker: name.clone() });
            if record.cancel {
                renewal.cancelled.push(job);
            }
        }
        renewal
    }

    /// Whether the lease is the job's newest, and so the report was taken.
    pub(in crate::job_queue) fn report(&mut self, lease: &Lease, progress: &Progress) -> bool {
        let record = self.jobs.get_mut(&lease.job).filter(|record| record.is_held_by(lease));
        record.map(|record| record.job.progress = progress.clone()).is_some()
    }

    /// Gives back all jobs of a worker that crashed. Who crashed alone is to blame; of several, nobody knows who, so
    /// each has to prove itself alone. A start that ended in a crash does not count as an attempt.
    pub(in crate::job_queue) fn give_back(&mut self, worker: &WorkerId, now: Timestamp) -> u64 {
        let held: Vec<JobId> =
            self.workers.get(worker).into_iter().flat_map(|worker| &worker.jobs).copied().collect();
        let alone = held.len() == 1;
        for &id in &held {
            let Some(record) = self.jobs.get_mut(&id) else {
                continue;
            };
            record.job.attempts -= 1;
            record.suspect = true;
            record.strikes += u32::from(alone);
            if record.cancel {
                self.end(id, Outcome::Cancelled, now);
            } else if record.strikes >= STRIKES {
                let detail = format!("its worker died {STRIKES} times while it ran alone");
                self.end(id, Outcome::Dead(Death { cause: CauseOfDeath::Crashed, detail }), now);
            } else {
                self.make_ready(id, Turn::Usual, now);
            }
        }
        held.len() as u64
    }

    pub(in crate::job_queue) fn reclaim(&mut self, now: Timestamp) -> u64 {
        let ended = self.workers.iter().filter(|(_, worker)| worker.lease_ends <= now);
        let ended: Vec<WorkerId> = ended.map(|(id, _)| id.clone()).collect();
        ended.iter().map(|worker| self.give_back(worker, now)).sum()
    }
}
