//! What SQLite and its driver report, in the words of [`ErrorKind`].

use portwright_domain::{ErrorKind, PortError};

/// How SQLite names a broken constraint, and the rule that it stands for.
const RULES: [(&str, &str); 5] = [
    ("UNIQUE constraint failed: users.id", "users.id"),
    ("UNIQUE constraint failed: users.email_key", "users.email"),
    ("UNIQUE constraint failed: sessions.id", "sessions.id"),
    ("UNIQUE constraint failed: idempotency_keys.scope", "idempotency.key"),
    // `sessions.user_id` is the only reference of the schema; SQLite does not say which one was broken.
    ("FOREIGN KEY constraint failed", "sessions.user"),
];

/// The error of `operation` that `error` amounts to.
pub(crate) fn port_error(operation: &'static str, error: sqlx::Error) -> PortError {
    let (kind, detail) = match &error {
        sqlx::Error::Database(reported) => {
            let rule = RULES.iter().find(|(message, _)| reported.message().starts_with(message));
            match (rule, reported.code().and_then(|code| code.parse::<i32>().ok())) {
                (Some((_, rule)), _) => (ErrorKind::Conflict, *rule),
                (None, Some(code)) => meaning_of(code),
                (None, None) => (ErrorKind::Unavailable, "the database reported an error without a code"),
            }
        }
        sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::Decode(_)
        | sqlx::Error::ColumnIndexOutOfBounds { .. } => (ErrorKind::Corrupt, "a stored value does not parse"),
        sqlx::Error::Io(_) => (ErrorKind::Unavailable, "the file cannot be reached"),
        _ => (ErrorKind::Unavailable, "the connection to the database broke"),
    };
    PortError::new(kind, operation, detail).with_source(error)
}

/// What an error of the queue's own connections means to a caller.
pub(crate) fn meaning_of_rusqlite(error: &rusqlite::Error) -> (ErrorKind, &'static str) {
    match error {
        rusqlite::Error::SqliteFailure(reported, _) => meaning_of(reported.extended_code),
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::Utf8Error(..) => (ErrorKind::Corrupt, "a stored value does not parse"),
        _ => (ErrorKind::Unavailable, "the database was asked in a wrong way"),
    }
}

/// What a result code means to a caller. The lowest byte is the code, the rest a refinement; see
/// <https://sqlite.org/rescode.html>.
const fn meaning_of(code: i32) -> (ErrorKind, &'static str) {
    match code & 0xff {
        // BUSY, LOCKED, PROTOCOL
        5 | 6 | 15 => (ErrorKind::Contended, "another process is using the database"),
        // ERROR
        1 => (ErrorKind::Misconfigured, "the database does not have the expected tables"),
        // PERM, READONLY, AUTH
        3 | 8 | 23 => (ErrorKind::Misconfigured, "the database file may not be written"),
        // CANTOPEN
        14 => (ErrorKind::Misconfigured, "the database file cannot be opened"),
        // CORRUPT, NOTADB
        11 | 26 => (ErrorKind::Corrupt, "the file is damaged or not a database; it was left as it is"),
        // FULL
        13 => (ErrorKind::Unavailable, "the disk is full"),
        // IOERR
        10 => (ErrorKind::Unavailable, "the disk reported an error"),
        // TOOBIG, CONSTRAINT, MISMATCH
        18..=20 => (ErrorKind::Unsupported, "the database refuses such a value"),
        _ => (ErrorKind::Unavailable, "the database reported an error"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_and_locked_in_all_their_refinements_are_contended() {
        for code in [5, 6, 15, 261, 262, 517, 773] {
            assert_eq!(meaning_of(code).0, ErrorKind::Contended, "{code}");
        }
    }

    #[test]
    fn a_full_disk_is_told_from_a_broken_one() {
        assert_eq!(meaning_of(13), (ErrorKind::Unavailable, "the disk is full"));
        // IOERR_FSYNC
        assert_eq!(meaning_of(1034), (ErrorKind::Unavailable, "the disk reported an error"));
    }
}
