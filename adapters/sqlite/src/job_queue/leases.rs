//! What the worker's half asks of a [`Tick`].

use std::collections::BTreeSet;
use std::time::Duration;

use portwright_domain::Timestamp;
use portwright_domain::job::{JobId, Lease, LeasedJob, Progress, Run, Unwatched, WorkerId};
use portwright_domain::ports::job_queue::{Exchange, LeaseRequest, Renewal, Settled, Settlement, UNSERVED};
use rusqlite::{Result, params};

use super::columns::Columns;
use super::ready::Candidates;
use super::record;
use super::tick::Tick;

/// What a worker holds already.
struct Hands {
    jobs: u64,
    suspect: bool,
}

impl Tick<'_> {
    pub(super) fn exchange(&mut self, settle: &[Settlement], want: &LeaseRequest) -> Result<Exchange> {
        let settled = settle.iter().map(|settlement| self.settle(settlement)).collect::<Result<_>>()?;
        Ok(Exchange { settled, leased: self.lease(want)? })
    }

    pub(super) fn settle(&mut self, settlement: &Settlement) -> Result<Settled> {
        let Settlement { lease, verdict } = settlement;
        let now = self.now;
        let Some(record) = record::find(self.connection, lease.job)? else {
            return Ok(Settled::LeaseLost);
        };
        if !record.life.is_held_by(lease) {
            // Nothing will change, whatever the answer.
            let mut life = record.life;
            return Ok(life.settle(lease, verdict, record.max_attempts, now));
        }
        let max_attempts = record.max_attempts;
        self.step(record, |life| life.settle(lease, verdict, max_attempts, now))
    }

    /// Leases what the worker can run next, and renews its lease.
    ///
    /// A suspect runs alone: when it is next, its worker gets nothing until its other jobs are done, then the suspect,
    /// and nothing more until that is done.
    pub(super) fn lease(&mut self, want: &LeaseRequest) -> Result<Vec<LeasedJob>> {
        let lanes = self.memo.served(want, self.now);
        let mut leased = Vec::new();
        let mut hands = self.hands_of(&want.worker)?;
        if want.max > 0 && !hands.suspect {
            let mut candidates = Candidates::read(self.connection, &lanes, want.max, self.memo.starts)?;
            while leased.len() < want.max as usize
                && let Some(candidate) = candidates.next()
                && let Some(lane) = self.memo.lane(candidate.lane)
            {
                let (record, job) = record::get_whole(self.connection, candidate.number, lane)?;
                let suspect = record.life.suspect;
                if suspect && hands.jobs > 0 {
                    break;
                }
                leased.push(self.start(record, job, &want.worker)?);
                candidates.started(&candidate);
                hands = Hands { jobs: hands.jobs + 1, suspect };
                if suspect {
                    break;
                }
            }
            self.memo.starts = candidates.starts();
        }
        if hands.jobs > 0 {
            self.renew_lease(&want.worker, want.lease)?;
        }
        Ok(leased)
    }

    fn start(
        &mut self,
        record: record::Record,
        job: portwright_domain::job::NewJob,
        worker: &WorkerId,
    ) -> Result<LeasedJob> {
        let now = self.now;
        let suspect = record.life.suspect;
        let (run, attempt) = self.step(record, |life| {
            life.start(worker, now);
            (life.run, life.attempts)
        })?;
        Ok(LeasedJob { lease: Lease { job: job.id, run, worker: worker.clone() }, job, attempt, suspect })
    }

    fn hands_of(&self, worker: &WorkerId) -> Result<Hands> {
        const SQL: &str = "SELECT count(*), ifnull(max(suspect), 0) FROM jobs WHERE state = 2 AND worker = ?";
        let read = |row: &rusqlite::Row<'_>| Ok(Hands { jobs: row.get(0)?, suspect: row.get(1)? });
        self.connection.prepare_cached(SQL)?.query_row([worker.as_str()], read)
    }

    fn renew_lease(&mut self, worker: &WorkerId, lease: Duration) -> Result<()> {
        const SQL: &str = "INSERT INTO workers (worker, lease_ends) VALUES (?, ?) \
             ON CONFLICT (worker) DO UPDATE SET lease_ends = excluded.lease_ends";
        let ends = self.now.plus(lease).unix_micros();
        self.connection.prepare_cached(SQL)?.execute(params![worker.as_str(), ends])?;
        self.memo.renewals.note(worker, lease);
        Ok(())
    }

    pub(super) fn renew(&mut self, worker: &WorkerId, lease: Duration) -> Result<Renewal> {
        const SQL: &str = "SELECT id, run, cancel FROM jobs WHERE state = 2 AND worker = ?";
        let mut renewal = Renewal::default();
        let mut statement = self.connection.prepare_cached(SQL)?;
        let mut rows = statement.query([worker.as_str()])?;
        while let Some(row) = rows.next()? {
            let mut columns = Columns::of(row);
            let (job, run) = (columns.id()?, Run(columns.get()?));
            renewal.held.push(Lease { job, run, worker: worker.clone() });
            if columns.get()? {
                renewal.cancelled.push(job);
            }
        }
        if !renewal.held.is_empty() {
            self.renew_lease(worker, lease)?;
        }
        Ok(renewal)
    }

    /// Whether the lease is the job's newest, and so the report was taken.
    pub(super) fn report(&mut self, lease: &Lease, progress: &Progress) -> Result<bool> {
        let Some(number) = self.held(lease.job, lease)? else {
            return Ok(false);
        };
        self.changes.note(lease.job);
        record::update_progress(self.connection, number, progress).map(|()| true)
    }

    fn held(&self, id: JobId, lease: &Lease) -> Result<Option<i64>> {
        let record = record::find(self.connection, id)?;
        Ok(record.filter(|record| record.life.is_held_by(lease)).map(|record| record.number))
    }

    /// Gives back all jobs of a worker that crashed; returns how many.
    pub(super) fn bury(&mut self, worker: &WorkerId) -> Result<u64> {
        let now = self.now;
        let held: Vec<i64> = self
            .connection
            .prepare_cached("SELECT number FROM jobs WHERE state = 2 AND worker = ? ORDER BY number")?
            .query_map([worker.as_str()], |row| row.get(0))?
            .collect::<Result<_>>()?;
        let alone = held.len() == 1;
        for number in &held {
            let record = record::get(self.connection, *number)?;
            self.step(record, |life| life.crash(alone, now))?;
        }
        self.connection.prepare_cached("DELETE FROM workers WHERE worker = ?")?.execute([worker.as_str()])?;
        self.memo.renewals.forget(worker);
        Ok(held.len() as u64)
    }

    /// Gives back the jobs of every worker whose lease has ended, gives up what nobody runs, and removes what is old.
    pub(super) fn reclaim(&mut self) -> Result<u64> {
        let looked_at = self.memo.look(self.now);
        if let Some(unwatched) = Unwatched::between(looked_at, self.now) {
            self.keep_leases(&unwatched)?;
        }
        let mut ended: BTreeSet<WorkerId> = self
            .connection
            .prepare_cached("SELECT worker FROM workers WHERE lease_ends <= ?")?
            .query_map([self.now.unix_micros()], |row| {
                Columns::of(row).parsed(|text| WorkerId::parse(text).ok())
            })?
            .collect::<Result<_>>()?;
        ended.extend(self.memo.renewals.over().cloned());
        let mut given_back = 0;
        for worker in &ended {
            given_back += self.bury(worker)?;
        }
        self.give_up(self.now.since(looked_at.unwrap_or(self.now)))?;
        self.remove_old()?;
        Ok(given_back)
    }

    fn keep_leases(&mut self, unwatched: &Unwatched) -> Result<()> {
        const MOVE: &str = "UPDATE workers SET lease_ends = ? WHERE worker = ?";
        let leases: Vec<(WorkerId, Timestamp)> = self
            .connection
            .prepare_cached("SELECT worker, lease_ends FROM workers WHERE lease_ends <= ?")?
            .query_map([unwatched.last_changed().unix_micros()], |row| {
                let mut columns = Columns::of(row);
                let worker = columns.parsed(|text| WorkerId::parse(text).ok())?;
                Ok((worker, Timestamp::from_unix_micros(columns.get()?)))
            })?
            .collect::<Result<_>>()?;
        for (worker, ends) in leases {
            let ends = unwatched.lease_ends(ends);
            self.connection.prepare_cached(MOVE)?.execute(params![ends.unix_micros(), worker.as_str()])?;
            self.memo.renewals.keep(&worker, ends.since(self.now));
        }
        Ok(())
    }

    /// Ends what no worker asked for; somebody last looked for it so long ago.
    fn give_up(&mut self, passed: Duration) -> Result<()> {
        const SQL: &str = "SELECT number FROM jobs WHERE state = 1 AND lane = ? AND since <= ? LIMIT 1000";
        let (now, too_old) = (self.now, self.now.minus(UNSERVED));
        for lane in self.memo.not_served(now, passed) {
            let numbers: Vec<i64> = self
                .connection
                .prepare_cached(SQL)?
                .query_map(params![lane, too_old.unix_micros()], |row| row.get(0))?
                .collect::<Result<_>>()?;
            for number in numbers {
                let record = record::get(self.connection, number)?;
                self.step(record, |life| life.give_up(now))?;
            }
        }
        Ok(())
    }
}
