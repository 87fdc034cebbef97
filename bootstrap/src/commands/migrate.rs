//! `portwright migrate`: brings the database to this version, or tells how far it is.

use portwright_domain::Timestamp;
use portwright_sqlite::SqliteConfig;
use serde_json::json;

use crate::cli::Migrate;
use crate::config::{Config, Database};
use crate::data_dir::DataDir;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::open_store::postgres;
use crate::output;

/// One step of the tables, on whichever database.
struct Step {
    number: u32,
    name: &'static str,
}

/// How the database stands.
struct Status {
    applied: Vec<(Step, Timestamp)>,
    pending: Vec<Step>,
}

/// The two adapters say the same in types of their own.
macro_rules! steps {
    ($steps:expr) => {
        $steps.into_iter().map(|it| Step { number: it.number, name: it.name }).collect()
    };
}

macro_rules! status {
    ($status:expr) => {{
        let status = $status;
        let applied = status.applied.into_iter();
        let applied = applied.map(|(it, at)| (Step { number: it.number, name: it.name }, at)).collect();
        Status { applied, pending: steps!(status.pending) }
    }};
}

/// Does what was asked; [`Exit::Failed`] if a check found something missing.
pub(super) async fn run(config: &Config, command: Migrate) -> Result<Exit, Failure> {
    match command {
        Migrate::Up => {
            DataDir::create(&config.data_dir)?;
            let applied = up(&config.database).await?;
            let lines = applied.iter().map(|it| format!("applied {:04} {}\n", it.number, it.name));
            let text: String = lines.collect();
            output::print(if text.is_empty() { "nothing to apply\n" } else { &text })?;
            Ok(Exit::Done)
        }
        Migrate::Status { json } => {
            let status = status(&config.database).await?;
            output::print(&if json { as_json(&status) } else { as_text(&status) })?;
            Ok(Exit::Done)
        }
        Migrate::Check => {
            let pending = status(&config.database).await?.pending.len();
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

async fn up(database: &Database) -> Result<Vec<Step>, Failure> {
    Ok(match database {
        Database::Sqlite { file } => steps!(portwright_sqlite::migrate::up(&SqliteConfig::at(file)).await?),
        Database::Postgres { urls, connections } => {
            steps!(portwright_postgres::migrate::up(&postgres(urls, *connections)?).await?)
        }
    })
}

async fn status(database: &Database) -> Result<Status, Failure> {
    Ok(match database {
        Database::Sqlite { file } => {
            status!(portwright_sqlite::migrate::status(&SqliteConfig::at(file)).await?)
        }
        Database::Postgres { urls, connections } => {
            status!(portwright_postgres::migrate::status(&postgres(urls, *connections)?).await?)
        }
    })
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
