//! The database: a file of this host, or servers.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use portwright_domain::ports::Clock;
use portwright_sqlite::SqliteConfig;

use super::place::others_get_in;
use super::{Finding, postgres};
use crate::config::{Config, Database, Outside};
use crate::failure::Failure;

/// A log that is larger than this is held by a reader that does not end.
const LARGE_LOG: u64 = 64 << 20;

pub(super) async fn examine(outside: &Outside, config: Option<&Config>, clock: &dyn Clock) -> Vec<Finding> {
    match &outside.database {
        Some(Database::Sqlite { file }) => {
            let mut found = sqlite("db.file", file, "database").await;
            if file.exists() {
                found.push(migrations(file).await);
            }
            found
        }
        Some(Database::Postgres { urls, connections }) => {
            postgres::examine(urls, *connections, outside, config, clock).await
        }
        // What is wrong with it has been told.
        None => Vec::new(),
    }
}

/// A file of ours, whichever.
pub(super) async fn sqlite(check: &'static str, file: &Path, name: &str) -> Vec<Finding> {
    let shown = file.display();
    let Ok(metadata) = fs::metadata(file) else {
        return vec![Finding::pass(check, format!("{name}: {shown} is made by the first start"))];
    };
    let facts = match portwright_sqlite::diagnosis::look(file).await {
        Ok(facts) => facts,
        Err(error) => return failed(check, &error.into()),
    };
    let [size, log] = [facts.bytes, facts.log_bytes].map(|bytes| format!("{} KiB", bytes.div_ceil(1 << 10)));
    let mode = metadata.permissions().mode() & 0o777;
    vec![match facts.damage {
        Some(damage) => Finding::fail(
            check,
            format!("{name}: {shown} is damaged ({damage})"),
            "restore it from a backup, or move it away to begin without it",
        ),
        None if others_get_in(mode) => Finding::warn(
            check,
            format!("{name}: others may read {shown} (mode {mode:03o})"),
            format!("chmod 600 {shown}"),
        ),
        None if facts.log_bytes > LARGE_LOG => Finding::warn(
            check,
            format!("{name}: the write-ahead log of {shown} has grown to {log}"),
            "some process reads it and does not end; a restart of the server folds the log into the file",
        ),
        None => Finding::pass(check, format!("{name}: {shown} is readable throughout ({size}, log {log})")),
    }]
}

async fn migrations(file: &Path) -> Finding {
    const CHECK: &str = "db.migrations";
    match portwright_sqlite::migrate::status(&SqliteConfig::at(file)).await {
        Ok(status) => drift(status.applied.len(), status.pending.len()),
        Err(error) => failed(CHECK, &error.into()).remove(0),
    }
}

/// What it means that so many migrations are applied and so many are not.
pub(super) fn drift(applied: usize, pending: usize) -> Finding {
    const CHECK: &str = "db.migrations";
    match (applied, pending) {
        (_, 0) => Finding::pass(CHECK, format!("all {applied} migrations are applied")),
        (0, _) => Finding::pass(CHECK, "the database is empty; the first start makes its tables"),
        _ => Finding::warn(
            CHECK,
            format!("{pending} migrations are missing"),
            "`portwright migrate up` applies them, and so does the next start",
        ),
    }
}

/// Every problem of a failure, as findings of one probe; at least one.
pub(super) fn failed(check: &'static str, failure: &Failure) -> Vec<Finding> {
    failure.problems().iter().map(|problem| Finding::failed(check, problem.clone())).collect()
}
