//! The rules of the variables of the edge.

use super::*;

fn most(environment: &[(&str, &str)]) -> usize {
    config(in_environment(environment)).http.max_concurrent
}

#[test]
fn as_many_requests_are_worked_on_as_the_database_and_the_hasher_have_use_for() {
    assert_eq!(most(&[]), 30 + 2 + 64);
    assert_eq!(most(&[("DB_HOST", "db"), ("DB_CONNECTION_LIMIT", "50")]), 150 + 2 + 64);
    assert_eq!(most(&[("HASHING_THREADS", "4"), ("HASHING_QUEUE", "0")]), 30 + 4);
    assert_eq!(most(&[("HTTP_MAX_CONCURRENT", "7")]), 7);
}

#[test]
fn a_request_has_its_time_and_nothing_has_none() {
    let timeout = |text| config(in_environment(&[("HTTP_REQUEST_TIMEOUT", text)])).http.request_timeout;
    assert_eq!(config(in_environment(&[])).http.request_timeout, Duration::from_secs(30));
    assert_eq!([timeout("1500"), timeout("2s")], [Duration::from_millis(1_500), Duration::from_secs(2)]);
    for (name, value) in [("HTTP_REQUEST_TIMEOUT", "0"), ("HTTP_MAX_CONCURRENT", "0")] {
        in_environment(&[(name, value)]).config.expect_err("nothing could be answered");
    }
}
