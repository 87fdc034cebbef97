//! Imports of a few users, and exports of everybody.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::jobs::{ended, path_of, settled};
use crate::client::{Ask, Client, FILES, STUBBORN};
use crate::stage::PASSWORD;

/// The first line of a file.
const COLUMNS: &str = "email,firstName,lastName,role,password";
/// Users of an import.
const ROWS: usize = 4;
/// How long this client waits for a job before it begins another.
const WHILE: Duration = Duration::from_secs(10);

/// A client, and its jobs.
pub(crate) struct Transfers {
    client: Client,
    name: String,
    imports: Vec<Import>,
    exports: Vec<String>,
}

/// A file that was sent.
struct Import {
    emails: Vec<String>,
    /// Where its job is, if it was acknowledged.
    path: Option<String>,
    has_ended: bool,
}

impl Transfers {
    /// A client that is signed in as the administrator.
    pub(crate) fn new(client: Client, name: &str) -> Self {
        Self { client, name: name.to_owned(), imports: Vec::new(), exports: Vec::new() }
    }

    /// Works until it is told to stop.
    pub(crate) async fn work(mut self) -> Self {
        while !self.client.crew.is_stopped() {
            if self.client.noise.below(3) == 0 {
                self.export().await;
            } else {
                self.import().await;
            }
            self.client.rest(500, 3_000).await;
        }
        self
    }

    async fn import(&mut self) {
        let number = self.imports.len();
        let emails: Vec<_> =
            (0..ROWS).map(|row| format!("{}-{number}-{row}@drill.example", self.name)).collect();
        let upload = upload(&emails).with("Idempotency-Key", format!("{}-{number}", self.name));
        let heard = self.client.insist(&upload, STUBBORN).await;
        let path = heard.filter(|heard| heard.status == 202).map(|heard| path_of(&heard));
        self.imports.push(Import { emails, path: path.clone(), has_ended: false });
        let Some(path) = path else { return };
        self.client.count("acknowledged: imports");
        if let Some(job) =
            ended(&mut self.client, &path, WHILE).await.filter(|job| job["state"] == "succeeded")
        {
            self.judge(number, &job);
        }
    }

    fn judge(&mut self, number: usize, job: &Value) {
        let result = &job["result"];
        let counted = [&result["created"], &result["unchanged"]].map(|it| it.as_u64().unwrap_or_default());
        if counted.iter().sum::<u64>() != ROWS as u64 || result["refused"] != json!([]) {
            self.client.wrong(format!("an import of {ROWS} new users came to this: {job}"));
        }
        self.imports[number].has_ended = true;
    }

    async fn export(&mut self) {
        let ask = Ask::new(Method::POST, "/users/export", FILES).json(&json!({"format": "csv"}));
        let there = self.imported();
        let Some(heard) = self.client.ask(&ask).await else { return };
        let path = path_of(&heard);
        self.client.count("acknowledged: exports");
        self.exports.push(path.clone());
        let Some(job) = ended(&mut self.client, &path, WHILE).await.filter(|job| job["state"] == "succeeded")
        else {
            return;
        };
        self.expect_exported(&job, &there).await;
    }

    /// The addresses of all imports that are known to have ended.
    fn imported(&self) -> Vec<String> {
        let ended = self.imports.iter().filter(|import| import.has_ended);
        ended.flat_map(|import| import.emails.clone()).collect()
    }

    async fn expect_exported(&mut self, job: &Value, there: &[String]) {
        let href = job["result"]["href"].as_str().unwrap_or_default().to_owned();
        let Some(heard) = self.client.ask(&Ask::get(href, FILES)).await else { return };
        let file = String::from_utf8_lossy(&heard.body).into_owned();
        let rows = file.lines().count().saturating_sub(1) as u64;
        if job["result"]["rows"] != rows {
            self.client.wrong(format!("an export has {rows} rows, and its job says {}", job["result"]));
        }
        if let Some(missing) = there.iter().find(|email| !file.contains(email.as_str())) {
            self.client.wrong(format!("{missing} was imported, and is in no export"));
        }
    }

    /// Whether every job that was acknowledged has come to its end; the addresses of those who must be there, and of those
    /// who may.
    pub(crate) async fn verify(&mut self) -> (Vec<String>, Vec<String>) {
        for number in 0..self.imports.len() {
            let Some(path) = self.imports[number].path.clone() else { continue };
            if let Some(job) = settled(&mut self.client, &path).await {
                self.judge(number, &job);
            }
        }
        for path in self.exports.clone() {
            settled(&mut self.client, &path).await;
        }
        let (sure, unsure): (Vec<_>, Vec<_>) = self.imports.iter().partition(|import| import.path.is_some());
        let emails = |imports: Vec<&Import>| imports.into_iter().flat_map(|it| it.emails.clone()).collect();
        (emails(sure), emails(unsure))
    }
}

/// A file with these users on its way.
fn upload(emails: &[String]) -> Ask {
    let rows = emails.iter().map(|email| format!("{email},In,Ported,user,{PASSWORD}"));
    let lines: Vec<_> = [COLUMNS.to_owned()].into_iter().chain(rows).collect();
    Ask::new(Method::POST, "/users/import", FILES).bytes("text/csv", lines.join("\n").into_bytes())
}
