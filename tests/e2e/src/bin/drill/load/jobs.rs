//! Jobs that were acknowledged: each comes to its end, and to a good one.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::client::{Ask, Client, Heard, JOBS};

/// The longest that a job may take after everything works again, beside what it waits for its next try.
const LATEST: Duration = Duration::from_mins(3);

/// Where a job stands.
pub(crate) async fn look(client: &mut Client, path: &str) -> Option<Value> {
    let heard = client.ask(&Ask::get(path, JOBS)).await?;
    (heard.status == 200).then(|| heard.json())
}

/// Where the job is that an answer tells of; empty if it tells of none.
pub(crate) fn path_of(heard: &Heard) -> String {
    match heard.header("location") {
        "" => heard.json()["job"]["id"].as_str().map(|id| format!("/jobs/{id}")).unwrap_or_default(),
        location => location.to_owned(),
    }
}

/// Whether nothing more will happen to it.
pub(crate) fn has_ended(job: &Value) -> bool {
    !matches!(job["state"].as_str(), Some("scheduled" | "ready" | "running"))
}

/// The job once it has ended; `None` if that is not seen within this time, or nobody waits any more.
pub(crate) async fn ended(client: &mut Client, path: &str, within: Duration) -> Option<Value> {
    let begun = Instant::now();
    while begun.elapsed() < within && !client.crew.is_stopped() {
        if let Some(job) = look(client, path).await.filter(has_ended) {
            return Some(job);
        }
        client.rest(50, 250).await;
    }
    None
}

/// The few tries of a task that says itself how many they are; the environment grants the others more than they need.
const FEW: u64 = 100;

/// What a job came to that was acknowledged, in the end, when everything works: it succeeded, or if outages took all of its
/// few tries, it failed. Whoever is alone with its worker three times when that dies, or is cut off for as long as a lease
/// while others are not, is taken for the reason: an operator has it run again. Says what is wrong, if it is.
pub(crate) async fn settled(client: &mut Client, path: &str) -> Option<Value> {
    let begun = Instant::now();
    loop {
        let heard = client.persist(&Ask::get(path, JOBS)).await;
        let Some(job) = heard.filter(|heard| heard.status == 200).map(|heard| heard.json()) else {
            client.wrong(format!("{path} was acknowledged, and cannot be read"));
            return None;
        };
        match job["state"].as_str().unwrap_or_default() {
            "succeeded" => return Some(job),
            "failed" if job["maxAttempts"].as_u64() < Some(FEW) && job["attempts"] == job["maxAttempts"] => {
                client.count("jobs whose tries the outages took");
                return Some(job);
            }
            "dead" if job["error"]["cause"] == "crash_loop" => {
                client.count("jobs that were taken for the death of their workers, and run again");
                // Another look tells whether it was told.
                client.ask(&Ask::new(Method::POST, format!("{path}/retry"), JOBS).or(&[409])).await;
            }
            "scheduled" | "ready" | "running" => {}
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
