//! The rules of the variables of Redis, and of where jobs wait.

use super::*;

fn redis(environment: &[(&str, &str)]) -> Redis {
    match config(in_environment(environment)).queue {
        Queue::Redis(redis) => redis,
        Queue::Embedded => panic!("jobs wait in a file"),
    }
}

fn urls(environment: &[(&str, &str)]) -> Vec<String> {
    redis(environment).urls.iter().map(|url| url.expose().to_owned()).collect()
}

#[test]
fn without_a_word_about_redis_jobs_wait_in_a_file() {
    assert_eq!(config(in_environment(&[])).queue, Queue::Embedded);
}

#[test]
fn a_host_is_a_redis_with_the_usual_port() {
    assert_eq!(urls(&[("REDIS_HOST", "cache")]), ["redis://cache:6379/0"]);
    let parts = [
        ("REDIS_HOST", "::1"),
        ("REDIS_PORT", "6380"),
        ("REDIS_PASSWORD", "p@ss:w/rd"),
        ("REDIS_DB", "3"),
        ("REDIS_NAMESPACE", "blue"),
        ("REDIS_MAY_LOSE_JOBS", "true"),
    ];
    let expected = Redis {
        urls: vec![Secret::new("redis://:p%40ss%3Aw%2Frd@[::1]:6380/3".to_owned())],
        namespace: "blue".to_owned(),
        may_lose_jobs: true,
    };
    assert_eq!(redis(&parts), expected);
}

#[test]
fn members_of_a_cluster_share_a_password_and_win_over_a_host() {
    let members =
        [("REDIS_HOST", "c0"), ("REDIS_CLUSTER_NODES", "c1:7001, c2"), ("REDIS_PASSWORD", "secret")];
    assert_eq!(urls(&members), ["redis://:secret@c1:7001/0", "redis://:secret@c2:6379/0"]);
    let printed = problems(in_environment(&[("REDIS_CLUSTER_NODES", "c1"), ("REDIS_DB", "1")]));
    assert!(printed.contains("a Redis cluster has one database"), "{printed}");
}

#[test]
fn urls_win_over_parts_and_may_be_several() {
    let environment =
        [("REDIS_URL", "redis://me:secret@r1/2, rediss://r2:6380"), ("REDIS_HOST", "elsewhere")];
    assert_eq!(urls(&environment), ["redis://me:secret@r1/2", "rediss://r2:6380"]);
}

#[test]
fn what_is_no_redis_is_refused_and_not_shown() {
    for url in
        ["http://:hunter2@cache", "redis://:hunter2@cache:port", "hunter2", "redis://:hunter2@a,,redis://b"]
    {
        let printed = problems(in_environment(&[("REDIS_URL", url)]));
        assert!(printed.contains("REDIS_URL must be redis://"), "{printed}");
        assert!(!printed.contains("hunter2"), "{printed}");
    }
    let reading = in_environment(&[("REDIS_URL", "redis://:hunter2@cache"), ("REDIS_PASSWORD", "hunter2")]);
    let shown = format!("{}{reading:?}", explain::table(&reading));
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn a_description_of_no_redis_is_refused() {
    let printed = problems(in_environment(&[("REDIS_PASSWORD", "hunter2"), ("REDIS_DB", "1")]));
    assert!(printed.contains("a Redis is described, but not where it is"), "{printed}");
    assert!(printed.contains("REDIS_DB=1 (environment)") && !printed.contains("hunter2"), "{printed}");
}

#[test]
fn the_password_may_be_in_a_file() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), "secret\n").expect("written");
    let path = file.path().to_str().expect("UTF-8");
    assert_eq!(
        urls(&[("REDIS_HOST", "cache"), ("REDIS_PASSWORD_FILE", path)]),
        ["redis://:secret@cache:6379/0"]
    );
}

#[test]
fn what_kubernetes_says_of_a_service_named_redis_is_not_about_us() {
    let link = ("REDIS_PORT", "tcp://10.0.0.1:6379");
    assert_eq!(urls(&[link, ("REDIS_HOST", "cache")]), ["redis://cache:6379/0"]);
    assert_eq!(config(in_environment(&[link])).queue, Queue::Embedded);
    assert!(problems(read(&[], &[], "REDIS_PORT=tcp://10.0.0.1:6379")).contains("REDIS_PORT must be"));
}

#[test]
fn the_queue_may_be_elsewhere_than_redis_but_not_in_one_that_is_not_there() {
    let here = [("REDIS_HOST", "cache"), ("QUEUE_BACKEND", "embedded")];
    assert_eq!(config(in_environment(&here)).queue, Queue::Embedded);
    redis(&[("REDIS_HOST", "cache"), ("QUEUE_BACKEND", "redis")]);
    let printed = problems(in_environment(&[("QUEUE_BACKEND", "redis")]));
    assert!(printed.contains("no Redis is configured"), "{printed}");
}

#[test]
fn production_with_postgres_wants_redis_or_to_be_told_that_one_host_is_meant() {
    let production = [("APP_ENV", "production"), ("JWT_SECRET", STRONG), ("DB_HOST", "db")];
    let with = |more: &[(&str, &str)]| in_environment(&[&production, more].concat());
    let printed = problems(with(&[]));
    assert!(printed.contains("QUEUE_BACKEND=embedded") && printed.contains("REDIS_URL"), "{printed}");
    assert_eq!(config(with(&[("QUEUE_BACKEND", "embedded")])).queue, Queue::Embedded);
    assert!(matches!(config(with(&[("REDIS_HOST", "cache")])).queue, Queue::Redis(_)));
}
