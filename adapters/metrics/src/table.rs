//! Every metric there is: the one place where a name, a label or a bucket is written. Dashboards and alerts are checked
//! against it, through the table in the README, which a test compares.
//!
//! Times are seconds, sizes are bytes. A label has few values, all known beforehand or chosen by the operator, and none of
//! them tells of a person or a process.

/// A metric.
#[derive(Debug, PartialEq)]
pub struct Metric {
    /// As Prometheus stores it; a histogram with `_bucket`, `_sum` and `_count` behind it.
    pub name: &'static str,
    /// What its values are.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

/// What the values of a metric are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Only grows, as long as the process lives.
    Counter,
    /// How it is now.
    Gauge,
    /// How many were at most this large, for each of these.
    Histogram(&'static [f64]),
}

impl Kind {
    /// The word that Prometheus has for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Counter, labels, help }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, labels, help }
}

const fn histogram(
    name: &'static str,
    labels: &'static [&'static str],
    bounds: &'static [f64],
    help: &'static str,
) -> Metric {
    Metric { name, kind: Kind::Histogram(bounds), labels, help }
}

/// Of the OpenTelemetry convention for HTTP.
const HTTP: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
/// Of the same convention for databases, and two smaller ones: a file of this host answers sooner than a server.
const DATABASE: &[f64] = &[0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];
/// From a quick look-up to what takes a night.
const JOBS: &[f64] = &[0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0];
/// The timer knows milliseconds; a tenth of a second is felt.
const DELAYS: &[f64] = &[0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

macro_rules! metrics {
    ($($constant:ident = $metric:expr;)*) => {
        /// Each metric by a name that the compiler knows.
        pub mod name {
            use super::*;
            $(#[doc = concat!("See [`", stringify!($constant), ".help`](Metric::help).")]
            pub static $constant: Metric = $metric;)*
        }

        impl Metric {
            /// All of them.
            pub const ALL: &'static [&'static Self] = &[$(&name::$constant),*];
        }
    };
}

metrics! {
    HTTP_DURATION = histogram("http_server_request_duration_seconds",
        &["http_request_method", "http_route", "http_response_status_code"], HTTP,
        "How long answers took; the route is a template, and all that match none are `unmatched`; without probes and scrapes");
    HTTP_ACTIVE = gauge("http_server_active_requests", &[],
        "Requests that are being answered, without probes and scrapes");
    HTTP_QUEUED = gauge("http_server_queued_requests", &[],
        "Requests that wait, because as many are worked on as can be");
    HTTP_SHED = counter("http_server_shed_requests_total", &["reason"],
        "Requests that were refused before anything was done for them: the queue was `full`, or they had waited there too long (`late`)");
    HTTP_PANICS = counter("http_server_panics_total", &[], "Requests whose handler panicked");
    RATE_LIMIT = counter("rate_limit_decisions_total", &["policy", "decision"],
        "Requests that a limit `allowed` or `refused`");
    LIMIT_FALLBACKS = counter("rate_limit_fallbacks_total", &["policy", "to"],
        "Decisions without the limiter that all processes share: `open` grants, `closed` refuses, `local` counts in this process");
    SIGN_INS = counter("sign_ins_total", &["outcome"], "Sign-ins that `succeeded` or were `refused`");
    REFRESH_REUSED = counter("refresh_tokens_reused_total", &[],
        "Sessions that ended because a refresh token was used again");
    DB_DURATION = histogram("db_client_operation_duration_seconds", &["operation", "outcome"], DATABASE,
        "How long calls of the database took; the outcome is `ok` or the kind of the error");
    DB_CONNECTIONS = gauge("db_client_connections", &["state", "role"],
        "Connections of this process that are `idle` or `used`, to the `primary`, a `replica` or a server that is `away`");
    DB_LAG = gauge("db_replica_lag_bytes", &["replica"], "How much of the log a replica has not replayed");
    CAUSAL_READS = counter("causal_reads_total", &["outcome"],
        "Reads that must show a commit, answered by a `replica`, by one that was `waited` for, or by the `primary`");
    TRANSACTION_RETRIES = counter("transaction_retries_total", &["reason"],
        "Transactions that lost a race and were run again");
    STORAGE_DURATION = histogram("storage_operation_duration_seconds", &["operation", "outcome"], HTTP,
        "How long calls of the file storage took");
    PORT_DURATION = histogram("port_call_duration_seconds", &["port", "operation", "outcome"], DATABASE,
        "How long calls of the other ports took: queue, cache, limiter");
    BREAKER = gauge("circuit_breaker_state", &["breaker", "state"],
        "1 for the state that a breaker is in: `closed`, `open` or `half-open`; with worker processes, that it is in somewhere");
    CACHE_REQUESTS = counter("cache_requests_total", &["cache", "outcome"],
        "Reads of a cache that were a `hit` or a `miss`");
    JOBS_ENQUEUED = counter("jobs_enqueued_total", &["queue", "task"], "Jobs that were accepted");
    JOBS_FINISHED = counter("jobs_finished_total", &["queue", "task", "outcome"],
        "Jobs that a worker brought to their end: `succeeded`, `failed`, `dead` or `cancelled`");
    JOB_RUN = histogram("job_run_duration_seconds", &["queue", "task", "outcome"], JOBS,
        "How long tries took; those that are followed by another are `retried` or `released`");
    JOB_WAIT = histogram("job_wait_duration_seconds", &["queue", "task"], JOBS,
        "How long jobs could have run before they did, for the first time");
    JOBS_IN_STATE = gauge("jobs_in_state", &["queue", "state"],
        "Jobs that are `scheduled`, `ready`, `running` or `dead`; every process that can see the queue says the same");
    JOB_OLDEST = gauge("job_oldest_ready_age_seconds", &["queue"],
        "How long the oldest ready job has waited; likewise");
    LEASE_LOST = counter("lease_lost_total", &[],
        "Tries whose end nobody wanted to know, because the job had been given to another worker");
    WORKERS = gauge("compute_workers", &["state"],
        "Worker processes of this server that are `starting`, `ready` or `draining`");
    WORKER_RESTARTS = counter("compute_worker_restarts_total", &["reason"],
        "Worker processes that another followed, because they were `finished`, `stuck`, `exited`, `killed` or `not_started`");
    TOKIO_BUSY = gauge("tokio_busy_ratio", &[],
        "The share of their time, lately, that the threads of the runtime work; at 1, requests wait");
    TOKIO_QUEUE = gauge("tokio_global_queue_depth", &[], "Tasks that wait for any thread of the runtime");
    TOKIO_TASKS = gauge("tokio_alive_tasks", &[], "Tasks that have not ended");
    TOKIO_WORKERS = gauge("tokio_workers", &[], "Threads of the runtime");
    TOKIO_DELAY = histogram("tokio_scheduling_delay_seconds", &[], DELAYS,
        "How late a task runs that is due");
    PROCESS_CPU = counter("process_cpu_seconds_total", &[], "Processor time of this process");
    PROCESS_MEMORY = gauge("process_resident_memory_bytes", &[], "Memory of this process");
    PROCESS_VIRTUAL = gauge("process_virtual_memory_bytes", &[], "Addresses that this process has reserved");
    PROCESS_FDS = gauge("process_open_fds", &[], "Files and connections that are open");
    PROCESS_MAX_FDS = gauge("process_max_fds", &[], "How many may be");
    PROCESS_THREADS = gauge("process_threads", &[], "Threads of this process");
    PROCESS_START = gauge("process_start_time_seconds", &[], "When this process began, in Unix time");
    BUILD = gauge("build_info", &["version"], "Always 1, of this version");
    SOURCE_UP = gauge("scrape_source_up", &["source"],
        "Whether what is asked at each scrape answered in time: `build`, `database`, `process`, `queue`, `runtime`, `workers`");
}

impl Metric {
    /// The metric of this name.
    pub(crate) fn find(name: &str) -> Option<&'static Self> {
        Self::ALL.iter().copied().find(|metric| metric.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_says_what_the_table_says() {
        let row = |metric: &Metric| {
            let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
            let (name, kind, labels) = (metric.name, metric.kind.as_str(), labels.join(" "));
            format!("| `{name}` | {kind} | {labels} | {} |\n", metric.help).replace("|  |", "| |")
        };
        let table: String = Metric::ALL.iter().map(|metric| row(metric)).collect();
        assert!(include_str!("../README.md").contains(&table), "the table of the README is to be:\n{table}");
    }

    #[test]
    fn names_are_unique_and_of_the_form_that_prometheus_recommends() {
        for (at, metric) in Metric::ALL.iter().enumerate() {
            assert_eq!(Metric::ALL.iter().position(|it| it.name == metric.name), Some(at), "{metric:?}");
            assert_eq!(metric.kind == Kind::Counter, metric.name.ends_with("_total"), "{metric:?}");
            if let Kind::Histogram(bounds) = metric.kind {
                assert!(metric.name.ends_with("_seconds") && bounds.is_sorted(), "{metric:?}");
            }
            let snake = |name: &str| name.bytes().all(|it| it.is_ascii_lowercase() || it == b'_');
            assert!(snake(metric.name) && metric.labels.iter().all(|label| snake(label)), "{metric:?}");
            let person = ["user", "email", "address", "ip", "session", "token", "pid", "id", "path", "url"];
            assert!(!metric.labels.iter().any(|label| person.contains(label)), "{metric:?}");
        }
    }
}
