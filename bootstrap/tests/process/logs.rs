//! What is logged of a request and its jobs, by the server and by its workers.

mod databases;

use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::api::{Api, PASSWORD, new_user};
use crate::place::{PATIENCE, Place};
use crate::server::Server;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A server with a worker process, which log what they usually do.
async fn server(place: &Place) -> Server {
    Server::start(with_worker(&mut place.command(["serve"]))).await
}

pub(crate) fn with_worker(command: &mut Command) -> &mut Command {
    command.envs([("COMPUTE_AUTO_SPAWN", "true"), ("COMPUTE_MAX_WORKERS", "1"), ("LOG_FORMAT", "json")])
}

/// A request for a computation that is waited for.
fn primes(server: &Server, user: &Api) -> RequestBuilder {
    let client = Client::builder().no_proxy().timeout(PATIENCE).build().expect("a client");
    let token = user.session["accessToken"].as_str().expect("signed in");
    let request = client.post(format!("http://{}/compute/primes", server.address)).bearer_auth(token);
    request.header("Prefer", "wait=20").json(&json!({"below": 100}))
}

/// The id of the job that was done.
async fn job_of(answer: Response) -> Value {
    assert_eq!(answer.status(), 200, "{answer:?}");
    answer.json::<Value>().await.expect("JSON")["job"]["id"].take()
}

/// Has primes counted for a request with these headers; the job.
pub(crate) async fn computed(server: &Server, user: &Api, headers: &[(&str, &str)]) -> Value {
    let request = headers.iter().fold(primes(server, user), |it, (name, value)| it.header(*name, *value));
    job_of(request.send().await.expect("an answer")).await
}

/// Every line; each is an object.
fn lines(log: &str) -> Vec<Value> {
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let lines: Vec<Value> = log.lines().map(parse).collect();
    assert!(lines.iter().all(Value::is_object));
    lines
}

/// The lines with this message, and this value in that field.
fn with<'a>(lines: &'a [Value], message: &str, name: &str, value: impl Into<Value>) -> Vec<&'a Value> {
    let value = value.into();
    lines.iter().filter(|line| line["message"] == message && line[name] == value).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_goes_from_the_request_to_the_worker() {
    let place = Place::empty();
    let server = server(&place).await;
    let user = server.api().registered("ada@example.com").await;
    let known = computed(&server, &user, &[("traceparent", PARENT), ("X-Request-Id", "known")]).await;
    let broken = PARENT.replace("00f067aa0ba902b7", "0000000000000000");
    let fresh = computed(&server, &user, &[("traceparent", &broken), ("X-Request-Id", "fresh")]).await;
    let ended = server.stop().await;
    let lines = lines(&ended.log);

    let mut traces = Vec::new();
    for (id, job) in [("known", known), ("fresh", fresh)] {
        let answered = with(&lines, "answered", "request_id", id);
        let tried = with(&lines, "a try ended", "job_id", job);
        let ([answered], [tried]) = (&answered[..], &tried[..]) else { panic!("{}", ended.log) };
        assert_eq!(tried["request_id"], id, "{tried}");
        assert_eq!(tried["trace_id"], answered["trace_id"], "{answered} {tried}");
        assert_eq!(tried["user_id"], user.session["user"]["id"], "{tried}");
        assert_eq!(answered["user_id"], user.session["user"]["id"], "{answered}");
        for (name, value) in [
            ("task", json!("compute.primes")),
            ("attempt", 1.into()),
            ("outcome", "succeeded".into()),
            ("messaging.destination.name", "cpu".into()),
        ] {
            assert_eq!(tried[name], value, "{name} of {tried}");
        }
        for (name, value) in [
            ("http.request.method", json!("POST")),
            ("http.route", "/compute/primes".into()),
            ("url.path", "/compute/primes".into()),
            ("http.response.status_code", 200.into()),
            ("level", "INFO".into()),
        ] {
            assert_eq!(answered[name], value, "{name} of {answered}");
        }
        assert!(tried["duration_ms"].is_u64() && answered["duration_ms"].is_u64());
        assert_ne!(tried["pid"], Value::Null, "it is the worker that says so: {tried}");
        traces.push(answered["trace_id"].as_str().expect("text").to_owned());
    }
    assert_eq!(traces[0], TRACE);
    assert_ne!(traces[1], TRACE, "of what is no trace nothing is taken over");
    assert_eq!(traces[1].len(), 32);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_has_one_line_and_probes_have_none() {
    let place = Place::empty();
    let server = server(&place).await;
    let api = server.api();
    for path in ["/health", "/health/live", "/health/ready", "/metrics"] {
        assert_eq!(api.get(path).await.status, 200, "{path}");
    }
    api.get("/users").await.expect(401);
    api.get("/users/ann%40example.com").await.expect(401);
    api.get("/nowhere?token=sesame").await.expect(404);
    let log = server.stop().await.log;
    let answered: Vec<Value> = lines(&log).into_iter().filter(|it| it["message"] == "answered").collect();
    let paths: Vec<&Value> = answered.iter().map(|line| &line["url.path"]).collect();
    assert_eq!(paths, ["/users", "/users/_", "/nowhere"], "{log}");
    let statuses: Vec<&Value> = answered.iter().map(|line| &line["http.response.status_code"]).collect();
    assert_eq!(statuses, [401, 401, 404]);
    assert!(!log.contains("sesame") && !log.contains("otel."), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_usually_logged_is_a_secret_or_says_who_somebody_is() {
    let place = Place::empty();
    let server = server(&place).await;
    let admin = place.first_admin(&server).await;
    let ada = server.api().registered("ada@example.com").await;
    admin.post("/users", &new_user("bob@example.com")).await.expect(201);
    admin.post("/users", &new_user("bob@example.com")).await.expect(409);
    admin.sign_in("ada@example.com", "a-wrong-password").await.expect(401);
    admin.sign_in("nobody@example.com", "a-wrong-password").await.expect(401);
    let renewed = ada.post("/auth/refresh", &json!({"refreshToken": ada.session["refreshToken"]})).await;
    let renewed = ada.with_session(renewed.expect(200));
    // It is used for the second time, which ends the session, and is worth a warning.
    ada.post("/auth/refresh", &json!({"refreshToken": ada.session["refreshToken"]})).await.expect(401);
    admin.get("/users?email=bob%40example.com").await.expect(200);
    admin.get("/users/bob@example.com").await.expect(404);
    let export = admin.begin("/users/export", &json!({"format": "csv", "filter": {"email": "bob@"}})).await;
    let file = format!(
        "email,firstName,lastName,role,password\ncy@example.com,Cy,Z,user,{PASSWORD}\ndi@,D,D,user,short\n"
    );
    let import = imported(&server, &admin, file).await;
    for job in [&export, &import] {
        crate::workers::until("it is done", async || {
            admin.get(&format!("/jobs/{job}")).await.expect(200)["state"] == "succeeded"
        })
        .await;
    }
    let ended = server.stop().await;
    assert_eq!(with(&lines(&ended.log), "a try ended", "outcome", "succeeded").len(), 2, "{}", ended.log);

    let mut secrets = vec![place.first_run("password"), PASSWORD.into(), "a-wrong-password".into()];
    for session in [&admin.session, &ada.session, &renewed.session] {
        let tokens = [&session["accessToken"], &session["refreshToken"]];
        secrets.extend(tokens.map(|token| token.as_str().expect("a token").to_owned()));
    }
    secrets.extend(["@example.com", "%40example.com", "admin@", "bob", "Lovelace"].map(str::to_owned));
    for secret in secrets {
        let line = ended.log.lines().find(|line| line.contains(&secret));
        assert_eq!(line, None, "{secret}");
    }
}

/// Sends a file of users; the job.
pub(crate) async fn imported(server: &Server, admin: &Api, file: String) -> String {
    let client = Client::builder().no_proxy().timeout(PATIENCE).build().expect("a client");
    let request = client.post(format!("http://{}/users/import", server.address));
    let request = request.bearer_auth(admin.session["accessToken"].as_str().expect("signed in"));
    let answer = request.header("Content-Type", "text/csv").body(file).send().await.expect("an answer");
    assert_eq!(answer.status(), 202);
    let job: Value = answer.json().await.expect("JSON");
    job["id"].as_str().expect("an id").to_owned()
}
