//! What the worker's half does to the [`State`]: jobs are leased, settled, and given back when their worker is gone.

use portwright_domain::Timestamp;
use portwright_domain::job::{JobId, Lease, LeasedJob, Progress, Unwatched, WorkerId};
use portwright_domain::ports::job_queue::{AGEING, LeaseRequest, Renewal, Settled, Settlement};

use super::State;

impl State {
    pub(in crate::job_queue) fn settle(&mut self, settlement: &Settlement, now: Timestamp) -> Settled {
        let Settlement { lease, verdict } = settlement;
        let Some(record) = self.jobs.get(&lease.job) else {
            return Settled::LeaseLost;
        };
        if !record.life.is_held_by(lease) {
            // Nothing will change, whatever the answer.
            return record.life.clone().settle(lease, verdict, record.spec.max_attempts, now);
        }
        let max_attempts = record.spec.max_attempts;
        let settled = self.step(lease.job, now, |life| life.settle(lease, verdict, max_attempts, now));
        settled.unwrap_or(Settled::LeaseLost)
    }

    /// Leases what the worker can run next, and renews its lease.
    ///
    /// A suspect runs alone: when it is next, its worker gets nothing until its other jobs are done, then the suspect,
    /// and nothing more until that is done.
    pub(in crate::job_queue) fn lease(&mut self, want: &LeaseRequest, now: Timestamp) -> Vec<LeasedJob> {
        self.ready.ask(want, now);
        let mut leased = Vec::new();
        while leased.len() < want.max as usize {
            let by_age = (self.starts + 1).is_multiple_of(AGEING);
            let next = self.ready.first(want, &self.paused, by_age);
            let Some((id, record)) = next.and_then(|id| Some((id, self.jobs.get(&id)?))) else {
                break;
            };
            let held = || self.workers.get(&want.worker).into_iter().flat_map(|worker| &worker.jobs);
            let is_suspect = |id: &JobId| self.jobs.get(id).is_some_and(|record| record.life.suspect);
            if held().any(is_suspect) || (record.life.suspect && held().next().is_some()) {
                break;
            }
            leased.extend(self.start(id, &want.worker, now));
        }
        self.renew(&want.worker, now.plus(want.lease));
        leased
    }

    fn start(&mut self, id: JobId, worker: &WorkerId, now: Timestamp) -> Option<LeasedJob> {
        self.starts += 1;
        self.step(id, now, |life| life.start(worker, now))?;
        let record = self.jobs.get(&id)?;
        Some(LeasedJob {
            lease: Lease { job: id, run: record.life.run, worker: worker.clone() },
            job: record.spec.clone(),
            attempt: record.life.attempts,
            suspect: record.life.suspect,
        })
    }

    pub(in crate::job_queue) fn renew(&mut self, name: &WorkerId, lease_ends: Timestamp) -> Renewal {
        let mut renewal = Renewal::default();
        let Some(worker) = self.workers.get_mut(name) else {
            return renewal;
        };
        worker.lease_ends = lease_ends;
        for (&job, record) in worker.jobs.iter().filter_map(|id| Some((id, self.jobs.get(id)?))) {
            renewal.held.push(Lease { job, run: record.life.run, worker: name.clone() });
            if record.life.cancel {
                renewal.cancelled.push(job);
            }
        }
        renewal
    }

    /// Whether the lease is the job's newest, and so the report was taken.
    pub(in crate::job_queue) fn report(&mut self, lease: &Lease, progress: &Progress) -> bool {
        let record = self.jobs.get_mut(&lease.job).filter(|record| record.life.is_held_by(lease));
        record.map(|record| record.set_progress(progress.clone())).is_some()
    }

    /// Gives back all jobs of a worker that crashed; returns how many.
    pub(in crate::job_queue) fn bury(&mut self, worker: &WorkerId, now: Timestamp) -> u64 {
        let held = self.workers.remove(worker).map(|worker| worker.jobs).unwrap_or_default();
        let alone = held.len() == 1;
        for &id in &held {
            self.step(id, now, |life| life.crash(alone, now));
        }
        held.len() as u64
    }

    /// Gives back the jobs of every worker whose lease has ended, and gives up what nobody runs.
    pub(in crate::job_queue) fn reclaim(&mut self, now: Timestamp) -> u64 {
        let looked_at = self.looked_at.replace(now);
        if let Some(unwatched) = Unwatched::between(looked_at, now) {
            for worker in self.workers.values_mut() {
                worker.lease_ends = unwatched.lease_ends(worker.lease_ends);
            }
        }
        let ended = self.workers.iter().filter(|(_, worker)| worker.lease_ends <= now);
        let ended: Vec<WorkerId> = ended.map(|(id, _)| id.clone()).collect();
        for id in self.ready.not_served(now, now.since(looked_at.unwrap_or(now))) {
            self.step(id, now, |life| life.give_up(now));
        }
        ended.iter().map(|worker| self.bury(worker, now)).sum()
    }
}
