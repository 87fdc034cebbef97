//! The servers of the kit do what their names say, and leave nothing behind.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use portwright_testkit::servers::{Authority, Postgres, Redis, Stop};

/// Looks again and again, for about ten seconds, until it is so.
fn soon(is_so: impl Fn() -> bool) {
    let seen = (0..2_000).any(|_| {
        let seen = is_so();
        if !seen {
            std::thread::sleep(Duration::from_millis(5));
        }
        seen
    });
    assert!(seen, "it did not come to pass");
}

#[test]
fn a_standby_follows_its_primary_lags_pauses_and_is_promoted() {
    let primary = Postgres::primary();
    let standby = primary.standby();
    primary.sql("CREATE TABLE t (n int)");
    primary.sql("INSERT INTO t VALUES (1)");
    soon(|| standby.sql("SELECT count(*) FROM pg_class WHERE relname = 't'") == "1");
    soon(|| standby.sql("SELECT n FROM t") == "1");

    standby.pause_replay();
    primary.sql("UPDATE t SET n = 2");
    assert_eq!(standby.sql("SELECT n FROM t"), "1");
    standby.resume_replay();
    soon(|| standby.sql("SELECT n FROM t") == "2");

    standby.lag(Duration::from_mins(1));
    soon(|| standby.sql("SHOW recovery_min_apply_delay") == "1min");
    primary.sql("UPDATE t SET n = 3");
    assert_eq!(standby.sql("SELECT n FROM t"), "2");

    standby.promote();
    soon(|| standby.sql("SELECT pg_is_in_recovery()") == "f");
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

#[test]
fn a_killed_redis_comes_back_with_what_it_had_unless_it_appends_nothing() {
    let server = Redis::new();
    server.command("SET \"a key\" 'a value'");
    for stop in [Stop::Kill, Stop::Immediate, Stop::Fast] {
        server.stop(stop);
        server.start();
        assert_eq!(server.command("GET \"a key\""), "a value", "{stop:?}");
    }
    let forgetful = Redis::without_aof();
    forgetful.command("SET key value");
    forgetful.stop(Stop::Kill);
    forgetful.start();
    assert_eq!(forgetful.command("EXISTS key"), "0");
}

#[test]
fn a_replica_of_redis_follows_and_takes_over() {
    let primary = Redis::new();
    primary.command("SET key value");
    let replica = primary.replica();
    assert_eq!(replica.command("GET key"), "value");
    assert_eq!(primary.command("WAIT 1 5000"), "1");
    primary.command(&format!("FAILOVER TO 127.0.0.1 {}", replica.port()));
    soon(|| replica.command("ROLE").starts_with("master"));
    replica.command("SET key other");
}

#[test]
fn a_frozen_redis_answers_once_it_is_thawed() {
    let server = Redis::new();
    server.freeze();
    let mut stream = TcpStream::connect(("127.0.0.1", server.port())).expect("the kernel listens");
    stream.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
    stream.write_all(b"PING\r\n").expect("sent");
    let mut answer = [0; 7];
    stream.read_exact(&mut answer).expect_err("it does not answer");
    server.thaw();
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    stream.read_exact(&mut answer).expect("it answers");
    assert_eq!(&answer, b"+PONG\r\n");
}

#[test]
fn a_cluster_of_redis_shares_the_slots() {
    let members = Redis::cluster();
    let slots = members.iter().filter(|member| member.command("CLUSTER COUNTKEYSINSLOT 0") == "0").count();
    assert_eq!(slots, 3);
    // The slot of `foo` is 12182.
    assert_eq!(members[2].command("SET foo bar"), "OK");
}

#[test]
fn servers_over_tls_take_nobody_without_it_and_come_back() {
    let authority = Authority::new();
    let certificate = authority.certify();
    let (postgres, redis) = (Postgres::over_tls(&certificate), Redis::over_tls(&certificate));
    for stop in [Stop::Fast, Stop::Kill] {
        postgres.stop(stop);
        postgres.start();
        redis.stop(stop);
        redis.start();
    }
    let ours = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    assert_eq!(postgres.sql(ours), "t");
    redis.command("SET key value");
    assert_eq!(redis.command("CONFIG GET port"), "port 0");
    let mut stream = TcpStream::connect(("127.0.0.1", redis.port())).expect("it listens");
    stream.write_all(b"PING\r\n").expect("sent");
    let mut answer = Vec::new();
    // It hangs up, or says so in its own way.
    let _ = stream.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"+PONG"), "{answer:?}");
}
