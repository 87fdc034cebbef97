//! Users from files and into files, over HTTP.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

mod again;
mod export;
mod import;
mod limits;

use portwright_domain::job::{Job, JobId};
use portwright_e2e::{Answer, Caller, TestApp};
use reqwest::{Method, RequestBuilder};
use serde_json::Value;

/// The header that most files have.
pub(crate) const HEADER: &str = "email,firstName,lastName,role,password";

/// A file with this header and these lines.
pub(crate) fn file(lines: &[&str]) -> String {
    [HEADER].iter().chain(lines).flat_map(|line| [*line, "\r\n"]).collect()
}

/// A file of so many good rows.
pub(crate) fn file_of(rows: usize) -> String {
    let lines =
        (1..=rows).map(|row| format!("user{row}@example.com,Ada,Lovelace,user,tango-velvet-{row:06}\n"));
    std::iter::once(format!("{HEADER}\n")).chain(lines).collect()
}

pub(crate) fn upload(caller: &Caller, file: impl Into<reqwest::Body>) -> RequestBuilder {
    let request = caller.request(Method::POST, "/users/import");
    request.header("content-type", "text/csv").body(file)
}

pub(crate) async fn send(caller: &Caller, file: impl Into<reqwest::Body>) -> Answer {
    caller.send(upload(caller, file)).await
}

/// The job that was answered, when a worker is done with it; as the queue knows it.
pub(crate) async fn ended(app: &TestApp, accepted: &Answer) -> Job {
    let id = accepted.body(202)["id"].as_str().expect("an id").parse().expect("a UUID");
    assert_eq!(accepted.header("location"), format!("/jobs/{id}"));
    app.drain_jobs().await;
    app.jobs().queue.find(JobId(id)).await.expect("find works").expect("it is known")
}

/// The result of a job that succeeded.
#[track_caller]
pub(crate) fn result(job: &Job) -> Value {
    match &job.outcome {
        Some(portwright_domain::job::Outcome::Succeeded(result)) => {
            serde_json::from_slice(result).expect("JSON")
        }
        other => panic!("no result: {other:?}"),
    }
}

/// How many users there are.
pub(crate) async fn population(admin: &Caller) -> u64 {
    admin.get("/users?limit=1").await.body(200)["pagination"]["total"].as_u64().expect("a number")
}

/// Waits until there are no uploads any more, which is a matter of moments when their jobs have ended.
pub(crate) async fn until_cleared(app: &TestApp) {
    for _ in 0..2_000 {
        if app.stored_files("imports") == 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("there are still {} uploads", app.stored_files("imports"));
}
