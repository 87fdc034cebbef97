//! [`Metrics`]: counts and times everything that is observed.

use std::sync::Arc;
use std::time::Duration;

use portwright_domain::error::{ErrorKind, Race};
use portwright_domain::job::JobState;
use portwright_domain::ports::{Clock, Event, Observer};
use prometheus::core::Collector;
use prometheus::{
    Gauge, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use crate::children::Children;
use crate::table::{Kind, Metric, name};
use crate::totals::{Report, Totals};

/// The label of whatever has no template.
const UNMATCHED: &str = "unmatched";
/// The label of a call that did not fail.
const OK: &str = "ok";
/// The states of a breaker, as they are observed.
const BREAKER_STATES: [&str; 3] = ["closed", "open", "half-open"];

/// Watches one process, and listens to those that it started. Clocks, labels and buckets are chosen so that one observation
/// costs about a microsecond; the only memory is that of the series.
pub struct Metrics {
    registry: Registry,
    clock: Arc<dyn Clock>,
    http_duration: HistogramVec,
    http_active: IntGauge,
    http_queued: IntGauge,
    http_shed: IntCounterVec,
    http_panics: IntCounter,
    rate_limit: IntCounterVec,
    limit_fallbacks: IntCounterVec,
    sign_ins: IntCounterVec,
    refresh_reused: IntCounter,
    db_duration: HistogramVec,
    storage_duration: HistogramVec,
    port_duration: HistogramVec,
    causal_reads: IntCounterVec,
    transaction_retries: IntCounterVec,
    breaker: IntGaugeVec,
    cache_requests: IntCounterVec,
    jobs_enqueued: IntCounterVec,
    jobs_finished: IntCounterVec,
    job_run: HistogramVec,
    job_wait: HistogramVec,
    lease_lost: IntCounter,
    worker_restarts: IntCounterVec,
    tokio_busy: Gauge,
    tokio_delay: HistogramVec,
    children: Children,
}

impl Metrics {
    /// Nothing has happened yet. Jobs are timed by this clock.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let registry = Registry::new();
        let it = &registry;
        let metrics = Self {
            http_duration: histogram(it, &name::HTTP_DURATION),
            http_active: register(it, IntGauge::with_opts(opts(&name::HTTP_ACTIVE))),
            http_queued: register(it, IntGauge::with_opts(opts(&name::HTTP_QUEUED))),
            http_shed: counters(it, &name::HTTP_SHED),
            http_panics: register(it, IntCounter::with_opts(opts(&name::HTTP_PANICS))),
            rate_limit: counters(it, &name::RATE_LIMIT),
            limit_fallbacks: counters(it, &name::LIMIT_FALLBACKS),
            sign_ins: counters(it, &name::SIGN_INS),
            refresh_reused: register(it, IntCounter::with_opts(opts(&name::REFRESH_REUSED))),
            db_duration: histogram(it, &name::DB_DURATION),
            storage_duration: histogram(it, &name::STORAGE_DURATION),
            port_duration: histogram(it, &name::PORT_DURATION),
            causal_reads: counters(it, &name::CAUSAL_READS),
            transaction_retries: counters(it, &name::TRANSACTION_RETRIES),
            breaker: register(it, IntGaugeVec::new(opts(&name::BREAKER), name::BREAKER.labels)),
            cache_requests: counters(it, &name::CACHE_REQUESTS),
            jobs_enqueued: counters(it, &name::JOBS_ENQUEUED),
            jobs_finished: counters(it, &name::JOBS_FINISHED),
            job_run: histogram(it, &name::JOB_RUN),
            job_wait: histogram(it, &name::JOB_WAIT),
            lease_lost: register(it, IntCounter::with_opts(opts(&name::LEASE_LOST))),
            worker_restarts: counters(it, &name::WORKER_RESTARTS),
            tokio_busy: register(it, Gauge::with_opts(opts(&name::TOKIO_BUSY))),
            tokio_delay: histogram(it, &name::TOKIO_DELAY),
            children: Children::default(),
            clock,
            registry,
        };
        metrics.begin_at_zero();
        metrics
    }

    /// A rate is of what was there before: where all labels are known, the first event is one more than none.
    fn begin_at_zero(&self) {
        for reason in ["full", "late"] {
            self.http_shed.with_label_values(&[reason]);
        }
        for outcome in ["replica", "waited", "primary"] {
            self.causal_reads.with_label_values(&[outcome]);
        }
        for race in [Race::Busy, Race::Serialization, Race::Deadlock, Race::Rule, Race::Connection] {
            self.transaction_retries.with_label_values(&[race.as_str()]);
        }
        for outcome in ["succeeded", "refused"] {
            self.sign_ins.with_label_values(&[outcome]);
        }
        self.tokio_delay.with_label_values::<&str>(&[]);
    }

    /// A worker process of ours says what it has counted since it began.
    pub fn hear_child(&self, who: &str, report: Report) {
        self.children.hear(who, report);
    }

    /// A worker process of ours is gone, and is not heard any more. What it had said still counts.
    pub fn lose_child(&self, who: &str) {
        self.children.lose(who);
    }

    /// What this process has counted since it began, for its supervisor.
    #[must_use]
    pub fn reports(&self) -> Vec<Report> {
        self.own().reports()
    }

    /// What this process and all that it started have come to.
    pub(crate) fn totals(&self) -> Totals {
        let mut totals = self.own();
        self.children.add_to(&mut totals);
        totals
    }

    fn own(&self) -> Totals {
        Totals::of(&self.registry.gather())
    }

    pub(crate) fn woke(&self, late: Duration) {
        self.tokio_delay.with_label_values::<&str>(&[]).observe(late.as_secs_f64());
    }

    pub(crate) fn worked(&self, share: f64) {
        self.tokio_busy.set(share);
    }

    fn port_called(&self, port: &str, operation: &str, took: Duration, error: Option<ErrorKind>) {
        let outcome = error.map_or(OK, ErrorKind::as_str);
        let series = match port {
            "store" | "users" | "sessions" | "outbox" | "idempotency" => {
                // Of several ports' worth of methods, some have the same name.
                self.db_duration.with_label_values(&[&*format!("{port}.{operation}"), outcome])
            }
            "storage" => self.storage_duration.with_label_values(&[operation, outcome]),
            _ => self.port_duration.with_label_values(&[port, operation, outcome]),
        };
        series.observe(took.as_secs_f64());
    }

    fn job_finished(&self, queue: &str, task: &str, outcome: &str, took: Duration) {
        self.job_run.with_label_values(&[queue, task, outcome]).observe(took.as_secs_f64());
        let is_end = |state: JobState| state.is_terminal() && state.as_str() == outcome;
        if JobState::ALL.into_iter().any(is_end) {
            self.jobs_finished.with_label_values(&[queue, task, outcome]).inc();
        }
    }
}

impl Observer for Metrics {
    fn observe(&self, event: &Event<'_>) {
        match *event {
            Event::RequestBegan => self.http_active.inc(),
            Event::RequestServed { method, route, status, took } => {
                self.http_active.dec();
                let labels = [method, route.unwrap_or(UNMATCHED), &status.to_string()];
                self.http_duration.with_label_values(&labels).observe(took.as_secs_f64());
            }
            Event::RequestQueued => self.http_queued.inc(),
            Event::RequestUnqueued => self.http_queued.dec(),
            Event::RequestShed { reason } => self.http_shed.with_label_values(&[reason]).inc(),
            Event::RequestPanicked => self.http_panics.inc(),
            Event::TransactionRetried { race, .. } => {
                self.transaction_retries.with_label_values(&[race.as_str()]).inc();
            }
            Event::CausalRead { outcome } => self.causal_reads.with_label_values(&[outcome]).inc(),
            Event::PortCalled { port, operation, took, error } => {
                self.port_called(port, operation, took, error);
            }
            Event::BreakerChanged { breaker, state } => {
                for known in BREAKER_STATES {
                    self.breaker.with_label_values(&[breaker, known]).set((known == state).into());
                }
            }
            Event::SignedIn => self.sign_ins.with_label_values(&["succeeded"]).inc(),
            Event::SignInRefused => self.sign_ins.with_label_values(&["refused"]).inc(),
            Event::RefreshReused => self.refresh_reused.inc(),
            Event::LimitChecked { policy, allowed } => {
                let decision = if allowed { "allowed" } else { "refused" };
                self.rate_limit.with_label_values(&[policy, decision]).inc();
            }
            Event::LimitFellBack { policy, to } => {
                self.limit_fallbacks.with_label_values(&[policy, to]).inc();
            }
            Event::CacheRead { cache, hit } => {
                let outcome = if hit { "hit" } else { "miss" };
                self.cache_requests.with_label_values(&[cache, outcome]).inc();
            }
            Event::JobEnqueued { queue, task } => {
                self.jobs_enqueued.with_label_values(&[queue, task]).inc();
            }
            Event::JobStarted { queue, task, due } => {
                let waited = self.clock.now().since(due);
                self.job_wait.with_label_values(&[queue, task]).observe(waited.as_secs_f64());
            }
            Event::JobFinished { queue, task, outcome, took } => {
                self.job_finished(queue, task, outcome, took);
            }
            Event::LeaseLost { .. } => self.lease_lost.inc(),
            Event::WorkerReplaced { reason } => self.worker_restarts.with_label_values(&[reason]).inc(),
            // Of a newer domain.
            _ => {}
        }
    }
}

fn opts(metric: &Metric) -> Opts {
    Opts::new(metric.name, metric.help)
}

fn counters(registry: &Registry, metric: &Metric) -> IntCounterVec {
    register(registry, IntCounterVec::new(opts(metric), metric.labels))
}

fn histogram(registry: &Registry, metric: &Metric) -> HistogramVec {
    let mut options = HistogramOpts::from(opts(metric));
    if let Kind::Histogram(bounds) = metric.kind {
        options.buckets = bounds.to_vec();
    }
    register(registry, HistogramVec::new(options, metric.labels))
}

#[expect(
    clippy::expect_used,
    reason = "names and labels are those of the table, and each test makes all of them"
)]
fn register<C: Collector + Clone + 'static>(registry: &Registry, made: prometheus::Result<C>) -> C {
    let collector = made.expect("a metric that can be made");
    registry.register(Box::new(collector.clone())).expect("a metric that was not registered before");
    collector
}
