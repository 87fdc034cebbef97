//! [`Memo`]: what the writer remembers between transactions, so as not to ask for it in each.
//!
//! What comes from the file is read anew when a transaction fails.

use std::collections::{BTreeSet, HashMap};
use std::mem;
use std::time::Duration;

use portwright_domain::Timestamp;
use portwright_domain::job::{JobState, QueueName, WorkerId};
use portwright_domain::ports::job_queue::{LONGEST_LOOK, LeaseRequest, UNSERVED};
use rusqlite::{Connection, Result, params};
use tokio::time::Instant;

use super::columns::{Columns, Lane, lane};
use super::record::number_of;

pub(super) struct Memo {
    lanes: Vec<KnownLane>,
    numbers: HashMap<Lane, i64>,
    paused: BTreeSet<QueueName>,
    /// Jobs that are scheduled or ready.
    pub(super) waiting: u64,
    /// Jobs that ended, by the number of their state.
    ended: [u64; JobState::ALL.len()],
    /// Starts since this process began, for ageing.
    pub(super) starts: u64,
    /// When leases were last looked for that had ended, and jobs that nobody serves; `None` if that was before the file
    /// was opened, or could not be written.
    looked_at: Option<Timestamp>,
    pub(super) renewals: Renewals,
}

/// When each worker last renewed its lease, and for how long, by a clock that nobody sets. The file has when the lease
/// ends by the clock of the wall, and a dead worker would keep its jobs for as long as that one was set back.
#[derive(Default)]
pub(super) struct Renewals(HashMap<WorkerId, (Instant, Duration)>);

impl Renewals {
    pub(super) fn note(&mut self, worker: &WorkerId, lease: Duration) {
        let renewal = (Instant::now(), lease);
        match self.0.get_mut(worker) {
            Some(last) => *last = renewal,
            None => drop(self.0.insert(worker.clone(), renewal)),
        }
    }

    /// The lease is not over for so long.
    pub(super) fn keep(&mut self, worker: &WorkerId, left: Duration) {
        if let Some((at, lease)) = self.0.get_mut(worker)
            && lease.saturating_sub(at.elapsed()) < left
        {
            (*at, *lease) = (Instant::now(), left);
        }
    }

    pub(super) fn forget(&mut self, worker: &WorkerId) {
        self.0.remove(worker);
    }

    /// The workers whose lease is over.
    pub(super) fn over(&self) -> impl Iterator<Item = &WorkerId> {
        self.0.iter().filter(|(_, (at, lease))| at.elapsed() >= *lease).map(|(worker, _)| worker)
    }
}

pub(super) struct KnownLane {
    pub(super) number: i64,
    pub(super) lane: Lane,
    /// When a worker last asked for it, or since when one might have.
    pub(super) asked_at: Timestamp,
}

impl Memo {
    pub(super) fn read(connection: &Connection, now: Timestamp) -> Result<Self> {
        let mut memo = Self {
            lanes: Vec::new(),
            numbers: HashMap::new(),
            paused: BTreeSet::new(),
            waiting: 0,
            ended: [0; JobState::ALL.len()],
            starts: 0,
            looked_at: None,
            renewals: Renewals::default(),
        };
        let mut lanes = connection.prepare(concat!("SELECT ", lane!(), ", lane FROM lanes ORDER BY lane"))?;
        let lanes = lanes.query_map([], |row| {
            let mut columns = Columns::of(row);
            Ok((columns.lane()?, columns.get()?))
        })?;
        for known in lanes {
            let (lane, number) = known?;
            memo.learn(lane, number, now);
        }
        let mut paused = connection.prepare("SELECT queue FROM paused")?;
        let paused =
            paused.query_map([], |row| Columns::of(row).parsed(|text| QueueName::parse(text).ok()))?;
        memo.paused = paused.collect::<Result<_>>()?;
        memo.count(connection)?;
        Ok(memo)
    }

    /// Reads again what a transaction that failed may have changed.
    pub(super) fn read_again(&mut self, connection: &Connection, now: Timestamp) -> Result<()> {
        let fresh = Self::read(connection, now)?;
        let before = mem::replace(self, fresh);
        self.starts = before.starts;
        self.renewals = before.renewals;
        for (lane, before) in self.lanes.iter_mut().zip(before.lanes) {
            lane.asked_at = before.asked_at;
        }
        Ok(())
    }

    fn count(&mut self, connection: &Connection) -> Result<()> {
        let count = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, u64>(0));
        self.waiting = count("SELECT count(*) FROM jobs WHERE state = 0")?
            + count("SELECT count(*) FROM jobs WHERE state = 1")?;
        let mut ended = connection.prepare("SELECT count(*) FROM jobs WHERE state > 2 AND state = ?")?;
        for (number, count) in self.ended.iter_mut().enumerate() {
            *count = ended.query_row([number], |row| row.get(0))?;
        }
        Ok(())
    }

    fn learn(&mut self, lane: Lane, number: i64, now: Timestamp) {
        self.numbers.insert(lane.clone(), number);
        self.lanes.push(KnownLane { number, lane, asked_at: now });
    }

    /// The number of this lane, which is made if it is new.
    pub(super) fn number_of(&mut self, connection: &Connection, lane: Lane, now: Timestamp) -> Result<i64> {
        if let Some(number) = self.numbers.get(&lane) {
            return Ok(*number);
        }
        connection
            .prepare_cached("INSERT INTO lanes (queue, task, version) VALUES (?, ?, ?)")?
            .execute(params![lane.queue.as_str(), lane.task.as_str(), lane.version])?;
        let number = connection.last_insert_rowid();
        self.learn(lane, number, now);
        Ok(number)
    }

    /// The lane of this number; every job has one.
    pub(super) fn lane(&self, number: i64) -> Option<&Lane> {
        let index = self.lanes.binary_search_by_key(&number, |known| known.number);
        index.ok().and_then(|index| self.lanes.get(index)).map(|known| &known.lane)
    }

    /// The lanes from which this worker may lease now; they all count as asked for.
    pub(super) fn served(&mut self, want: &LeaseRequest, now: Timestamp) -> Vec<i64> {
        let mut served = Vec::new();
        for known in &mut self.lanes {
            let Lane { queue, task, version } = &known.lane;
            let readable = want.tasks.iter().any(|(wanted, newest)| wanted == task && version <= newest);
            if readable && (want.queues.is_empty() || want.queues.contains(queue)) {
                known.asked_at = now;
                if !self.paused.contains(queue) {
                    served.push(known.number);
                }
            }
        }
        served
    }

    /// Notes that somebody looks; when somebody last did.
    pub(super) fn look(&mut self, now: Timestamp) -> Option<Timestamp> {
        self.looked_at.replace(now)
    }

    /// The lanes for which no worker has asked for too long, and that were last looked for so long ago.
    pub(super) fn not_served(&mut self, now: Timestamp, passed: Duration) -> Vec<i64> {
        let uncounted = passed.saturating_sub(LONGEST_LOOK);
        for known in &mut self.lanes {
            known.asked_at = known.asked_at.plus(uncounted);
        }
        let moment = now.minus(UNSERVED);
        self.lanes.iter().filter(|known| known.asked_at <= moment).map(|known| known.number).collect()
    }

    /// True if this changes anything.
    pub(super) fn set_paused(&mut self, queue: &QueueName, paused: bool) -> bool {
        if paused { self.paused.insert(queue.clone()) } else { self.paused.remove(queue) }
    }

    pub(super) fn ended(&self, state: JobState) -> u64 {
        index(state).map_or(0, |index| self.ended[index])
    }

    pub(super) fn add_ended(&mut self, state: JobState) {
        if let Some(count) = index(state).and_then(|index| self.ended.get_mut(index)) {
            *count += 1;
        }
    }

    pub(super) fn take_ended(&mut self, state: JobState, fewer: u64) {
        if let Some(count) = index(state).and_then(|index| self.ended.get_mut(index)) {
            *count = count.saturating_sub(fewer);
        }
    }
}

fn index(state: JobState) -> Option<usize> {
    usize::try_from(number_of(state)).ok()
}
