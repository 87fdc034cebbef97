//! [`Scheduler`]: calls by the clock.
//!
//! Every process may run the same schedules: the id of a job is derived from the schedule and the moment, and enqueuing
//! one id twice is one job. So each moment fires exactly once, whoever comes first, as long as the queue knows a job for
//! longer than [`LOOK_BACK`] and the clocks of the processes differ by less.
//!
//! A moment that passed while no process ran, or while the queue was away, fires as soon as that is over, within
//! [`LOOK_BACK`]; of several such moments of one schedule only the newest does.

use std::cmp::Ordering;
use std::future::Future;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use croner::errors::CronError;
use croner::{CivilDate, CivilDateTime, CivilTime, Cron, CronDateTime, Resolution, Weekday};
use portwright_domain::Timestamp;
use portwright_domain::job::JobId;
use portwright_domain::ports::Clock;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use uuid::Builder;

use super::call::Call;
use super::error::ComputeError;

/// How late a moment may fire.
pub const LOOK_BACK: Duration = Duration::from_mins(10);
/// The longest sleep, so that a clock that was set is noticed.
const LONGEST_SLEEP: Duration = Duration::from_secs(15);
/// The shortest sleep, and the wait after a failure.
const SHORTEST_SLEEP: Duration = Duration::from_secs(1);

/// All schedules of the product. Times are UTC.
///
/// ```
/// # use std::sync::Arc;
/// # use portwright_application::compute::Scheduler;
/// # use portwright_application::compute::schedule::CronInvalid;
/// # use portwright_application::prelude::*;
/// # use portwright_domain::ports::Clock;
/// # struct Reports { compute: Compute }
/// # #[service(name = "reports")]
/// # impl Reports {
/// #     #[compute(version = 1)]
/// #     pub async fn close_month(&self) -> Result<(), ComputeError> { Ok(()) }
/// # }
/// # fn schedules(reports: Arc<Reports>, clock: Arc<dyn Clock>) -> Result<Scheduler, CronInvalid> {
/// Scheduler::new(clock).every("reports.close-month", "0 3 1 * *", reports, |reports| reports.close_month_job())
/// # }
/// ```
pub struct Scheduler {
    clock: Arc<dyn Clock>,
    schedules: Vec<Schedule>,
}

struct Schedule {
    name: &'static str,
    cron: Cron,
    enqueue: Box<dyn Fn(JobId) -> Enqueue + Send + Sync>,
    /// The newest moment that needs no more attention.
    done: Timestamp,
}

type Enqueue = Pin<Box<dyn Future<Output = Result<JobId, ComputeError>> + Send>>;

/// The text is no cron expression of five fields, or of six that begin with the second, or no moment ever meets it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the schedule {schedule} is no cron expression: {detail}")]
pub struct CronInvalid {
    schedule: &'static str,
    detail: String,
}

impl Scheduler {
    /// No schedules yet.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, schedules: Vec::new() }
    }

    /// Makes this call at each moment of the cron expression, under a name that never changes: it is half of what keeps
    /// a moment from firing twice.
    ///
    /// # Errors
    /// If the expression is none.
    pub fn every<S, T, E, F>(
        mut self,
        name: &'static str,
        cron: &str,
        service: Arc<S>,
        call: F,
    ) -> Result<Self, CronInvalid>
    where
        S: Send + Sync + 'static,
        T: 'static,
        E: 'static,
        F: for<'s> Fn(&'s S) -> Call<'s, T, E> + Send + Sync + 'static,
    {
        let invalid = |error: CronError| CronInvalid { schedule: name, detail: error.to_string() };
        let cron = Cron::from_str(cron).map_err(invalid)?;
        // An expression may be well formed and never come true, like the 30th of February.
        cron.find_next_occurrence(&Utc::of(self.clock.now()), false).map_err(invalid)?;
        let call = Arc::new(call);
        let enqueue = move |id| -> Enqueue {
            let (service, call) = (service.clone(), call.clone());
            Box::pin(async move { call(&service).with_id(id).enqueue().await })
        };
        let done = self.clock.now().minus(LOOK_BACK);
        self.schedules.push(Schedule { name, cron, enqueue: Box::new(enqueue), done });
        Ok(self)
    }

    /// Fires until it is told to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let sleep = self.fire().await;
            if stop.run_until_cancelled(tokio::time::sleep(sleep)).await.is_none() {
                return;
            }
        }
    }

    /// Fires what is due, and says how long nothing more will be.
    pub async fn fire(&mut self) -> Duration {
        let now = self.clock.now();
        let mut sleep = LONGEST_SLEEP;
        for schedule in &mut self.schedules {
            sleep = sleep.min(schedule.fire(now).await);
        }
        sleep
    }
}

impl Schedule {
    async fn fire(&mut self, now: Timestamp) -> Duration {
        if let Some(moment) = self.last_moment(now).filter(|moment| *moment > self.done) {
            match (self.enqueue)(job_of(self.name, moment)).await {
                Ok(job) => {
                    self.done = moment;
                    tracing::debug!(schedule = self.name, %moment, %job, "fired");
                }
                Err(error) => {
                    tracing::warn!(schedule = self.name, %moment, %error, "could not fire, will try again");
                    return SHORTEST_SLEEP;
                }
            }
        }
        let next = self.cron.find_next_occurrence(&Utc::of(now), false);
        next.map_or(LONGEST_SLEEP, |next| next.timestamp().since(now))
    }

    /// The newest moment up to now that is not too long ago.
    fn last_moment(&self, now: Timestamp) -> Option<Timestamp> {
        let moment = self.cron.find_previous_occurrence(&Utc::of(now), true).ok()?.timestamp();
        (now.since(moment) < LOOK_BACK).then_some(moment)
    }
}

/// The same in every process and for ever: the moment, and 74 bits of a digest (FNV-1a) of the schedule's name.
fn job_of(schedule: &str, moment: Timestamp) -> JobId {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let digest = schedule.bytes().fold(OFFSET, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME));
    let mut bits = [0; 10];
    bits.copy_from_slice(&digest.to_be_bytes()[6..]);
    let millis = u64::try_from(moment.unix_micros() / 1_000).unwrap_or(0);
    JobId(Builder::from_unix_timestamp_millis(millis, &bits).into_uuid())
}

/// The calendar that cron expressions are read by: whole seconds since 1970, without time zones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Utc(i64);

impl Utc {
    const fn of(moment: Timestamp) -> Self {
        Self(moment.unix_seconds())
    }

    const fn timestamp(self) -> Timestamp {
        Timestamp::from_unix_micros(self.0.saturating_mul(1_000_000))
    }

    fn date(self) -> OffsetDateTime {
        // A timestamp ends with the year 9999, as this does, so the other case does not occur.
        OffsetDateTime::from_unix_timestamp(self.0).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }
}

impl CronDateTime for Utc {
    fn to_civil(&self) -> CivilDateTime {
        let date = self.date();
        let (hour, minute, second) = date.to_hms();
        let time = CivilTime::from_hms_opt(hour.into(), minute.into(), second.into());
        let (year, month, day) = date.to_calendar_date();
        let date = CivilDate::from_parts_unchecked(year, u8::from(month).into(), day.into());
        CivilDateTime::new(date, time.unwrap_or(CivilTime::MIDNIGHT))
    }

    fn civil_weekday(&self) -> Weekday {
        Weekday::from_days_from_sunday(self.date().weekday().number_days_from_sunday().into())
    }

    fn resolve_civil(&self, civil: CivilDateTime) -> Result<Resolution<Self>, CronError> {
        let part = |number: u32| u8::try_from(number).map_err(|_| CronError::InvalidDate);
        let month = time::Month::try_from(part(civil.month())?).map_err(|_| CronError::InvalidDate)?;
        let date = time::Date::from_calendar_date(civil.year(), month, part(civil.day())?);
        let date = date.map_err(|_| CronError::InvalidDate)?;
        let time = date.with_hms(part(civil.hour())?, part(civil.minute())?, part(civil.second())?);
        let moment = time.map_err(|_| CronError::InvalidTime)?.assume_utc();
        Ok(Resolution::Single(Self(moment.unix_timestamp())))
    }

    fn checked_add_seconds(&self, seconds: i64) -> Option<Self> {
        self.0.checked_add(seconds).map(Self)
    }

    fn cmp_instant(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(cron: &str, after: &str) -> String {
        let after: Timestamp = after.parse().expect("a moment");
        let cron = Cron::from_str(cron).expect("a cron expression");
        cron.find_next_occurrence(&Utc::of(after), false).expect("a next moment").timestamp().to_string()
    }

    #[test]
    fn expressions_are_read_as_everybody_reads_them() {
        let cases = [
            ("* * * * *", "2026-01-01T00:00:30Z", "2026-01-01T00:01:00Z"),
            ("*/10 * * * * *", "2026-01-01T00:00:30Z", "2026-01-01T00:00:40Z"),
            ("0 3 1 * *", "2026-01-31T04:00:00Z", "2026-02-01T03:00:00Z"),
            ("30 2 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T02:30:00Z"),
            ("0 9 * * MON-FRI", "2026-01-02T09:00:00Z", "2026-01-05T09:00:00Z"),
            ("0 0 L * *", "2026-02-01T00:00:00Z", "2026-02-28T00:00:00Z"),
        ];
        for (cron, after, expected) in cases {
            assert_eq!(next(cron, after), expected, "{cron}");
        }
    }

    #[test]
    fn a_moment_of_a_schedule_has_one_job_everywhere_and_for_ever() {
        let moment = Timestamp::from_unix_micros(1_767_225_600_000_000);
        assert_eq!(job_of("reports.close", moment).to_string(), "019b76da-a800-73f0-8519-88770a37fa8e");
        assert_ne!(job_of("reports.close", moment), job_of("reports.open", moment));
        assert_ne!(job_of("reports.close", moment), job_of("reports.close", moment.plus(SHORTEST_SLEEP)));
    }
}
