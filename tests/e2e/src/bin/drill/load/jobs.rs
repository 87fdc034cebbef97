//! Jobs that were acknowledged: each comes to its end, and to a good one.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::client::{Ask, Client, Heard, JOBS};

/// The longest that a job may take after everything works again, beside what it waits for its next try.
const LATEST: Duration = Duration::from_mins(3);

/// The job that an answer shows, if it has ended and the answer says of which state the store is since: whoever reads on
/// with that state sees what the job did. Where the store does not say so at once, another look tells.
fn end_in(heard: &Heard) -> Option<Value> {
    let job = heard.json();
    (heard.status == 200 && has_ended(&job) && !heard.header("consistency-token").is_empty()).then_some(job)
}

/// Where the job is that an answer tells of; empty if it tells of none.
pub(crate) fn path_of(heard: &Heard) -> String {
    match heard.header("location") {
        "" => heard.json()["job"]["id"].as_str().map(|id| format!("/jobs/{id}")).unwrap_or_default(),
        location => location.to_owned(),
    }
}

/// Whether nothing more will happen to it.
fn has_ended(job: &Value) -> bool {
    !matches!(job["state"].as_str(), Some("scheduled" | "ready" | "running"))
}

/// The job once it has ended, and the client reads what it did; `None` if that is not seen within this time, or nobody
/// waits any more.
pub(crate) async fn ended(client: &mut Client, path: &str, within: Duration) -> Option<Value> {
    let begun = Instant::now();
    while begun.elapsed() < within && !client.crew.is_stopped() {
        if let Some(job) = client.ask(&Ask::get(path, JOBS)).await.as_ref().and_then(end_in) {
            return Some(job);
        }
        client.rest(50, 250).await;
    }
    None
}

/// The few tries of a task that says itself how many they are; the environment grants the others more than they need.
const FEW: u64 = 100;

/// A job that was acknowledged, in the end, when everything works: it has succeeded. An operator has those run again of which
/// outages took all the few tries, and those that were taken for the reason why their worker died, or was cut off for as long
/// as a lease while others were not, since they were alone with it three times. Says what is wrong, if it is.
pub(crate) async fn settled(client: &mut Client, path: &str) -> Option<Value> {
    let begun = Instant::now();
    loop {
        let heard = client.persist(&Ask::get(path, JOBS)).await.filter(|heard| heard.status == 200);
        let Some(heard) = heard else {
            client.wrong(format!("{path} was acknowledged, and cannot be read"));
            return None;
        };
        let job = heard.json();
        match job["state"].as_str().unwrap_or_default() {
            "succeeded" if end_in(&heard).is_some() => return Some(job),
            "failed" if job["maxAttempts"].as_u64() < Some(FEW) && job["attempts"] == job["maxAttempts"] => {
                client.count("jobs whose tries the outages took, and run again");
                run_again(client, path).await;
            }
            "dead" if job["error"]["cause"] == "crash_loop" => {
                client.count("jobs that were taken for the death of their workers, and run again");
                run_again(client, path).await;
            }
            "succeeded" | "scheduled" | "ready" | "running" => {}
            _ => {
                client.wrong(format!("{path} was acknowledged, and ended like this: {job}"));
                return None;
            }
        }
        if begun.elapsed() > LATEST {
            client.wrong(format!("{path} does not end: {job}"));
            return None;
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// Another look tells whether that was told.
async fn run_again(client: &mut Client, path: &str) {
    client.ask(&Ask::new(Method::POST, format!("{path}/retry"), JOBS).or(&[409])).await;
}

/// Says so if a job from before the last fault had healed, which was at this moment, is stuck. One that waits for its next
/// try, as its task wants it, is not.
pub(crate) async fn expect_none_stuck(client: &mut Client, healed: Instant, moment: &str) {
    loop {
        let is_over = client.crew.scene.weather.is_over(healed);
        let mut waiting = Vec::new();
        for state in ["ready", "running"] {
            let jobs = page(client, &format!("state={state}"), 1).await.into_iter();
            waiting.extend(jobs.filter(|job| job["createdAt"].as_str().is_some_and(|at| at < moment)));
        }
        if is_over || waiting.is_empty() {
            for job in waiting {
                client.wrong(format!("a job of before {moment} is stuck: {job}"));
            }
            return;
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// Waits until no job is left that will be run.
pub(crate) async fn expect_rest(client: &mut Client) {
    let begun = Instant::now();
    for state in ["scheduled", "ready", "running"] {
        while let Some(job) = page(client, &format!("state={state}"), 1).await.first() {
            if begun.elapsed() > LATEST {
                client.wrong(format!("there is still a job: {job}"));
                return;
            }
            sleep(Duration::from_millis(200)).await;
        }
    }
}

/// All jobs of a task.
pub(crate) async fn all(client: &mut Client, task: &str) -> Vec<Value> {
    let mut jobs = Vec::new();
    for number in 1.. {
        let next = page(client, &format!("task={task}"), number).await;
        if next.is_empty() {
            break;
        }
        jobs.extend(next);
    }
    jobs
}

async fn page(client: &mut Client, filter: &str, number: usize) -> Vec<Value> {
    let list = Ask::get(format!("/jobs?{filter}&limit=100&page={number}"), JOBS);
    let Some(heard) = client.persist(&list).await else {
        client.wrong(format!("jobs cannot be listed ({filter})"));
        return Vec::new();
    };
    heard.json()["data"].as_array().cloned().unwrap_or_default()
}
