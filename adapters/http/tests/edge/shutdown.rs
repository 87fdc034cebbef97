//! A server that is told to stop loses no request that it began, and waits for nobody for ever.

use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::api::{GRACE, Setup};
use crate::client::{Client, within};

const WAITING: &str = "GET /waiting HTTP/1.1\r\nHost: test\r\n\r\n";

#[tokio::test]
async fn a_request_that_was_begun_is_answered_and_no_other() {
    let mut server = Setup::default().start().await;
    let mut client = Client::connect(server.address).await;
    client.send(format!("{WAITING}{WAITING}")).await;
    within(server.signals.entered.notified()).await;
    let mut idle = Client::connect(server.address).await;
    assert_eq!(idle.get("/greeting").await.status, 200);

    server.stop.cancel();
    assert!(idle.closed().await < GRACE);
    let refused = async { while TcpStream::connect(server.address).await.is_ok() {} };
    within(refused).await;
    assert!(!server.task.is_finished());

    server.signals.release.notify_one();
    let answers = client.answers().await;
    assert_eq!((answers.len(), answers[0].body.as_str()), (1, "released"));
    assert_eq!(answers[0].header("connection"), Some("close"));
    within(&mut server.task).await.expect("the server ends");
}

#[tokio::test]
async fn before_the_end_an_answer_is_the_last_of_its_connection_and_new_ones_are_taken() {
    let server = Setup::default().start().await;
    let mut client = Client::connect(server.address).await;
    assert_eq!(client.get("/greeting").await.header("connection"), None);

    server.parting.cancel();
    for _ in 0..2 {
        let answer = client.get("/greeting").await;
        assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
        client.closed().await;
        client = Client::connect(server.address).await;
    }
}

#[tokio::test]
async fn who_has_connected_when_the_server_stops_is_answered_if_the_request_is_on_its_way() {
    let server = Setup::default().start().await;
    let mut kept = Client::connect(server.address).await;
    assert_eq!(kept.get("/greeting").await.status, 200);
    let mut clients = [kept, Client::connect(server.address).await];
    server.stop.cancel();
    // The server has not run since: whoever connects now waits to be accepted.
    let late = std::net::TcpStream::connect(server.address).expect("connected");
    for client in &mut clients {
        let answer = client.get("/greeting").await;
        assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    }
    let mut late = Client::from(late);
    assert_eq!(late.get("/greeting").await.status, 200);
}

#[tokio::test]
async fn a_request_that_does_not_end_is_cut_off() {
    let mut server = Setup::default().start().await;
    let mut client = Client::connect(server.address).await;
    client.send(WAITING).await;
    within(server.signals.entered.notified()).await;

    let start = Instant::now();
    server.stop.cancel();
    within(&mut server.task).await.expect("the server ends");
    let took = start.elapsed();
    assert!(took >= GRACE && took < GRACE.mul_f32(1.8), "{took:?}");
    within(server.signals.dropped.notified()).await;
    assert!(client.answers().await.is_empty());
}

#[tokio::test]
async fn an_idle_server_ends_at_once() {
    let mut server = Setup::default().start().await;
    let _silent = Client::connect(server.address).await;
    let start = Instant::now();
    server.stop.cancel();
    within(&mut server.task).await.expect("the server ends");
    assert!(start.elapsed() < GRACE);
}
