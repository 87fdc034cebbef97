//! [`Log`]: keeps the write-ahead log of the queue small.
//!
//! SQLite by itself would copy the log into the database file in the middle of a commit that somebody waits for, syncs
//! included. Here a thread of its own copies beside the writer. If it catches up in a moment without commits, the log
//! begins anew by itself with the next one; under load that moment never comes, and past a size the writer copies what
//! is left and begins it anew.

use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use rusqlite::{Connection, Result};

use super::open;
use crate::open::BUSY_TIMEOUT;

/// So many pages of 4 KiB wait to be copied at most before somebody is called to do so.
const COPIED_AT: i64 = 1_000;
/// The log begins anew when it has this many pages: 64 MiB.
const LARGE: i64 = 16_384;
/// How many more have to come after a vain attempt before the next one.
const PATIENCE: i64 = 1_000;
/// How long the writer waits for readers that still need the log.
const READER: Duration = Duration::from_millis(250);

pub(super) struct Log {
    copy: SyncSender<()>,
    large: i64,
}

/// Pages in the log, and how many of them were copied.
struct Pages {
    logged: i64,
    copied: i64,
}

impl Log {
    pub(super) fn of(database: &Path) -> std::io::Result<Self> {
        let (copy, called) = sync_channel(1);
        let database = database.to_owned();
        let work = move || {
            let mut connection = None;
            while called.recv().is_ok() {
                if let Err(error) = copy_pages(&mut connection, &database) {
                    tracing::warn!(%error, "the log of the queue could not be copied into its file");
                }
            }
        };
        std::thread::Builder::new().name("queue-log".to_owned()).spawn(work)?;
        Ok(Self { copy, large: LARGE })
    }

    /// Has the log copied, if it is worth it.
    pub(super) fn keep_small(&mut self, connection: &Connection) {
        match self.look(connection) {
            Ok(large) => self.large = large,
            Err(error) => tracing::warn!(%error, "the log of the queue could not begin anew"),
        }
    }

    fn look(&self, connection: &Connection) -> Result<i64> {
        let pages = checkpoint(connection, "PRAGMA wal_checkpoint(NOOP)")?;
        if pages.logged >= self.large {
            connection.busy_timeout(READER)?;
            let left = checkpoint(connection, "PRAGMA wal_checkpoint(TRUNCATE)");
            connection.busy_timeout(BUSY_TIMEOUT)?;
            let left = left?;
            return Ok(if left.logged == 0 { LARGE } else { left.logged + PATIENCE });
        }
        if pages.logged - pages.copied >= COPIED_AT {
            // An error is a call that is there already.
            self.copy.try_send(()).ok();
        }
        Ok(self.large)
    }
}

fn copy_pages(connection: &mut Option<Connection>, database: &Path) -> Result<()> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(open::writer(database)?),
    };
    checkpoint(connection, "PRAGMA wal_checkpoint(PASSIVE)").map(drop)
}

fn checkpoint(connection: &Connection, pragma: &str) -> Result<Pages> {
    connection
        .prepare_cached(pragma)?
        .query_row([], |row| Ok(Pages { logged: row.get(1)?, copied: row.get(2)? }))
}
