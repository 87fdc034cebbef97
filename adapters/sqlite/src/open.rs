//! Opening the file: the settings of every connection, and what is checked before the first one is trusted.

use std::path::Path;
use std::time::Duration;

use portwright_domain::{ErrorKind, PortError};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, SqliteConnection};
use tokio::time::Instant;

use crate::config::SqliteConfig;
use crate::error::port_error;
use crate::wal;

/// How long SQLite itself waits for another process.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// A damaged page deep inside would show only when it is read, so files up to this size are read through at the start;
/// that takes about a second for the largest of them.
const CHECKED_UP_TO: u64 = 256 << 20;

/// A connection that writes. Does not make the file, which would hide that it was moved away.
pub(crate) fn writer(path: &Path) -> SqliteConnectOptions {
    connection(path)
        // A commit is answered once it is on the disk.
        .synchronous(SqliteSynchronous::Full)
        .pragma("journal_size_limit", wal::TRUNCATED_AT.to_string())
}

/// A connection that only reads. It opens the file for writing, because the log wants its readers to register.
pub(crate) fn reader(path: &Path) -> SqliteConnectOptions {
    connection(path).pragma("query_only", "true")
}

/// A connection that could not write if it wanted to, nor folds the log into the file when it is closed.
pub(crate) fn spectator(path: &Path) -> SqliteConnectOptions {
    connection(path).read_only(true)
}

fn connection(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(true)
        // A folder for temporary files may be missing or not writable.
        .pragma("temp_store", "memory")
        .disable_statement_logging()
}

/// Makes the file if it is missing and answers a connection to it.
///
/// # Errors
/// `Misconfigured` if it cannot be opened or written, `Corrupt` if it is not a database; it is left as it is.
pub(crate) async fn first(config: &SqliteConfig) -> Result<SqliteConnection, PortError> {
    let path = config.path.as_path();
    let unusable = |detail: String| {
        PortError::new(ErrorKind::Misconfigured, "store.init", format!("{}: {detail}", path.display()))
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .map_err(|error| unusable("the folder cannot be made".to_owned()).with_source(error))?;
    }
    if path.is_dir() {
        return Err(unusable("a folder, not a file".to_owned()));
    }
    let is_new = !path.exists();
    let mut connection = connect_patiently(config).await?;
    if is_new {
        restrict_to_owner(path).map_err(|error| {
            unusable("it cannot be made readable for its owner alone".to_owned()).with_source(error)
        })?;
    }

    let mode: String = ask(&mut connection, path, "PRAGMA journal_mode").await?;
    if mode != "wal" {
        return Err(unusable(format!("this file system cannot keep a write-ahead log (mode {mode})")));
    }
    if std::fs::metadata(path).is_ok_and(|file| file.len() <= CHECKED_UP_TO) {
        let verdict: String = ask(&mut connection, path, "PRAGMA quick_check(1)").await?;
        if verdict != "ok" {
            let detail = format!("{}: damaged, and left as it is: {verdict}", path.display());
            return Err(PortError::new(ErrorKind::Corrupt, "store.init", detail));
        }
    }
    Ok(connection)
}

/// The step to a write-ahead log needs the file alone and does not wait by itself, so two processes that make the same
/// file at once take turns here.
async fn connect_patiently(config: &SqliteConfig) -> Result<SqliteConnection, PortError> {
    let options = writer(&config.path).create_if_missing(true).journal_mode(SqliteJournalMode::Wal);
    let deadline = Instant::now() + config.wait;
    loop {
        let error = match options.connect().await {
            Ok(connection) => return Ok(connection),
            Err(error) => at_path(&config.path, port_error("store.init", error)),
        };
        if error.kind() != ErrorKind::Contended || Instant::now() >= deadline {
            return Err(error);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn ask(
    connection: &mut SqliteConnection,
    path: &Path,
    question: &'static str,
) -> Result<String, PortError> {
    let answer = sqlx::query_scalar(question).fetch_one(connection).await;
    answer.map_err(|error| at_path(path, port_error("store.init", error)))
}

/// The same error, naming the file.
pub(crate) fn at_path(path: &Path, error: PortError) -> PortError {
    let detail = format!("{}: {}", path.display(), error.detail());
    error.with_detail(detail)
}

/// The log and its index get the mode of the file whenever SQLite makes them anew; this time they were made before it.
#[cfg(unix)]
pub(crate) fn restrict_to_owner(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;

    for file in [path.to_owned(), wal::beside(path, "-wal"), wal::beside(path, "-shm")] {
        match std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(not(unix))]
pub(crate) fn restrict_to_owner(_: &Path) -> std::io::Result<()> {
    Ok(())
}
