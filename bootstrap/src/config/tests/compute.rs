//! The rules of the variables of jobs and workers.

use portwright_domain::job::Backoff;
use portwright_domain::ports::job_queue::{Limits, Retention};

use super::*;

fn compute(environment: &[(&str, &str)]) -> Compute {
    config(in_environment(environment)).compute
}

#[test]
fn by_default_a_server_starts_workers_up_to_the_number_of_cores() {
    let defaults = config(in_environment(&[]));
    let cores = std::thread::available_parallelism().expect("known").get();
    let expected = Compute {
        role: AppRole::All,
        workers: Some(WorkerCount { min: 1, max: cores }),
        concurrency: 8,
        lease: Duration::from_secs(30),
        memory_limit: None,
    };
    assert_eq!(defaults.compute, expected);
    let backoff = Backoff::Exponential { base: Duration::from_secs(1), cap: Duration::from_hours(1) };
    let jobs = Jobs { attempts: 3, backoff, limits: Limits::default() };
    assert_eq!(defaults.jobs, jobs);
}

#[test]
fn who_starts_workers_is_the_role_unless_it_is_said_and_tests_start_none() {
    for (environment, starts) in [
        (&[][..], true),
        (&[("COMPUTE_APP_ROLE", "all")], true),
        (&[("COMPUTE_APP_ROLE", "api")], false),
        (&[("COMPUTE_APP_ROLE", "api"), ("COMPUTE_AUTO_SPAWN", "true")], true),
        (&[("COMPUTE_AUTO_SPAWN", "false")], false),
        (&[("APP_ENV", "test")], false),
        (&[("APP_ENV", "test"), ("COMPUTE_AUTO_SPAWN", "1")], true),
        (&[("COMPUTE_APP_ROLE", "worker")], false),
    ] {
        assert_eq!(compute(environment).workers.is_some(), starts, "{environment:?}");
    }
}

#[test]
fn the_most_workers_are_never_fewer_than_the_fewest() {
    let many = compute(&[("COMPUTE_MIN_WORKERS", "200")]).workers.expect("some");
    assert_eq!((many.min, many.max), (200, 200));
    let none_idle = compute(&[("COMPUTE_MIN_WORKERS", "0"), ("COMPUTE_MAX_WORKERS", "3")]).workers;
    assert_eq!(none_idle, Some(WorkerCount { min: 0, max: 3 }));
    let printed = problems(in_environment(&[("COMPUTE_MIN_WORKERS", "4"), ("COMPUTE_MAX_WORKERS", "3")]));
    assert!(printed.contains("COMPUTE_MIN_WORKERS is more than COMPUTE_MAX_WORKERS"), "{printed}");
    assert!(printed.contains("COMPUTE_MAX_WORKERS=3 (environment)"), "{printed}");
}

#[test]
fn a_lease_is_short_in_tests() {
    assert_eq!(compute(&[("APP_ENV", "test")]).lease, Duration::from_secs(2));
    assert_eq!(compute(&[("APP_ENV", "test"), ("COMPUTE_LEASE", "1m")]).lease, Duration::from_mins(1));
}

#[test]
fn the_wait_between_tries_is_fixed_or_grows() {
    let backoff = |environment| config(in_environment(environment)).jobs.backoff;
    let fixed = backoff(&[("QUEUE_BACKOFF_TYPE", "fixed"), ("QUEUE_BACKOFF_DELAY", "250")]);
    assert_eq!(fixed, Backoff::Fixed(Duration::from_millis(250)));
    let longest = backoff(&[("QUEUE_BACKOFF_DELAY", "1h")]);
    assert_eq!(longest.after(9), Duration::from_hours(1));
}

#[test]
fn finished_jobs_are_kept_by_number_or_by_age() {
    let year = Duration::from_hours(365 * 24);
    for (text, jobs, age) in [
        ("0", 0, year),
        ("100", 100, year),
        ("7d", 10_000_000, Duration::from_hours(168)),
        ("25m", 10_000_000, Duration::from_mins(25)),
    ] {
        let kept = Retention { jobs, age };
        let limits = config(in_environment(&[("QUEUE_REMOVE_ON_COMPLETE", text)])).jobs.limits;
        assert_eq!(limits, Limits { succeeded: kept, ..Limits::default() }, "{text}");
        let limits = config(in_environment(&[("QUEUE_REMOVE_ON_FAIL", text)])).jobs.limits;
        assert_eq!(limits, Limits { unsuccessful: kept, ..Limits::default() }, "{text}");
    }
}

#[test]
fn memory_is_said_with_its_unit() {
    assert_eq!(compute(&[("COMPUTE_MEMORY_LIMIT", "2GiB")]).memory_limit, Some(2 << 30));
    assert_eq!(compute(&[("COMPUTE_MEMORY_LIMIT", "1048576KiB")]).memory_limit, Some(1 << 30));
}

#[test]
fn values_of_jobs_and_workers_that_make_no_sense_are_refused_with_the_reason() {
    for (name, value, reason) in [
        ("COMPUTE_APP_ROLE", "both", "api, worker or all"),
        ("COMPUTE_AUTO_SPAWN", "yes", "true or false"),
        ("COMPUTE_MIN_WORKERS", "257", "out of range"),
        ("COMPUTE_MAX_WORKERS", "0", "out of range"),
        ("COMPUTE_CONCURRENCY", "0", "out of range"),
        ("COMPUTE_LEASE", "30", "unit is missing"),
        ("COMPUTE_LEASE", "500ms", "out of range"),
        ("COMPUTE_MEMORY_LIMIT", "1073741824", "KiB, MiB and GiB"),
        ("COMPUTE_MEMORY_LIMIT", "64MiB", "out of range"),
        ("COMPUTE_MEMORY_LIMIT", "99999999999999999GiB", "out of range"),
        ("COMPUTE_MEMORY_LIMIT", "lots", "begin with a number"),
        ("QUEUE_ATTEMPTS", "0", "out of range"),
        ("QUEUE_BACKOFF_TYPE", "linear", "fixed or exponential"),
        ("QUEUE_BACKOFF_DELAY", "0", "out of range"),
        ("QUEUE_REMOVE_ON_COMPLETE", "true", "duration"),
        ("QUEUE_REMOVE_ON_FAIL", "10000001", "out of range"),
    ] {
        let printed = problems(in_environment(&[(name, value)]));
        assert!(printed.contains(&format!("error: {name} must be ")), "{printed}");
        assert!(printed.contains(reason), "{name}={value}: {printed}");
    }
}
