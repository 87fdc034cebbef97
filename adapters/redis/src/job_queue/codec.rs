//! Jobs as bytes: what `record.lua` keeps of a job, and what only this side reads.

use bytes::Bytes;
use portwright_domain::Timestamp;
use portwright_domain::job::{
    Backoff, CauseOfDeath, Death, Job, JobId, JobState, LeasedJob, Life, NewJob, Outcome, Priority, Progress,
    QueueName, Run, Stands, TaskName, Turn, UniqueKey, WorkerId,
};
use portwright_domain::user::UserId;
use uuid::Uuid;

use super::ending;
use super::packing::{Reader, double, put_duration, put_length, put_short};

/// The flags of a life, as in `record.lua`.
const CANCEL: u8 = 1;
const SUSPECT: u8 = 2;
const HANDED_BACK: u8 = 4;

/// How a record says what has become of a job, as in `record.lua`.
const IN_FULL: u8 = 0;

/// What is out of the ordinary with how a job was made, as in `record.lua`; nothing else is to be known of one that is usual.
const IS_NOT_USUAL: u8 = 1;
const SPEC_APART: u8 = 2;
/// A larger spec is kept apart.
const LARGE_SPEC: usize = 1024;

pub(super) fn id(bytes: &[u8]) -> Option<JobId> {
    Uuid::from_slice(bytes).ok().map(JobId)
}

/// What a job shares with many others: how urgent it is, how often it is tried, and its lane, which is what workers ask for.
pub(super) fn kind(job: &NewJob) -> Vec<u8> {
    let mut kind = vec![job.priority.get()];
    kind.extend(job.max_attempts.to_be_bytes());
    kind.extend(format!("{}/{}/{}", job.queue, job.task, job.version).as_bytes());
    kind
}

/// What else a job was made of, with its spec; or without, if that is large.
pub(super) fn made(job: &NewJob) -> (Vec<u8>, Option<Vec<u8>>) {
    let spec = spec(job);
    let is_apart = spec.len() > LARGE_SPEC;
    let mut made = Vec::with_capacity(64 + if is_apart { 0 } else { spec.len() });
    let is_usual = job.scheduled_for.is_none() && job.unique.is_none();
    made.push(if is_usual { 0 } else { IS_NOT_USUAL } | if is_apart { SPEC_APART } else { 0 });
    let due = job.scheduled_for.map(|time| double(time.unix_micros()).to_be_bytes());
    put_short(&mut made, due.as_ref().map_or(&[], |due| due.as_slice()));
    let unique = job.unique.as_ref().map(|key| format!("{}/{key}", job.task)).unwrap_or_default();
    put_short(&mut made, unique.as_bytes());
    put_short(&mut made, job.created_by.as_ref().map_or(&[], |user| user.0.as_bytes()));
    if is_apart {
        return (made, Some(spec));
    }
    made.extend(spec);
    (made, None)
}

/// What only a worker or a person has to know of it.
fn spec(job: &NewJob) -> Vec<u8> {
    let mut spec = Vec::with_capacity(64 + job.payload.len());
    match job.backoff {
        Backoff::Fixed(wait) => {
            spec.push(0);
            put_duration(&mut spec, wait);
        }
        Backoff::Exponential { base, cap } => {
            spec.push(1);
            put_duration(&mut spec, base);
            put_duration(&mut spec, cap);
        }
    }
    put_duration(&mut spec, job.timeout);
    match job.scheduled_for {
        None => spec.push(0),
        Some(time) => {
            spec.push(1);
            spec.extend(time.unix_micros().to_be_bytes());
        }
    }
    let trace = job.trace.as_deref();
    spec.push(u8::from(trace.is_some()));
    let trace = trace.unwrap_or_default();
    put_length(&mut spec, trace.len() as u64);
    spec.extend(trace.as_bytes());
    spec.extend(&job.payload[..]);
    spec
}

/// What has become of a job since it was made, as `record.lua` keeps it.
#[derive(Default)]
struct Changes<'a> {
    flags: u8,
    cause: u8,
    attempts: u32,
    strikes: u32,
    run: u64,
    settled: Option<u64>,
    since: Option<Timestamp>,
    due: Option<Timestamp>,
    struck_at: Option<Timestamp>,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    worker: &'a str,
}

impl<'a> Changes<'a> {
    fn read(state: JobState, form: u8, record: &mut Reader<'a>) -> Option<Self> {
        if form == IN_FULL {
            return Self::in_full(record);
        }
        let once = Self { attempts: 1, run: 1, ..Self::default() };
        Some(match state {
            JobState::Scheduled | JobState::Ready => Self::default(),
            JobState::Running => Self { worker: record.text()?, started_at: record.time()?, ..once },
            _ => Self { settled: Some(1), finished_at: record.time()?, started_at: record.time()?, ..once },
        })
    }

    fn in_full(record: &mut Reader<'a>) -> Option<Self> {
        let changes = Self {
            flags: record.byte()?,
            cause: record.byte()?,
            attempts: record.number()?,
            strikes: record.number()?,
            run: record.whole()??,
            settled: record.whole()?,
            since: record.time()?,
            due: record.time()?,
            struck_at: record.time()?,
            started_at: record.time()?,
            finished_at: record.time()?,
            worker: record.text()?,
        };
        let watchers = u16::from_be_bytes(record.array()?);
        record.take(usize::from(watchers)).map(|_| changes)
    }
}

/// A job as it is kept.
pub(super) struct Record {
    pub(super) job: NewJob,
    pub(super) life: Life,
    created_at: Timestamp,
}

impl Record {
    /// Reads what [`kind`], [`made`] and `record.lua` have written, and how it ended. The spec is empty if it is not kept
    /// apart.
    pub(super) fn read(id: JobId, record: &[u8], spec: &[u8], result: &[u8]) -> Option<Self> {
        let mut record = Reader(record);
        let first = record.byte()?;
        let state = *JobState::ALL.get(usize::from(first % 8))?;
        let changed = Changes::read(state, first / 8, &mut record)?;
        let created_at = record.time()??;
        let mut kind = Reader(record.short()?);
        let (priority, max_attempts) = (kind.byte()?, kind.number()?);
        let mut lane = std::str::from_utf8(kind.0).ok()?.split('/');
        let (queue, task) = (QueueName::parse(lane.next()?).ok()?, TaskName::parse(lane.next()?).ok()?);
        let version = lane.next()?.parse().ok()?;
        record.byte()?;
        let first_due = match record.short()? {
            [] => None,
            due => Reader(due).time()?,
        };
        let unique = record.text()?.split_once('/').map(|(_, key)| UniqueKey::parse(key));
        let created_by = record.short()?;

        let mut spec = if spec.is_empty() { record } else { Reader(spec) };
        let backoff = match spec.byte()? {
            0 => Backoff::Fixed(spec.duration()?),
            _ => Backoff::Exponential { base: spec.duration()?, cap: spec.duration()? },
        };
        let timeout = spec.duration()?;
        let scheduled_for = match spec.byte()? {
            0 => None,
            _ => Some(Timestamp::from_unix_micros(i64::from_be_bytes(spec.array()?))),
        };
        let (is_traced, trace) = (spec.byte()? == 1, std::str::from_utf8(spec.long()?).ok()?);
        let job = NewJob {
            id,
            task,
            version,
            queue,
            priority: Priority::parse(priority).ok()?,
            payload: Bytes::copy_from_slice(spec.0),
            max_attempts,
            backoff,
            timeout,
            scheduled_for,
            unique: unique.transpose().ok()?,
            created_by: user(created_by)?,
            trace: is_traced.then(|| trace.to_owned()),
        };
        let stands = match state {
            JobState::Scheduled => Stands::Scheduled(changed.due.or(first_due)?),
            JobState::Ready if changed.flags & HANDED_BACK > 0 => Stands::Ready(Turn::HandedBack),
            JobState::Ready => Stands::Ready(Turn::Usual),
            JobState::Running => Stands::Running(WorkerId::parse(changed.worker).ok()?),
            ended => Stands::Ended(outcome(ended, changed.cause, result)?, changed.finished_at?),
        };
        let life = Life {
            stands,
            since: changed.since.unwrap_or_else(|| first_due.map_or(created_at, |due| due.max(created_at))),
            attempts: changed.attempts,
            run: Run(changed.run),
            settled: changed.settled.map(Run),
            cancel: changed.flags & CANCEL > 0,
            suspect: changed.flags & SUSPECT > 0,
            strikes: changed.strikes,
            struck_at: changed.struck_at,
            started_at: changed.started_at,
        };
        Some(Self { job, life, created_at })
    }

    /// What others see of it, with this progress.
    pub(super) fn into_job(self, progress: Progress) -> Job {
        let Self { job: spec, life, created_at } = self;
        Job {
            spec,
            state: life.state(),
            attempts: life.attempts,
            progress,
            outcome: life.outcome().cloned(),
            created_at,
            started_at: life.started_at,
            finished_at: life.finished_at(),
        }
    }

    fn into_leased(self) -> Option<LeasedJob> {
        let Self { job, life, .. } = self;
        let Stands::Running(worker) = life.stands else {
            return None;
        };
        let lease = portwright_domain::job::Lease { job: job.id, run: life.run, worker };
        Some(LeasedJob { lease, job, attempt: life.attempts, suspect: life.suspect })
    }
}

/// Who asked for a job, where anybody did.
#[expect(clippy::option_option, reason = "the outer one is whether it could be read")]
pub(super) fn user(bytes: &[u8]) -> Option<Option<UserId>> {
    if bytes.is_empty() {
        return Some(None);
    }
    Uuid::from_slice(bytes).ok().map(|user| Some(UserId(user)))
}

/// Jobs that were leased together.
pub(super) fn leased(bytes: &[u8]) -> Option<Vec<LeasedJob>> {
    let mut reader = Reader(bytes);
    let mut leased = Vec::new();
    while !reader.0.is_empty() {
        let id = id(reader.take(16)?)?;
        let (life, spec) = (reader.number()?, reader.number()?);
        let life = reader.take(usize::try_from(life).ok()?)?;
        let spec = reader.take(usize::try_from(spec).ok()?)?;
        leased.push(Record::read(id, life, spec, &[])?.into_leased()?);
    }
    Some(leased)
}

/// How a job ended, as it is told: its state, who says why it is dead, and the rest.
pub(super) fn end(bytes: &[u8]) -> Option<Outcome> {
    let mut reader = Reader(bytes);
    let state = *JobState::ALL.get(usize::from(reader.byte()?))?;
    outcome(state, reader.byte()?, reader.0)
}

fn outcome(state: JobState, cause: u8, result: &[u8]) -> Option<Outcome> {
    Some(match (state, cause) {
        (JobState::Succeeded, _) => Outcome::Succeeded(Bytes::copy_from_slice(result)),
        (JobState::Failed, _) => Outcome::Failed(Bytes::copy_from_slice(result)),
        (JobState::Cancelled, _) => Outcome::Cancelled,
        (JobState::Dead, ending::CRASHED) => ending::crashed()?,
        (JobState::Dead, ending::NOT_SERVED) => ending::not_served(),
        (JobState::Dead, _) => {
            let (cause, detail) = result.split_first()?;
            let cause = *CauseOfDeath::ALL.get(usize::from(*cause))?;
            Outcome::Dead(Death { cause, detail: String::from_utf8(detail.to_vec()).ok()? })
        }
        _ => return None,
    })
}

/// The number of the state that an outcome leads to, and what else there is to say.
pub(super) fn result(outcome: &Outcome) -> (u8, Vec<u8>) {
    let state = (0..).zip(JobState::ALL).find(|(_, state)| *state == outcome.state());
    let rest = match outcome {
        Outcome::Succeeded(bytes) | Outcome::Failed(bytes) => bytes.to_vec(),
        Outcome::Dead(death) => self::death(death),
        Outcome::Cancelled => Vec::new(),
    };
    (state.map_or(0, |(number, _)| number), rest)
}

pub(super) fn death(death: &Death) -> Vec<u8> {
    let cause = (0..).zip(CauseOfDeath::ALL).find(|(_, cause)| *cause == death.cause);
    let mut bytes = vec![cause.map_or(0, |(number, _)| number)];
    bytes.extend(death.detail.as_bytes());
    bytes
}

pub(super) fn progress(progress: &Progress) -> Vec<u8> {
    let mut bytes = progress.done.to_be_bytes().to_vec();
    bytes.push(u8::from(progress.total.is_some()));
    bytes.extend(progress.total.unwrap_or(0).to_be_bytes());
    bytes.push(u8::from(progress.message.is_some()));
    bytes.extend(progress.message.as_deref().unwrap_or_default().as_bytes());
    bytes
}

/// How far a job has come; no bytes are no progress.
pub(super) fn read_progress(bytes: &[u8]) -> Option<Progress> {
    if bytes.is_empty() {
        return Some(Progress::default());
    }
    let mut reader = Reader(bytes);
    let done = reader.large()?;
    let (has_total, total) = (reader.byte()? == 1, reader.large()?);
    let has_message = reader.byte()? == 1;
    let message = std::str::from_utf8(reader.0).ok()?;
    Some(Progress {
        done,
        total: has_total.then_some(total),
        message: has_message.then(|| message.to_owned()),
    })
}
