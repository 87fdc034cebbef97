//! What PostgreSQL and its driver report, in the words of [`ErrorKind`].

use portwright_domain::{ErrorKind, PortError, Race};

/// What an error says about the connection that it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The statement failed; the connection is fine, but for a transaction that must be rolled back.
    Statement,
    /// Somebody else would answer: the connection is broken, its server is going down, or it is the wrong one.
    Server,
}

/// The error of `operation` that `error` amounts to.
pub(crate) fn port_error(operation: &'static str, error: sqlx::Error) -> PortError {
    let mut race = Race::default();
    let (kind, detail) = match &error {
        sqlx::Error::Database(reported) => {
            let code = reported.code().unwrap_or_default();
            race = race_of(&code);
            // The rules that one statement cannot break alone are checked before; what is left is a race.
            meaning_of(&code)
        }
        sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::Decode(_)
        | sqlx::Error::ColumnIndexOutOfBounds { .. } => (ErrorKind::Corrupt, "a stored value does not parse"),
        sqlx::Error::Tls(_) => (ErrorKind::Misconfigured, "the TLS handshake with the database failed"),
        sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            (ErrorKind::Unavailable, "the database refuses connections")
        }
        _ => (ErrorKind::Unavailable, "the connection to the database broke"),
    };
    PortError::new(kind, operation, detail).with_race(race).with_source(error)
}

/// Which race an SQLSTATE means that [`meaning_of`] says was lost.
fn race_of(code: &str) -> Race {
    match code {
        "40001" => Race::Serialization,
        "40P01" => Race::Deadlock,
        "23505" | "23503" => Race::Rule,
        _ => Race::Busy,
    }
}

/// Where the trouble lies.
pub(crate) fn trouble_of(error: &sqlx::Error) -> Trouble {
    match error {
        sqlx::Error::Database(reported) => match reported.code().as_deref().unwrap_or_default() {
            // read_only_sql_transaction, and serializable mode on a standby: this is not the primary any more
            "25006" | "0A000" => Trouble::Server,
            // connection exceptions, operator intervention but query_canceled
            code if code.starts_with("08") || (code.starts_with("57") && code != "57014") => Trouble::Server,
            _ => Trouble::Statement,
        },
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => {
            Trouble::Server
        }
        _ => Trouble::Statement,
    }
}

/// What an SQLSTATE means to a caller; see appendix A of the manual.
fn meaning_of(code: &str) -> (ErrorKind, &'static str) {
    match code {
        // serialization_failure, deadlock_detected, and lock_not_available: whoever was first goes on
        "40001" | "40P01" | "55P03" => (ErrorKind::Contended, "another transaction came first"),
        // unique_violation, foreign_key_violation
        "23505" | "23503" => (ErrorKind::Contended, "another transaction came first to the same rule"),
        // query_canceled
        "57014" => (ErrorKind::Unavailable, "the statement took too long"),
        // read_only_sql_transaction, and what a standby says to serializable transactions
        "25006" | "0A000" => (ErrorKind::Unavailable, "the server is not the primary"),
        // too_many_connections
        "53300" => (ErrorKind::Unavailable, "the database has no connection left"),
        // disk_full
        "53100" => (ErrorKind::Unavailable, "the disk of the database is full"),
        // invalid_password, invalid_authorization_specification
        "28P01" | "28000" => (ErrorKind::Misconfigured, "the database refuses the user or the password"),
        // invalid_catalog_name
        "3D000" => (ErrorKind::Misconfigured, "the database does not exist"),
        // undefined_table, undefined_column
        "42P01" | "42703" => (ErrorKind::Misconfigured, "the database does not have the expected tables"),
        // insufficient_privilege
        "42501" => (ErrorKind::Misconfigured, "the database user may not do this"),
        // data_corrupted, index_corrupted
        "XX001" | "XX002" => (ErrorKind::Corrupt, "the database is damaged"),
        code if code.starts_with("22") || code.starts_with("23") => {
            (ErrorKind::Unsupported, "the database refuses such a value")
        }
        code if code.starts_with("57") => (ErrorKind::Unavailable, "the database is going down or starting"),
        _ => (ErrorKind::Unavailable, "the database reported an error"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_lost_a_race_may_start_over() {
        for code in ["40001", "40P01", "55P03", "23505"] {
            assert_eq!(meaning_of(code).0, ErrorKind::Contended, "{code}");
        }
    }

    #[test]
    fn a_lost_race_is_told_by_its_name() {
        let races = [("40001", "serialization"), ("40P01", "deadlock"), ("55P03", "busy"), ("23505", "rule")];
        for (code, name) in races {
            assert_eq!(race_of(code).as_str(), name, "{code}");
        }
    }

    #[test]
    fn wrong_credentials_are_not_a_server_that_is_down() {
        for code in ["28P01", "28000", "3D000", "42P01", "42501"] {
            assert_eq!(meaning_of(code).0, ErrorKind::Misconfigured, "{code}");
        }
        for code in ["57P01", "57P03", "53300", "53100", "57014", "08006", "25006"] {
            assert_eq!(meaning_of(code).0, ErrorKind::Unavailable, "{code}");
        }
    }
}
