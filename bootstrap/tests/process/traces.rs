//! What a collector gets to see. Only programs with the feature `otlp` export: `tests/run otlp`.

mod collector;

use std::time::Duration;

use tokio::process::Command;
use tokio::time::Instant;

use crate::logs::{computed, imported, with_worker};
use crate::place::Place;
use crate::server::Server;
use crate::workers::until;
use collector::{Collector, Span};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
/// As OpenTelemetry numbers them.
const SERVER: u64 = 2;
const CLIENT: u64 = 3;
const CONSUMER: u64 = 5;

/// A server with a worker, whose traces go to this URL.
fn exporting(place: &Place, collector: &str) -> Command {
    let mut command = place.command(["serve"]);
    with_worker(&mut command).envs([
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=a"),
        ("OTEL_SERVICE_NAME", "shop"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test"),
    ]);
    command
}

/// The only one of this name.
#[track_caller]
fn only<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let named: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
    let [span] = named[..] else { panic!("{name}: {spans:#?}") };
    span
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_of_a_job_comes_from_the_server_and_from_the_worker() {
    let (place, collector) = (Place::empty(), Collector::start().await);
    let mut command = exporting(&place, &format!("http://{}", collector.address));
    let server = Server::start(&mut command).await;
    let user = server.api().registered("ada@example.com").await;
    let parent = format!("00-{TRACE}-{PARENT}-01");
    let headers = [("traceparent", parent.as_str()), ("tracestate", "a=1"), ("X-Request-Id", "r-1")];
    let job = computed(&server, &user, &headers).await;
    server.api().get("/health").await.expect(200);
    assert_eq!(server.stop().await.code, Some(0));

    let spans: Vec<Span> = collector.spans().into_iter().filter(|span| span.trace == TRACE).collect();
    let (request, task) = (only(&spans, "POST /compute/primes"), only(&spans, "process cpu"));
    assert_eq!((request.kind, request.parent.as_str()), (SERVER, PARENT));
    assert_eq!((task.kind, &task.parent), (CONSUMER, &request.id));
    let call = only(&spans, "job_queue.call");
    assert_eq!((call.kind, &call.parent, &call.resource), (CLIENT, &request.id, &request.resource));
    let session = only(&spans, "sessions.find_with_user");
    assert_eq!(session.attributes["db.operation.name"], "sessions.find_with_user");
    assert!(spans.iter().all(|span| span.state == "a=1" && !span.is_error), "{spans:#?}");

    for (name, value) in [
        ("http.request.method", "POST"),
        ("http.route", "/compute/primes"),
        ("http.response.status_code", "200"),
        ("url.path", "/compute/primes"),
        ("url.scheme", "http"),
        ("request_id", "r-1"),
    ] {
        assert_eq!(request.attributes[name], value, "{name}");
    }
    for (name, value) in [
        ("messaging.message.id", job.as_str().expect("an id")),
        ("messaging.destination.name", "cpu"),
        ("messaging.operation.type", "process"),
        ("task", "compute.primes"),
        ("outcome", "succeeded"),
        ("user.id", user.session["user"]["id"].as_str().expect("an id")),
    ] {
        assert_eq!(task.attributes[name], value, "{name}");
    }
    assert_eq!(request.resource["service.name"], "shop");
    assert_eq!(request.resource["deployment.environment.name"], "test");
    assert_ne!(request.resource["process.pid"], task.resource["process.pid"]);
    assert!(collector.spans().iter().all(|span| !span.name.contains("health")), "probes are not recorded");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_worker_asks_of_the_database_is_in_the_trace_of_the_request() {
    let (place, collector) = (Place::empty(), Collector::start().await);
    let mut command = exporting(&place, &format!("http://{}", collector.address));
    let server = Server::start(&mut command).await;
    let admin = place.first_admin(&server).await;
    let file = "email,firstName,lastName,role,password\ncy@example.com,Cy,Z,user,tango-velvet-harbor-91\n";
    imported(&server, &admin, file.to_owned()).await;
    until("the import is recorded", async || {
        collector.spans().iter().any(|span| span.name == "process transfers")
    })
    .await;
    server.stop().await;
    let spans = collector.spans();
    let (request, task) = (only(&spans, "POST /users/import"), only(&spans, "process transfers"));
    assert_eq!((&task.trace, &task.parent), (&request.trace, &request.id));
    assert_eq!(request.parent, "", "nobody was before it");
    let insert = only(&spans, "users.insert");
    assert_eq!(insert.attributes["db.operation.name"], "users.insert");
    assert_eq!((&insert.trace, &insert.resource), (&request.trace, &task.resource));
    let ids: Vec<&String> = spans.iter().map(|span| &span.id).collect();
    let complete = spans.iter().all(|span| span.parent.is_empty() || ids.contains(&&span.parent));
    assert!(complete, "each parent is there: {spans:#?}");
    assert!(!format!("{spans:?}").contains("tango") && !format!("{spans:?}").contains("cy@"), "{spans:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_sampled_is_not_exported() {
    let (place, collector) = (Place::empty(), Collector::start().await);
    let mut command = exporting(&place, &format!("http://{}", collector.address));
    let server = Server::start(command.env("OTEL_TRACES_SAMPLER", "parentbased_always_off")).await;
    let user = server.api().registered("ada@example.com").await;
    for (flags, trace) in [("00", "a"), ("01", "b")] {
        let parent = format!("00-{}-{PARENT}-{flags}", trace.repeat(32));
        computed(&server, &user, &[("traceparent", &parent)]).await;
    }
    server.stop().await;
    let spans = collector.spans();
    let names = ["POST /compute/primes", "process cpu"].map(|name| only(&spans, name).trace.clone());
    assert_eq!(names, ["b".repeat(32), "b".repeat(32)]);
    assert!(spans.iter().all(|span| span.trace == names[0]), "{spans:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_costs_nothing_but_traces() {
    let place = Place::empty();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port");
    let server = Server::start(&mut exporting(&place, &format!("http://{closed}"))).await;
    let user = server.api().registered("ada@example.com").await;
    for _ in 0..3 {
        computed(&server, &user, &[]).await;
    }
    server.logged("traces are not exported, and are dropped").await;
    computed(&server, &user, &[]).await;
    let began = Instant::now();
    let ended = server.stop().await;
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert_eq!(ended.code, Some(0));
    let said = |text: &str| ended.log.matches(text).count();
    assert_eq!(said("traces are not exported"), 2, "by the server and by the worker: {}", ended.log);
    assert!(said(r#""message":"traces were dropped""#) >= 1, "{}", ended.log);
}
