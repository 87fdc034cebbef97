//! Lists of jobs, in steps, so that none of them holds Redis up.

use portwright_domain::job::{Job, JobState};
use portwright_domain::page::{Page, PageRequest, Position, Rest};
use portwright_domain::ports::job_queue::JobFilter;
use portwright_domain::user::SortKey;
use portwright_domain::{PortError, Timestamp};
use redis::Value;

use super::RedisJobQueue;
use super::ask::{Answer, Arguments, array, bytes, corrupt, count, number, time, values};
use super::codec::{self, Record, read_progress};

const OPERATION: &str = "jobs.list";

/// One step: jobs that were looked at.
struct Step {
    is_last: bool,
    matched: u64,
    end: Option<(Timestamp, Vec<u8>)>,
    rows: Vec<Job>,
}

impl Step {
    fn read(Answer { value, now, .. }: Answer) -> Option<Self> {
        let [is_last, matched, created_at, id, rows] = values(value)?;
        let (created_at, id) = (time(&created_at)??, bytes(id)?);
        Some(Self {
            is_last: number(&is_last)? == 1,
            matched: count(&matched)?,
            end: (!id.is_empty()).then_some((created_at, id)),
            rows: array(rows)?.into_iter().map(|row| job(row, now)).collect::<Option<_>>()?,
        })
    }
}

/// Everything that is known of a job, as the script tells it.
pub(super) fn job(value: Value, now: Timestamp) -> Option<Job> {
    let [id, life, spec, progress, result] = values(value)?;
    let id = codec::id(&bytes(id)?)?;
    let mut record = Record::read(id, &bytes(life)?, &bytes(spec)?, &bytes(result)?)?;
    // Of very many that are due at once, some are ready a tick later.
    record.life.fall_due(now);
    Some(record.into_job(read_progress(&bytes(progress)?)?))
}

impl RedisJobQueue {
    pub(super) async fn look_through(
        &self,
        filter: &JobFilter,
        page: &PageRequest,
    ) -> Result<Page<Job>, PortError> {
        let limit = u64::from(page.limit().get());
        let (mut skip, mut want, mut behind) = (0, limit, None);
        match page {
            PageRequest::Numbered { page, .. } => skip = u64::from(page.saturating_sub(1)) * limit,
            PageRequest::Walk { after, .. } => {
                if let Some(Position { key: SortKey::Time(created_at), id }) = after {
                    behind = Some((*created_at, id.as_bytes().to_vec()));
                }
                // One more row tells whether there are more.
                want += 1;
            }
        }
        let (mut total, mut rows) = (0, Vec::new());
        loop {
            let asked = arguments(filter, behind.as_ref(), skip, want - rows.len() as u64);
            let answer = self.wire.ask(OPERATION, asked, Vec::new()).await?;
            let step = Step::read(answer).ok_or_else(|| corrupt(OPERATION))?;
            total += step.matched;
            skip = skip.saturating_sub(step.matched);
            rows.extend(step.rows);
            let is_full = matches!(page, PageRequest::Walk { .. }) && rows.len() as u64 >= want;
            if step.is_last || is_full {
                break;
            }
            behind = step.end.or(behind);
        }
        let rest = match page {
            PageRequest::Numbered { .. } => Rest::Total(total),
            PageRequest::Walk { .. } => {
                let more = rows.len() as u64 > limit;
                rows.truncate(page.limit().get() as usize);
                let last = rows.last().filter(|_| more);
                Rest::Next(last.map(|job| Position { key: SortKey::Time(job.created_at), id: job.spec.id.0 }))
            }
        };
        Ok(Page { rows, rest })
    }
}

fn arguments(filter: &JobFilter, behind: Option<&(Timestamp, Vec<u8>)>, skip: u64, want: u64) -> Arguments {
    let mut asked = Arguments::of("list");
    let state =
        filter.state.and_then(|state| (0_u64..).zip(JobState::ALL).find(|(_, known)| *known == state));
    match state {
        Some((number, _)) => asked.add_number(number),
        None => asked.add(""),
    }
    asked.add(filter.task.as_ref().map_or("", |task| task.as_str()));
    asked.add(filter.queue.as_ref().map_or("", |queue| queue.as_str()));
    match behind {
        Some((created_at, id)) => {
            asked.add(created_at.unix_micros().to_string());
            asked.add(id);
        }
        None => asked = asked.with("").with(""),
    }
    asked.with_number(skip).with_number(want)
}
