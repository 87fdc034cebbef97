//! The servers of the kit do what their names say, and leave nothing behind.

use std::net::TcpStream;
use std::time::Duration;

use tokio::time::Instant;

use portwright_testkit::servers::{Postgres, Stop};

/// Polls until the server shows this.
fn soon(server: &Postgres, statement: &str, expected: &str) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let answer = server.sql(statement);
        if answer == expected {
            return;
        }
        assert!(Instant::now() < deadline, "{statement}: {answer}, not {expected}");
        std::thread::yield_now();
    }
}

#[test]
fn a_standby_follows_its_primary_lags_pauses_and_is_promoted() {
    let primary = Postgres::primary();
    let standby = primary.standby();
    primary.sql("CREATE TABLE t (n int)");
    primary.sql("INSERT INTO t VALUES (1)");
    soon(&standby, "SELECT count(*) FROM pg_class WHERE relname = 't'", "1");
    soon(&standby, "SELECT n FROM t", "1");

    standby.pause_replay();
    primary.sql("UPDATE t SET n = 2");
    assert_eq!(standby.sql("SELECT n FROM t"), "1");
    standby.resume_replay();
    soon(&standby, "SELECT n FROM t", "2");

    standby.lag(Duration::from_mins(1));
    soon(&standby, "SHOW recovery_min_apply_delay", "1min");
    primary.sql("UPDATE t SET n = 3");
    assert_eq!(standby.sql("SELECT n FROM t"), "2");

    standby.promote();
    soon(&standby, "SELECT pg_is_in_recovery()", "f");
    standby.sql("INSERT INTO t VALUES (9)");
}

#[test]
fn a_killed_server_comes_back_with_what_was_committed() {
    let server = Postgres::primary();
    server.sql("CREATE TABLE t (n int)");
    server.sql("INSERT INTO t VALUES (1)");
    for stop in [Stop::Kill, Stop::Immediate, Stop::Fast] {
        server.stop(stop);
        server.start();
        assert_eq!(server.sql("SELECT n FROM t"), "1", "{stop:?}");
    }
}

#[test]
fn a_server_ends_with_the_value_that_stands_for_it() {
    let server = Postgres::primary();
    let address = ("127.0.0.1", server.port());
    TcpStream::connect(address).expect("it listens");
    drop(server);
    TcpStream::connect(address).expect_err("nobody listens");
}
