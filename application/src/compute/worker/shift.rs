//! [`Shift`]: the loop of a worker, from its first request to its last.

use std::collections::{HashMap, HashSet};
use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use portwright_domain::job::{Lease, LeasedJob};
use portwright_domain::ports::Event;
use portwright_domain::ports::job_queue::{Exchange, LeaseRequest, Renewal, Settled, Verdict};
use portwright_domain::{ErrorKind, PortError};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::attempt::{Attempt, Done, Ran, Stop, Tools};
use super::authority::Authority;
use super::orphans::Orphans;
use super::verdict::Reason;
use super::{Ending, Worker};
use crate::jitter::random_share;

/// A running job learns within about this time that it was cancelled.
const RENEW_WITHIN: Duration = Duration::from_secs(1);
/// What the source may take for an answer, beyond the wait that it was asked for.
const PATIENCE: Duration = Duration::from_secs(10);
/// The waits between requests while the source is away.
const SHORTEST_AWAY: Duration = Duration::from_millis(50);
const LONGEST_AWAY: Duration = Duration::from_secs(1);
/// What handing back everything may take.
const HAND_BACK: Duration = Duration::from_secs(2);

/// When a shift is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// When it is told to stop.
    UntilTold,
    /// When nothing is ready and nothing runs, or a request fails.
    UntilEmpty,
}

pub(super) struct Shift<'w> {
    worker: &'w Worker,
    mode: Mode,
    tools: Arc<Tools>,
    attempts: FuturesUnordered<BoxFuture<'static, Done>>,
    running: HashMap<Lease, Held>,
    /// What ended and is not settled yet.
    done: Vec<Done>,
    calls: FuturesUnordered<BoxFuture<'static, Answer>>,
    requests: Requests,
    renewal: Schedule,
    orphans: Orphans,
    away: Option<Away>,
    /// Running jobs are stopped then.
    drain_until: Option<Instant>,
    /// Of [`Mode::UntilEmpty`]: the last request brought nothing, and nothing has ended since.
    dry: bool,
    failed: Option<PortError>,
}

/// A job that runs.
struct Held {
    stop: Arc<Stop>,
    since: Instant,
}

/// What has been asked and not answered.
#[derive(Debug, Default)]
struct Requests {
    /// How many jobs may come.
    places: u32,
    /// One that waits for a job is under way, and is given up by this.
    parked: Option<CancellationToken>,
    /// One that settles these is under way.
    settling: Option<Vec<Lease>>,
}

impl Requests {
    fn unpark(&self) {
        self.parked.iter().for_each(CancellationToken::cancel);
    }
}

#[derive(Debug)]
struct Schedule {
    due: Instant,
    asked: bool,
}

/// The source does not answer.
#[derive(Debug)]
struct Away {
    tries: u32,
    until: Instant,
}

enum Answer {
    Exchanged {
        asked_at: Instant,
        done: Vec<Done>,
        max: u32,
        answer: Result<Exchange, PortError>,
    },
    /// Nobody waits for a job any more.
    Unparked {
        max: u32,
    },
    Renewed {
        asked_at: Instant,
        answer: Result<Renewal, PortError>,
    },
}

impl<'w> Shift<'w> {
    pub(super) fn new(worker: &'w Worker, mode: Mode) -> Self {
        let options = &worker.options;
        let tools = Tools {
            registry: worker.registry.clone(),
            source: worker.source.clone(),
            authority: Arc::new(Authority::new(options.lease)),
            draining: CancellationToken::new(),
            handlers: options.handlers.clone().unwrap_or_else(Handle::current),
            grace: options.grace,
        };
        Self {
            worker,
            mode,
            tools: Arc::new(tools),
            attempts: FuturesUnordered::new(),
            running: HashMap::new(),
            done: Vec::new(),
            calls: FuturesUnordered::new(),
            requests: Requests::default(),
            renewal: Schedule { due: Instant::now() + options.lease / 3, asked: false },
            orphans: Orphans::default(),
            away: None,
            drain_until: None,
            dry: false,
            failed: None,
        }
    }

    pub(super) async fn run(mut self, soft: CancellationToken, hard: CancellationToken) -> Ending {
        self.work(&soft, &hard).await
    }

    /// What made a shift of [`Mode::UntilEmpty`] end early.
    pub(super) fn failed(&mut self) -> Option<PortError> {
        self.failed.take()
    }

    pub(super) async fn work(&mut self, soft: &CancellationToken, hard: &CancellationToken) -> Ending {
        loop {
            self.watch();
            self.ask();
            if self.is_over() {
                return Ending::Drained;
            }
            let next_look = self.next_look();
            tokio::select! {
                biased;
                () = hard.cancelled() => {
                    self.hand_back().await;
                    return Ending::Drained;
                }
                () = soft.cancelled(), if self.drain_until.is_none() => {
                    self.drain_until = Some(Instant::now() + self.worker.options.drain);
                    self.tools.draining.cancel();
                    self.requests.unpark();
                }
                Some(answer) = self.calls.next() => self.hear(answer),
                Some(done) = self.attempts.next() => {
                    if let Some(stuck) = self.take_all_that_ended(done) {
                        self.hand_back().await;
                        return stuck;
                    }
                }
                () = sleep_until(next_look) => {}
            }
        }
    }

    /// Takes note of everything that has ended by now, so that it is settled in one request.
    fn take_all_that_ended(&mut self, first: Done) -> Option<Ending> {
        let mut stuck = None;
        let mut next = Some(first);
        while let Some(done) = next {
            let lease = &done.settlement.lease;
            self.running.remove(lease);
            if let (true, Some(ran)) = (done.stuck, &done.ran) {
                tracing::error!(job = %lease.job, task = %ran.task, "the code of a task does not stop, so its process has to");
                stuck = Some(Ending::Stuck { task: ran.task.clone(), job: lease.job });
            }
            self.done.push(done);
            next = self.attempts.next().now_or_never().flatten();
        }
        self.dry = false;
        self.count_running();
        stuck
    }

    fn count_running(&self) {
        self.worker.counts.running.store(self.running.len() as u64, Ordering::Relaxed);
    }
}

/// What time does.
impl Shift<'_> {
    fn watch(&mut self) {
        let now = Instant::now();
        if !self.running.is_empty() && self.tools.authority.is_lost() {
            self.stop_all(Reason::LeaseLost);
        }
        if self.drain_until.is_some_and(|until| until <= now) {
            self.stop_all(Reason::Draining);
        }
    }

    fn stop_all(&self, reason: Reason) {
        for held in self.running.values() {
            held.stop.ask(reason);
        }
    }

    fn is_over(&self) -> bool {
        let idle = self.running.is_empty()
            && self.done.is_empty()
            && self.requests.settling.is_none()
            && self.requests.parked.is_none();
        match (self.mode, self.drain_until) {
            (Mode::UntilEmpty, _) => self.failed.is_some() || (idle && self.dry),
            // If the source is away, the leases end by themselves.
            (Mode::UntilTold, Some(until)) => idle || until + self.tools.grace <= Instant::now(),
            (Mode::UntilTold, None) => false,
        }
    }

    /// When the loop has to look although nothing happens.
    fn next_look(&self) -> Instant {
        let now = Instant::now();
        let running = !self.running.is_empty();
        let looks = [
            Some(self.renewal.due),
            running.then(|| self.tools.authority.ends()),
            self.away.as_ref().map(|away| away.until),
            self.drain_until,
            self.drain_until.map(|until| until + self.tools.grace),
        ];
        // What is past has been looked at, and waits for an answer.
        let next = looks.into_iter().flatten().filter(|look| *look > now).min();
        next.unwrap_or(now + RENEW_WITHIN)
    }
}

/// Asking.
impl Shift<'_> {
    fn ask(&mut self) {
        let now = Instant::now();
        if now >= self.renewal.due && !self.renewal.asked {
            self.renew();
        }
        if self.away.as_ref().is_some_and(|away| now < away.until) {
            return;
        }
        let free = self.free_places();
        if self.requests.settling.is_some() {
            // What ends meanwhile goes with the next request, all at once.
        } else if !self.done.is_empty() {
            self.exchange(free, Duration::ZERO);
        } else if free > 0 && self.requests.parked.is_none() && !self.dry {
            let wait = if self.mode == Mode::UntilTold { self.worker.options.park } else { Duration::ZERO };
            self.exchange(free, wait);
        }
    }

    fn free_places(&self) -> u32 {
        if self.drain_until.is_some() {
            return 0;
        }
        let running = u32::try_from(self.running.len()).unwrap_or(u32::MAX);
        self.worker.options.concurrency.saturating_sub(running).saturating_sub(self.requests.places)
    }

    /// Settles what is done and asks for as many jobs.
    fn exchange(&mut self, max: u32, wait: Duration) {
        let options = &self.worker.options;
        let request = LeaseRequest {
            worker: options.id.clone(),
            tasks: self.tools.registry.wanted(),
            queues: options.queues.clone(),
            max,
            lease: options.lease,
            wait,
        };
        let done = mem::take(&mut self.done);
        self.requests.places += max;
        let unpark = CancellationToken::new();
        if done.is_empty() {
            self.requests.parked = Some(unpark.clone());
        } else {
            self.requests.settling = Some(done.iter().map(|done| done.settlement.lease.clone()).collect());
        }
        let (source, asked_at) = (self.tools.source.clone(), Instant::now());
        self.calls.push(Box::pin(async move {
            let settle: Vec<_> = done.iter().map(|done| done.settlement.clone()).collect();
            let answer = timeout(wait + PATIENCE, source.exchange(&settle, &request));
            // Given up like this, it brings no job: the source hands back what nobody waits for.
            let Some(answer) = unpark.run_until_cancelled(answer).await else {
                return Answer::Unparked { max };
            };
            let answer = answer.unwrap_or_else(|_| Err(no_answer("jobs.exchange")));
            Answer::Exchanged { asked_at, done, max, answer }
        }));
    }

    fn renew(&mut self) {
        self.renewal.asked = true;
        let options = &self.worker.options;
        let (source, id, lease) = (self.tools.source.clone(), options.id.clone(), options.lease);
        let asked_at = Instant::now();
        self.calls.push(Box::pin(async move {
            let answer = timeout(lease / 3, source.renew(&id, lease)).await;
            Answer::Renewed { asked_at, answer: answer.unwrap_or_else(|_| Err(no_answer("jobs.renew"))) }
        }));
    }
}

/// Hearing.
impl Shift<'_> {
    fn hear(&mut self, answer: Answer) {
        match answer {
            Answer::Exchanged { asked_at, done, max, answer } => {
                self.requests.places -= max;
                if done.is_empty() {
                    self.requests.parked = None;
                } else {
                    self.requests.settling = None;
                }
                match answer {
                    Ok(exchange) => {
                        self.is_back(asked_at);
                        self.settled(&done, &exchange.settled);
                        self.dry = self.mode == Mode::UntilEmpty && max > 0 && exchange.leased.is_empty();
                        exchange.leased.into_iter().for_each(|leased| self.start(leased));
                    }
                    Err(error) => {
                        // Kept in their order, and sent again: settling twice is safe.
                        self.done.splice(0..0, done);
                        self.is_away(error);
                    }
                }
            }
            Answer::Renewed { asked_at, answer } => {
                self.renewal.asked = false;
                let often = if self.running.is_empty() { Duration::MAX } else { RENEW_WITHIN };
                self.renewal.due = Instant::now() + often.min(self.worker.options.lease / 3);
                match answer {
                    Ok(renewal) => {
                        self.tools.authority.renewed(asked_at);
                        self.renewed(asked_at, &renewal);
                    }
                    Err(error) => tracing::debug!(%error, "could not renew the lease"),
                }
            }
            Answer::Unparked { max } => {
                self.requests.places -= max;
                self.requests.parked = None;
            }
        }
    }

    fn settled(&self, done: &[Done], settled: &[Settled]) {
        let (counts, observer) = (&self.worker.counts, &self.worker.observer);
        for (done, settled) in done.iter().zip(settled) {
            let Some(Ran { task, queue, took }) = &done.ran else {
                continue;
            };
            let (task, queue, took) = (task.as_str(), queue.as_str(), *took);
            match settled {
                Settled::Accepted => {
                    counts.settled.fetch_add(1, Ordering::Relaxed);
                    let outcome = match &done.settlement.verdict {
                        Verdict::Finish(outcome) => outcome.state().as_str(),
                        Verdict::Retry { .. } => "retried",
                        Verdict::Release => "released",
                    };
                    observer.observe(&Event::JobFinished { queue, task, outcome, took });
                }
                Settled::LeaseLost => {
                    counts.lost.fetch_add(1, Ordering::Relaxed);
                    observer.observe(&Event::LeaseLost { task });
                }
            }
        }
    }

    fn start(&mut self, leased: LeasedJob) {
        if self.drain_until.is_some() {
            self.done.push(Done::release(leased.lease));
            return;
        }
        let now = Instant::now();
        let stop = Arc::new(Stop::default());
        if self.running.is_empty() {
            // From now on somebody may be cancelled, and there is something to lose.
            let oldest = self.tools.authority.last_renewed() + self.worker.options.lease / 3;
            self.renewal.due = self.renewal.due.min(now + RENEW_WITHIN).min(oldest);
        }
        self.running.insert(leased.lease.clone(), Held { stop: stop.clone(), since: now });
        let attempt = Attempt { leased, stop, tools: self.tools.clone() };
        self.attempts.push(Box::pin(attempt.make()));
        self.count_running();
    }

    fn renewed(&mut self, asked_at: Instant, renewal: &Renewal) {
        let held: HashSet<&Lease> = renewal.held.iter().collect();
        for (lease, running) in &self.running {
            if renewal.cancelled.contains(&lease.job) {
                running.stop.ask(Reason::Cancelled);
            } else if running.since < asked_at && !held.contains(lease) {
                running.stop.ask(Reason::LeaseLost);
            }
        }
        let mut known: HashSet<&Lease> = self.running.keys().collect();
        known.extend(self.done.iter().map(|done| &done.settlement.lease));
        known.extend(self.requests.settling.iter().flatten());
        let unknown = held.difference(&known).map(|lease| (*lease).clone());
        let orphans = self.orphans.certain(unknown, self.worker.options.lease / 3, Instant::now());
        self.done.extend(orphans.into_iter().map(|lease| {
            tracing::warn!(job = %lease.job, "handed back a job that was leased and never arrived");
            Done::release(lease)
        }));
    }

    fn is_back(&mut self, asked_at: Instant) {
        self.tools.authority.renewed(asked_at);
        if self.away.take().is_some() {
            tracing::info!("the queue is back");
        }
    }

    fn is_away(&mut self, error: PortError) {
        let tries = self.away.as_ref().map_or(0, |away| away.tries);
        if tries == 0 {
            tracing::warn!(%error, "the queue is away");
        }
        let wait = SHORTEST_AWAY.saturating_mul(1 << tries.min(8)).min(LONGEST_AWAY);
        let wait = wait.mul_f64(random_share().midpoint(1.0));
        self.away = Some(Away { tries: tries + 1, until: Instant::now() + wait });
        if self.mode == Mode::UntilEmpty {
            self.failed = Some(error);
        }
    }
}

/// Giving back.
impl Shift<'_> {
    /// Drops everything that runs and hands it back, as far as there is an answer within [`HAND_BACK`].
    async fn hand_back(&mut self) {
        let until = Instant::now() + HAND_BACK;
        self.drain_until.get_or_insert(until);
        self.requests.unpark();
        self.attempts.clear();
        self.done.extend(mem::take(&mut self.running).into_keys().map(Done::release));
        self.count_running();
        loop {
            let waits = self.away.as_ref().map(|away| away.until).filter(|away| *away > Instant::now());
            if let Some(away) = waits {
                sleep_until(away.min(until)).await;
            }
            if !self.done.is_empty() && self.requests.settling.is_none() {
                self.exchange(0, Duration::ZERO);
            }
            if self.requests.settling.is_none() && self.requests.parked.is_none() {
                return;
            }
            match timeout_at(until, self.calls.next()).await {
                Ok(Some(answer)) => self.hear(answer),
                Ok(None) | Err(_) => return,
            }
        }
    }
}

fn no_answer(operation: &'static str) -> PortError {
    PortError::new(ErrorKind::Unavailable, operation, "no answer in its time")
}
