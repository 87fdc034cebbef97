//! `portwright doctor`: what it finds where all is well, and where something is not.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::place::{Place, Ran, ran};

mod files;
mod servers;

/// What is in no finding, whatever is wrong.
const SECRET: &str = "q3Yt0nR6dJ1v-canary-Zb7sKf2uM5hL";

/// What it found.
pub(crate) struct Found {
    code: Option<i32>,
    status: Value,
    pub(crate) checks: Vec<Value>,
}

impl Found {
    /// The findings of a probe with this status.
    pub(crate) fn with(&self, check: &str, status: &str) -> Vec<&Value> {
        self.checks.iter().filter(|it| it["check"] == check && it["status"] == status).collect()
    }

    /// Panics unless there is such a finding that says and advises this.
    #[track_caller]
    fn expect(&self, check: &str, status: &str, said: &str, fix: &str) {
        let said_so = |it: &&Value| {
            it["what"].as_str().is_some_and(|what| what.contains(said))
                && it["fix"].as_str().unwrap_or_default().contains(fix)
        };
        let found = self.with(check, status);
        assert!(found.iter().any(said_so), "{check} {status} {said}: {:#?}", self.checks);
    }

    /// Panics if anything failed.
    #[track_caller]
    pub(crate) fn expect_health(&self) {
        assert_eq!(self.code, Some(0), "{:#?}", self.checks);
        assert_ne!(self.status, "fail");
    }
}

/// Asks for everything, or for one topic.
pub(crate) async fn doctor(place: &Place, topic: Option<&str>, variables: &[(&str, &str)]) -> Found {
    let mut command = place.command(["doctor", "--json"].into_iter().chain(topic));
    let Ran { code, stdout, stderr } = ran(command.envs(variables.iter().copied()), b"").await;
    assert!(!stdout.contains("canary") && !stderr.contains("canary"), "{stdout}{stderr}");
    let found: Value = serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{stdout}{stderr}"));
    let checks = found["checks"].as_array().expect("a list").clone();
    Found { code, status: found["status"].clone(), checks }
}

#[tokio::test]
async fn a_place_where_nothing_is_yet_is_well_and_stays_as_it_is() {
    let place = Place::empty();
    let found = doctor(&place, None, &[]).await;
    found.expect_health();
    assert_eq!(found.status, "pass", "{:#?}", found.checks);
    assert!(!place.data("").exists(), "to look changes nothing");
    let text = place.run(["doctor", "auth"]).await;
    assert!(text.expect(0).ends_with(" passed, 0 to look at, 0 failed\n"), "{}", text.stdout);
    assert!(text.stdout.contains("auth.key") && !text.stdout.contains("db."), "{}", text.stdout);
}

#[tokio::test]
async fn beside_a_server_everything_is_probed_and_left_as_it_was() {
    let place = Place::empty();
    let server = place.serve().await;
    let found = doctor(&place, None, &[]).await;
    found.expect_health();
    for check in [
        "db.file",
        "db.migrations",
        "storage.write",
        "queue.file",
        "queue.server",
        "auth.key",
        "data-dir.write",
    ] {
        assert_eq!(found.with(check, "pass").len(), 1, "{check}: {:#?}", found.checks);
    }
    place.run(["jobs", "pause", "cpu"]).await.expect(0);
    let paused = doctor(&place, Some("queue"), &[]).await;
    paused.expect("queue.paused", "warn", "the queue cpu is paused", "portwright jobs resume cpu");
    paused.expect_health();
    assert_eq!(server.stop().await.code, Some(0));
}

#[tokio::test]
async fn files_that_others_may_read_and_files_that_are_damaged_are_found() {
    let place = Place::empty();
    place.serve().await.stop().await;
    let chmod = |path: &std::path::Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("changed");
    };
    chmod(&place.data("signing-key.pem"), 0o644);
    chmod(&place.data(""), 0o755);
    fs::write(place.path().join(".env"), format!("JWT_SECRET={SECRET}\n")).expect("written");
    chmod(&place.path().join(".env"), 0o644);
    let found = doctor(&place, None, &[]).await;
    found.expect("config.dotenv", "warn", "mode 644", "chmod 600 .env");
    found.expect("data-dir.mode", "warn", "mode 755", "chmod 700");
    fs::remove_file(place.path().join(".env")).expect("removed");
    // The key's own rule is the one of a start.
    let found = doctor(&place, Some("auth"), &[]).await;
    found.expect("auth.key", "fail", "signing-key.pem", "chmod 600");
    assert_eq!(found.code, Some(1));

    let file = place.data("portwright.db");
    let mut bytes = fs::read(&file).expect("there");
    let page = bytes.len() / 4096 / 2 * 4096;
    bytes[page..page + 4096].fill(0xA5);
    fs::write(&file, bytes).expect("written");
    let found = doctor(&place, Some("db"), &[]).await;
    assert_eq!(found.with("db.file", "fail").len(), 1, "{:#?}", found.checks);
}

#[tokio::test]
async fn a_configuration_with_problems_is_diagnosed_all_the_same() {
    let place = Place::empty();
    let found = doctor(&place, None, &[("PORT", "http"), ("JWT_SECRET", "short-canary")]).await;
    assert_eq!((found.code, &found.status), (Some(1), &Value::from("fail")));
    assert_eq!(found.with("config.problems", "fail").len(), 2, "{:#?}", found.checks);
    assert_eq!(found.with("db.file", "pass").len(), 1, "what could be read is probed");
}
