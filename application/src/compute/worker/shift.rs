//! [`Shift`]: the loop of a worker, from its first request to its last.

use std::collections::{HashMap, HashSet};
use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use portwright_domain::PortError;
use portwright_domain::job::{Lease, LeasedJob};
use portwright_domain::ports::Event;
use portwright_domain::ports::job_queue::{LeaseRequest, Renewal, Settled};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::attempt::{Attempt, Done, Ran, Stop, Tools};
use super::authority::Authority;
use super::away::Away;
use super::orphans::Orphans;
use super::requests::{Answer, Requests};
use super::verdict::{Reason, outcome_of};
use super::{Ending, Worker};

/// A running job learns within about this time that it was cancelled.
const RENEW_WITHIN: Duration = Duration::from_secs(1);
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
    requests: Requests,
    renewal_due: Instant,
    orphans: Orphans,
    away: Option<Away>,
    /// It was told to stop: what runs is stopped then.
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
            observer: worker.observer.clone(),
            sampler: options.sampler,
        };
        let want = LeaseRequest {
            worker: options.id.clone(),
            tasks: worker.registry.wanted(),
            queues: options.queues.clone(),
            max: 0,
            lease: options.lease,
            wait: Duration::ZERO,
        };
        Self {
            worker,
            mode,
            tools: Arc::new(tools),
            attempts: FuturesUnordered::new(),
            running: HashMap::new(),
            done: Vec::new(),
            requests: Requests::new(worker.source.clone(), want),
            renewal_due: Instant::now() + options.lease / 3,
            orphans: Orphans::default(),
            away: None,
            drain_until: None,
            dry: false,
            failed: None,
        }
    }

    /// What made a shift of [`Mode::UntilEmpty`] end early.
    pub(super) fn failed(&mut self) -> Option<PortError> {
        self.failed.take()
    }

    pub(super) async fn work(&mut self, soft: &CancellationToken, hard: &CancellationToken) -> Ending {
        loop {
            self.stop_what_should();
            self.ask();
            if self.is_over() {
                return Ending::Drained;
            }
            if self.deserted_at().is_some_and(|deserted| deserted <= Instant::now()) {
                self.hand_back().await;
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
                Some(answer) = self.requests.next() => self.hear(answer),
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

    fn is_over(&self) -> bool {
        let asking = self.requests.is_settling() || self.requests.is_parked();
        let idle = self.running.is_empty() && self.done.is_empty() && !asking;
        match (self.mode, self.drain_until) {
            (Mode::UntilEmpty, _) => self.failed.is_some() || (idle && self.dry),
            // If the source is away, the leases end by themselves.
            (Mode::UntilTold, Some(until)) => idle || until + self.tools.grace <= Instant::now(),
            (Mode::UntilTold, None) => false,
        }
    }

    /// When nobody will hear of what is still to be done, if it goes on like this.
    fn deserted_at(&self) -> Option<Instant> {
        let told_at = self.drain_until? - self.worker.options.drain;
        Some(self.away.as_ref()?.deserted_at(told_at))
    }

    /// When the loop has to look although nothing happens.
    fn next_look(&self) -> Instant {
        let now = Instant::now();
        let looks = [
            Some(self.renewal_due),
            (!self.running.is_empty()).then(|| self.tools.authority.ends()),
            self.away.as_ref().map(|away| away.until),
            self.drain_until,
            self.drain_until.map(|until| until + self.tools.grace),
            self.deserted_at(),
        ];
        // What is past has been looked at, and waits for an answer.
        let next = looks.into_iter().flatten().filter(|look| *look > now).min();
        next.unwrap_or(now + RENEW_WITHIN)
    }
}

/// Jobs that run.
impl Shift<'_> {
    /// Starts what has come, unless it came too late: the process was frozen, or the answer was so long on its way that
    /// its jobs may have been handed back as orphans.
    fn take(&mut self, jobs: Vec<LeasedJob>, asked_at: Instant) {
        let too_late = asked_at.elapsed() >= self.orphan_patience();
        for leased in jobs {
            if self.drain_until.is_some() || too_late {
                self.done.push(Done::release(leased.lease));
            } else {
                self.start(leased);
            }
        }
    }

    /// How long a lease may be unknown before it counts as lost on its way.
    fn orphan_patience(&self) -> Duration {
        self.worker.options.lease / 3
    }

    fn start(&mut self, leased: LeasedJob) {
        let now = Instant::now();
        if self.running.is_empty() {
            // From now on somebody may be cancelled, and there is something to lose.
            let too_old = self.tools.authority.last_renewed() + self.worker.options.lease / 3;
            self.renewal_due = self.renewal_due.min(now + RENEW_WITHIN).min(too_old);
        }
        let stop = Arc::new(Stop::default());
        self.running.insert(leased.lease.clone(), Held { stop: stop.clone(), since: now });
        let attempt = Attempt { leased, stop, tools: self.tools.clone() };
        self.attempts.push(Box::pin(attempt.make()));
        self.count_running();
    }

    fn stop_what_should(&self) {
        if !self.running.is_empty() && self.tools.authority.is_lost() {
            self.stop_all(Reason::LeaseLost);
        }
        if self.drain_until.is_some_and(|until| until <= Instant::now()) {
            self.stop_all(Reason::Draining);
        }
    }

    fn stop_all(&self, reason: Reason) {
        for held in self.running.values() {
            held.stop.ask(reason);
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
                tracing::error!(job_id = %lease.job, task = %ran.task, "code does not stop, so its process has to");
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

    /// Drops everything that runs and hands it back, as far as there is an answer within [`HAND_BACK`].
    async fn hand_back(&mut self) {
        let until = Instant::now() + HAND_BACK;
        self.drain_until.get_or_insert(until);
        self.requests.unpark();
        self.attempts.clear();
        self.done.extend(mem::take(&mut self.running).into_keys().map(Done::release));
        self.count_running();
        loop {
            if let Some(away) = &self.away {
                sleep_until(away.until.min(until)).await;
            }
            if !self.done.is_empty() && !self.requests.is_settling() {
                self.requests.exchange(mem::take(&mut self.done), 0, Duration::ZERO);
            }
            if !self.requests.is_settling() && !self.requests.is_parked() {
                return;
            }
            match timeout_at(until, self.requests.next()).await {
                // A source that refuses at once would be asked for ever.
                Ok(Some(_)) if until <= Instant::now() => return,
                Ok(Some(answer)) => self.hear(answer),
                Ok(None) | Err(_) => return,
            }
        }
    }
}

/// What is asked of the source.
impl Shift<'_> {
    fn ask(&mut self) {
        let now = Instant::now();
        if now >= self.renewal_due && !self.requests.is_renewing() {
            self.requests.renew();
        }
        if self.away.as_ref().is_some_and(|away| now < away.until) {
            return;
        }
        let free = self.free_places();
        if self.requests.is_settling() {
            // What ends meanwhile goes with the next request, all at once.
        } else if !self.done.is_empty() {
            self.requests.exchange(mem::take(&mut self.done), free, Duration::ZERO);
        } else if free > 0 && !self.requests.is_parked() && !self.dry {
            let wait = if self.mode == Mode::UntilTold { self.worker.options.park } else { Duration::ZERO };
            self.requests.exchange(Vec::new(), free, wait);
        }
    }

    fn free_places(&self) -> u32 {
        if self.drain_until.is_some() {
            return 0;
        }
        let running = u32::try_from(self.running.len()).unwrap_or(u32::MAX);
        self.worker.options.concurrency.saturating_sub(running).saturating_sub(self.requests.places())
    }
}

/// What the source answers.
impl Shift<'_> {
    fn hear(&mut self, answer: Answer) {
        match answer {
            Answer::Exchanged { asked_at, done, max, answer: Ok(exchange) } => {
                self.is_back(asked_at);
                for (done, settled) in done.iter().zip(&exchange.settled) {
                    self.settled(done, *settled);
                }
                self.dry = self.mode == Mode::UntilEmpty && max > 0 && exchange.leased.is_empty();
                self.take(exchange.leased, asked_at);
            }
            Answer::Exchanged { done, answer: Err(error), .. } => {
                // Kept in their order, and sent again: settling twice is safe.
                self.done.splice(0..0, done);
                self.is_away(error);
            }
            Answer::Renewed { asked_at, answer } => {
                let often = if self.running.is_empty() { Duration::MAX } else { RENEW_WITHIN };
                self.renewal_due = Instant::now() + often.min(self.worker.options.lease / 3);
                match answer {
                    Ok(renewal) => {
                        self.is_back(asked_at);
                        self.renewed(asked_at, &renewal);
                    }
                    // Nothing else is asked then, as long as jobs run.
                    Err(error) if self.drain_until.is_some() => self.is_away(error),
                    Err(error) => tracing::debug!(%error, "could not renew the lease"),
                }
            }
            Answer::Unparked { .. } => {}
        }
    }

    fn settled(&self, done: &Done, settled: Settled) {
        let (counts, observer) = (&self.worker.counts, &self.worker.observer);
        let Some(Ran { task, queue, took }) = &done.ran else { return };
        let (task, queue, took) = (task.as_str(), queue.as_str(), *took);
        match settled {
            Settled::Accepted => {
                counts.settled.fetch_add(1, Ordering::Relaxed);
                let outcome = outcome_of(&done.settlement.verdict);
                observer.observe(&Event::JobFinished { queue, task, outcome, took });
            }
            Settled::LeaseLost => {
                counts.lost.fetch_add(1, Ordering::Relaxed);
                observer.observe(&Event::LeaseLost { task });
            }
        }
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
        known.extend(self.requests.settling());
        let unknown = held.difference(&known).map(|lease| (*lease).clone());
        let orphans = self.orphans.certain(unknown, self.orphan_patience(), Instant::now());
        self.done.extend(orphans.into_iter().map(|lease| {
            tracing::warn!(job_id = %lease.job, "handed back a job that was leased and never arrived");
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
        if self.away.is_none() {
            tracing::warn!(%error, "the queue is away");
        }
        self.away = Some(Away::after(self.away.as_ref()));
        if self.mode == Mode::UntilEmpty {
            self.failed = Some(error);
        }
    }
}
