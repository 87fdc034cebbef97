//! Servers in containers answer, begin empty, and are gone when the test is over. `tests/run containers` runs this where
//! there is a container engine.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use portwright_testkit::servers::{self, containers};

/// What Redis answers, in one line.
fn ask(port: u16, command: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    stream.write_all(format!("{command}\r\n").as_bytes()).expect("sent");
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).expect("answered");
    answer.trim_end().to_owned()
}

#[tokio::test]
async fn a_redis_in_a_container_begins_empty_and_appends_to_a_file() {
    let server = containers::Redis::start().await;
    assert!(server.url().ends_with(&server.port().to_string()));
    assert_eq!(ask(server.port(), "DBSIZE"), ":0");
    assert_eq!(ask(server.port(), "SET key value"), "+OK");
    assert_eq!(ask(server.port(), "DBSIZE"), ":1");
    // It says so only where there is a file to rewrite.
    assert!(ask(server.port(), "BGREWRITEAOF").starts_with("+Background append only file rewriting"));
}

#[tokio::test]
async fn a_postgres_in_a_container_takes_databases_and_statements() {
    let server = containers::Postgres::start().await;
    let asked = servers::Postgres::attached(server.port());
    let database = asked.fresh_database();
    assert_eq!(asked.url(&database), server.url(&database));
    assert_eq!(asked.sql("SELECT 6 * 7"), "42");
    assert_eq!(asked.sql("SHOW transaction_isolation"), "read committed");
}

#[tokio::test]
async fn a_container_ends_with_the_value_that_stands_for_it() {
    let server = containers::Redis::start().await;
    let address = ("127.0.0.1", server.port());
    TcpStream::connect(address).expect("it listens");
    // Dropped on a thread that may wait: what removes the container is asynchronous.
    tokio::task::spawn_blocking(move || drop(server)).await.expect("dropped");
    let gone = (0..1_000).any(|_| {
        let gone = TcpStream::connect(address).is_err();
        if !gone {
            std::thread::sleep(Duration::from_millis(10));
        }
        gone
    });
    assert!(gone, "the container is still there");
}
