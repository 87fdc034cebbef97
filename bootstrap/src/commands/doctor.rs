//! `portwright doctor`: what [`crate::doctor`] found, for people or for programs.

use std::fmt::Write;

use portwright_domain::ports::HealthStatus;
use serde_json::{Value, json};

use crate::config::Reading;
use crate::doctor::{Finding, Topic, examine};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::wiring::Ambient;

/// Tells what was found; [`Exit::Failed`] if any probe failed.
pub(super) async fn run(
    reading: &Reading,
    topic: Option<Topic>,
    json: bool,
    ambient: &Ambient,
) -> Result<Exit, Failure> {
    // On the heap, since the other commands would carry it otherwise.
    let found = Box::pin(examine(reading, topic, ambient)).await;
    output::print(&if json { as_json(&found) } else { as_text(&found) })?;
    Ok(if worst(&found) == HealthStatus::Fail { Exit::Failed } else { Exit::Done })
}

fn worst(found: &[Finding]) -> HealthStatus {
    found.iter().map(|it| it.status).max().unwrap_or(HealthStatus::Pass)
}

fn count(found: &[Finding], status: HealthStatus) -> usize {
    found.iter().filter(|it| it.status == status).count()
}

fn as_text(found: &[Finding]) -> String {
    const INDENT: &str = "                        ";
    let mut text = String::new();
    for Finding { check, status, problem } in found {
        let _ = writeln!(text, "{:<4}  {check:<16}  {}", status.as_str(), problem.what());
        if !problem.origins().is_empty() {
            let _ = writeln!(text, "{INDENT}from: {}", problem.origins().join(", "));
        }
        if let Some(fix) = problem.remedy() {
            let _ = writeln!(text, "{INDENT}fix:  {fix}");
        }
    }
    let [passed, warnings, failed] =
        [HealthStatus::Pass, HealthStatus::Warn, HealthStatus::Fail].map(|status| count(found, status));
    let _ = writeln!(text, "{passed} passed, {warnings} to look at, {failed} failed");
    text
}

fn as_json(found: &[Finding]) -> String {
    let finding = |it: &Finding| -> Value {
        json!({
            "check": it.check,
            "status": it.status.as_str(),
            "what": it.problem.what(),
            "from": it.problem.origins(),
            "fix": it.problem.remedy(),
        })
    };
    let all = json!({
        "status": worst(found).as_str(),
        "checks": found.iter().map(finding).collect::<Vec<_>>(),
    });
    format!("{all:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_finding_is_a_line_with_its_fix_below() {
        let found = [
            Finding::pass("db.reach", "it answers"),
            Finding::warn("config.dotenv", "others may read .env", "chmod 600 .env"),
        ];
        let expected = "\
pass  db.reach          it answers
warn  config.dotenv     others may read .env
                        fix:  chmod 600 .env
1 passed, 1 to look at, 0 failed
";
        assert_eq!(as_text(&found), expected);
        let json: Value = serde_json::from_str(&as_json(&found)).expect("JSON");
        assert_eq!(json["status"], "warn");
        assert_eq!(json["checks"][1]["fix"], "chmod 600 .env");
        assert_eq!(json["checks"][0]["fix"], Value::Null);
    }
}
