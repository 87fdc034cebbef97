//! How much the API does at a time, and how long for one request.

use std::time::Duration;

use super::reader::Reader;
use super::variables as v;
use super::{Database, Hashing};

/// The questions that an embedded database is asked at a time; more only wait for each other.
const EMBEDDED: usize = 30;

/// For each connection to a database, so many requests are worth beginning: one that uses it, and two that the pool lets
/// wait.
const PER_CONNECTION: usize = 3;

/// What the API does at a time, and how long for one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Http {
    /// Requests that are worked on at a time; at least 1.
    pub max_concurrent: usize,
    /// How long each may take, where its path does not allow for more.
    pub request_timeout: Duration,
}

/// Reads it, on this database and with this capacity to hash.
pub(super) fn read(
    reader: &mut Reader<'_>,
    database: Option<&Database>,
    hashing: Option<Hashing>,
) -> Option<Http> {
    let max_concurrent = reader.read(&v::HTTP_MAX_CONCURRENT);
    let request_timeout = reader.read(&v::HTTP_REQUEST_TIMEOUT);
    let hashing = hashing?;
    let database = match database {
        Some(Database::Postgres { connections, .. }) => {
            usize::try_from(*connections).unwrap_or(EMBEDDED).saturating_mul(PER_CONNECTION)
        }
        Some(Database::Sqlite { .. }) | None => EMBEDDED,
    };
    // So a flood of sign-ins, which waits for its turn to be hashed, leaves room for everything else.
    let derived = || database + hashing.threads.get() + hashing.queue;
    Some(Http { max_concurrent: max_concurrent.unwrap_or_else(derived), request_timeout: request_timeout? })
}
