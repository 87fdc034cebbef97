//! [`QueueExport`]: everything that the queue's file keeps of jobs, page by page, without changing it.

use std::path::{Path, PathBuf};

use portwright_domain::job::{JobState, NewJob, QueueName};
use portwright_domain::{ErrorKind, PortError};
use rusqlite::{Connection, OpenFlags, Result, Row, params};

use super::columns::{Columns, lane, spec};
use super::writer::Failure;
use crate::open::BUSY_TIMEOUT;

const OPERATION: &str = "jobs.export";

/// Reads the file of a queue that no server has open. Every question opens it anew, on a thread where blocking is fine.
#[derive(Debug, Clone)]
pub struct QueueExport {
    path: PathBuf,
}

/// A job as it stands in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedJob {
    /// Its place in the file.
    pub number: i64,
    /// What was asked for.
    pub job: NewJob,
    /// Where it stands. One that was running when its server ended is not running any more, and still says so.
    pub state: JobState,
}

impl QueueExport {
    /// Of this file, which is there.
    #[must_use]
    pub fn of(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Up to `limit` jobs behind this number, those that came first before the others.
    pub async fn jobs(&self, after: Option<&i64>, limit: u32) -> Result<Vec<QueuedJob>, PortError> {
        const SQL: &str = concat!(
            "SELECT number, state, ",
            lane!(),
            ", ",
            spec!(),
            " FROM jobs JOIN lanes USING (lane) WHERE number > ? ORDER BY number LIMIT ?"
        );
        let after = after.copied().unwrap_or(i64::MIN);
        self.ask(move |connection| {
            let mut statement = connection.prepare(SQL)?;
            statement.query_map(params![after, limit], queued)?.collect()
        })
        .await
    }

    /// The queues that start no jobs.
    pub async fn paused(&self) -> Result<Vec<QueueName>, PortError> {
        self.ask(|connection| {
            let mut statement = connection.prepare("SELECT queue FROM paused ORDER BY queue")?;
            statement
                .query_map([], |row| Columns::of(row).parsed(|text| QueueName::parse(text).ok()))?
                .collect()
        })
        .await
    }

    /// Writes all of it to another file, which must not be there: whole, or not at all.
    ///
    /// # Errors
    /// `Unavailable` if the disk is full or the file cannot be written.
    pub async fn copy_to(&self, file: &Path) -> Result<(), PortError> {
        let (file, part) = (file.to_owned(), crate::wal::beside(file, ".part"));
        let failed = |error: std::io::Error| {
            PortError::new(ErrorKind::Unavailable, OPERATION, "the copy cannot be written").with_source(error)
        };
        match std::fs::remove_file(&part) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let written = part.to_string_lossy().into_owned();
        self.ask(move |connection| connection.execute("VACUUM INTO ?", params![written])).await?;
        let rename = || {
            crate::open::restrict_to_owner(&part)?;
            std::fs::File::open(&part)?.sync_all()?;
            std::fs::rename(&part, &file)
        };
        rename().map_err(failed)
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T, PortError> {
        let path = self.path.clone();
        let asked = tokio::task::spawn_blocking(move || {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(path, flags)?;
            connection.busy_timeout(BUSY_TIMEOUT)?;
            question(&connection)
        });
        let broke_off = |error| {
            PortError::new(ErrorKind::Unavailable, OPERATION, "the question broke off").with_source(error)
        };
        let answer: Result<T> = asked.await.map_err(broke_off)?;
        answer.map_err(|error| crate::open::at_path(&self.path, Failure::of(&error).during(OPERATION)))
    }
}

fn queued(row: &Row<'_>) -> Result<QueuedJob> {
    let mut columns = Columns::of(row);
    let (number, state) = (columns.get()?, columns.state()?);
    let lane = columns.lane()?;
    Ok(QueuedJob { number, job: columns.spec(&lane)?, state })
}
