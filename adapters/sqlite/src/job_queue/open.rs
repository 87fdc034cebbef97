//! Connections to the queue's file.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, Result};

use crate::open::BUSY_TIMEOUT;

/// The connection of the writer. A commit is in the log, and on the disk when [`Disk`](super::disk::Disk) says so.
pub(super) fn writer(path: &Path) -> Result<Connection> {
    let connection = connect(path)?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    // In KiB.
    connection.pragma_update(None, "cache_size", -16_384)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

pub(super) fn reader(path: &Path) -> Result<Connection> {
    let connection = connect(path)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// Never makes the file, which would hide that it was moved away.
fn connect(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // A folder for temporary files may be missing or not writable.
    connection.pragma_update(None, "temp_store", "memory")?;
    Ok(connection)
}
