//! Where a request begins and ends can be read in one way only, or it is refused and nothing after it is read.

use crate::api::Setup;
use crate::client::{Answer, Client};

const GET: &str = "GET /greeting HTTP/1.1\r\nHost: test\r\n\r\n";

/// All answers on a connection on which these bytes were sent at once.
async fn answers(bytes: &str) -> Vec<Answer> {
    let server = Setup::default().start().await;
    let mut client = Client::connect(server.address).await;
    client.send(bytes).await;
    client.answers().await
}

fn post(headers: &str, body: &str) -> String {
    format!(
        "POST /bytes HTTP/1.1\r\nHost: test\r\nContent-Type: application/octet-stream\r\n{headers}\r\n{body}"
    )
}

#[tokio::test]
async fn ambiguous_requests_are_refused_and_the_connection_is_closed() {
    let chunks = "1\r\nx\r\n0\r\n\r\n";
    for request in [
        post("Content-Length: 11\r\nTransfer-Encoding: chunked\r\n", chunks),
        post("Transfer-Encoding: chunked\r\nContent-Length: 11\r\n", chunks),
        post("Content-Length: 1\r\nContent-Length: 2\r\n", "xx"),
        post("Content-Length: 1\r\nContent-Length: 1\r\n", "x"),
        post("Content-Length: 1, 1\r\n", "x"),
        post("Content-Length: -1\r\n", "x"),
        post("Content-Length: 0x1\r\n", "x"),
        post("Transfer-Encoding: chunked, identity\r\n", chunks),
        post("Transfer-Encoding: gzip, chunked\r\n", chunks),
        post("Transfer-Encoding: xchunked\r\n", chunks),
        post("Transfer-Encoding : chunked\r\n", chunks),
        post("Transfer-Encoding:\u{b}chunked\r\n", chunks),
        post("Content-Length: 1\r\n Content-Length: 2\r\n", "x"),
        "GET /greeting HTTP/1.1\nHost: test\n\n".to_owned(),
        "GET /greeting HTTP/1.1\r\nHost: test\nX: y\r\n\r\n".to_owned(),
        "GET /greeting HTTP/1.1\r\nHost: test\r\nX: a\r\n b\r\n\r\n".to_owned(),
        "GET /greeting HTTP/1.1\r\nHost: test\r\nX : y\r\n\r\n".to_owned(),
        "GET /greeting HTTP/1.1\r\nHost: test\r\nX: \0\r\n\r\n".to_owned(),
        "GET /greeting HTTP/1.1\r\nHost: test\r\nX: a\rb\r\n\r\n".to_owned(),
        "GET /greeting HTTP/1.1\r\n Host: test\r\n\r\n".to_owned(),
        "GET /greeting HTTP/1.1\r\n\r\n".to_owned(),
        "GET /greeting HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned(),
        "GET http://other/greeting HTTP/1.1\r\nHost: test\r\n\r\n".to_owned(),
        "GET greeting HTTP/1.1\r\nHost: test\r\n\r\n".to_owned(),
        "GET  /greeting HTTP/1.1\r\nHost: test\r\n\r\n".to_owned(),
        "GET /greeting HTTP/3.0\r\nHost: test\r\n\r\n".to_owned(),
        "GET /greeting\r\nHost: test\r\n\r\n".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
    ] {
        // Were the request read in another way, the second one might be answered too.
        let answers = answers(&format!("{request}{GET}")).await;
        assert_eq!(answers.len(), 1, "{request:?}");
        assert_eq!(
            (answers[0].status, answers[0].code().as_str()),
            (400, "malformed-request"),
            "{request:?}"
        );
        assert_eq!(answers[0].header("connection"), Some("close"), "{request:?}");
    }
}

#[tokio::test]
async fn chunks_that_are_none_are_refused_and_the_connection_is_closed() {
    for chunks in [
        "x\r\nabc\r\n0\r\n\r\n",
        "3\nabc\r\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "3\r\nabc\n0\r\n\r\n",
        "3 4\r\nabc\r\n0\r\n\r\n",
        "-3\r\nabc\r\n0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "11111111111111111\r\nabc\r\n0\r\n\r\n",
        "3;a\nb\r\nabc\r\n0\r\n\r\n",
    ] {
        let answers = answers(&format!("{}{GET}", post("Transfer-Encoding: chunked\r\n", chunks))).await;
        assert_eq!(answers.len(), 1, "{chunks:?}");
        assert_eq!((answers[0].status, answers[0].code().as_str()), (400, "malformed-request"), "{chunks:?}");
    }
}

#[tokio::test]
async fn a_chunked_request_is_the_last_of_its_connection() {
    let answers =
        answers(&format!("{}{GET}", post("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"))).await;
    assert_eq!(answers.len(), 1);
    assert_eq!((answers[0].status, answers[0].body.as_str()), (200, "3"));
    assert_eq!(answers[0].header("connection"), Some("close"));
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let sized = |length: usize| post(&format!("Content-Length: {length}\r\n"), &"x".repeat(length));
    let requests: String = (0..16).map(sized).collect();
    let answers =
        answers(&format!("{requests}{}", GET.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"))).await;
    let bodies: Vec<_> = answers.iter().map(|answer| answer.body.as_str()).collect();
    assert_eq!(bodies.join(" "), "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 hello");
}

#[tokio::test]
async fn a_refusal_waits_for_the_answers_before_it() {
    let server = Setup::default().start().await;
    let mut client = Client::connect(server.address).await;
    client.send("GET /waiting HTTP/1.1\r\nHost: test\r\n\r\nRUBBISH\r\n\r\n").await;
    server.signals.entered.notified().await;
    server.signals.release.notify_one();
    let answers = client.answers().await;
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 400]);
    assert_eq!(answers[0].body, "released");
}

#[tokio::test]
async fn other_forms_of_requests_are_served() {
    for (request, status) in [
        ("GET http://test/greeting HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n", 200),
        ("\r\n\r\nGET /greeting HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n", 200),
        ("GET /greeting HTTP/1.0\r\n\r\n", 200),
        ("GET /greeting HTTP/1.0\r\nHost: test\r\n\r\n", 200),
        ("HEAD /greeting HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n", 200),
        ("OPTIONS * HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n", 204),
        ("CONNECT test:80 HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n", 405),
    ] {
        let answers = answers(request).await;
        assert_eq!((answers.len(), answers[0].status), (1, status), "{request:?}");
    }
}

#[tokio::test]
async fn http_1_0_may_keep_the_connection() {
    let server = Setup::default().start().await;
    let mut client = Client::connect(server.address).await;
    for _ in 0..2 {
        client.send("GET /greeting HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.header("connection")), (200, Some("keep-alive")));
    }
}

#[tokio::test]
async fn a_body_is_asked_for_with_100_continue_when_it_is_wanted() {
    let server = Setup::default().start().await;
    let mut client = Client::connect(server.address).await;
    client.send(post("Content-Length: 3\r\nExpect: 100-continue\r\n", "")).await;
    assert_eq!(client.answer().await.status, 100);
    client.send("abc").await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "3"));
}
