//! `portwright migrate`: brings the database to this version, or tells how far it is.

use portwright_sqlite::SqliteConfig;
use portwright_sqlite::migrate::{Status, status, up};
use serde_json::json;

use crate::cli::Migrate;
use crate::config::{Config, Database};
use crate::data_dir::DataDir;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;

/// Does what was asked; [`Exit::Failed`] if a check found something missing.
pub(super) async fn run(config: &Config, command: Migrate) -> Result<Exit, Failure> {
    let Database::Sqlite { file } = &config.database;
    let database = SqliteConfig::at(file);
    match command {
        Migrate::Up => {
            DataDir::create(&config.data_dir)?;
            let applied = up(&database).await?;
            let lines = applied.iter().map(|it| format!("applied {:04} {}\n", it.number, it.name));
            let text: String = lines.collect();
            output::print(if text.is_empty() { "nothing to apply\n" } else { &text })?;
            Ok(Exit::Done)
        }
        Migrate::Status { json } => {
            let status = status(&database).await?;
            output::print(&if json { as_json(&status) } else { as_text(&status) })?;
            Ok(Exit::Done)
        }
        Migrate::Check => {
            let pending = status(&database).await?.pending.len();
            let (text, exit) = match pending {
                0 => ("the database is of this version\n".to_owned(), Exit::Done),
                _ => (
                    format!("{pending} migrations are missing; `portwright migrate up` applies them\n"),
                    Exit::Failed,
                ),
            };
            output::print(&text)?;
            Ok(exit)
        }
    }
}

fn as_text(status: &Status) -> String {
    let applied =
        status.applied.iter().map(|(it, at)| format!("applied {:04} {} at {at}\n", it.number, it.name));
    let pending = status.pending.iter().map(|it| format!("pending {:04} {}\n", it.number, it.name));
    applied.chain(pending).collect()
}

fn as_json(status: &Status) -> String {
    let applied = status
        .applied
        .iter()
        .map(|(it, at)| json!({"number": it.number, "name": it.name, "appliedAt": at.to_string()}));
    let pending = status.pending.iter().map(|it| json!({"number": it.number, "name": it.name}));
    let all = json!({"applied": applied.collect::<Vec<_>>(), "pending": pending.collect::<Vec<_>>()});
    format!("{all:#}\n")
}
