//! What Redis and its driver report, in the words of [`ErrorKind`].

use portwright_domain::{ErrorKind, PortError};
use redis::RedisError;

/// What an error says about where it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The command failed; the server is fine.
    Command,
    /// The server does not know the script (any more).
    NoScript,
    /// Somebody else would answer: the connection is broken, its server is going down, or it is the wrong one.
    Server,
}

/// The error of `operation` that `error` amounts to.
pub(crate) fn port_error(operation: &'static str, error: RedisError) -> PortError {
    let (kind, detail) = match error.code() {
        Some(code) => meaning_of(code, error.detail().unwrap_or_default()),
        None => match error.kind() {
            redis::ErrorKind::AuthenticationFailed => REFUSED,
            redis::ErrorKind::InvalidClientConfig => {
                (ErrorKind::Misconfigured, "the connection to Redis cannot be made like this")
            }
            redis::ErrorKind::UnexpectedReturnType => (ErrorKind::Corrupt, "a stored value does not parse"),
            _ if error.is_connection_refusal() => (ErrorKind::Unavailable, "Redis refuses connections"),
            _ if error.is_timeout() => (ErrorKind::Unavailable, "Redis did not answer in time"),
            _ => (ErrorKind::Unavailable, "the connection to Redis broke"),
        },
    };
    PortError::new(kind, operation, detail).with_source(error)
}

/// Where the trouble lies.
pub(crate) fn trouble_of(error: &RedisError) -> Trouble {
    match error.code() {
        Some("NOSCRIPT") => Trouble::NoScript,
        Some(code) if !WRONG_SERVER.contains(&code) => Trouble::Command,
        _ => Trouble::Server,
    }
}

/// What a server says that is not the one to ask, or not yet.
const WRONG_SERVER: [&str; 10] = [
    "READONLY",
    "LOADING",
    "MASTERDOWN",
    "CLUSTERDOWN",
    "MOVED",
    "ASK",
    "TRYAGAIN",
    "UNBLOCKED",
    "NOREPLICAS",
    "NOAUTH",
];

const REFUSED: (ErrorKind, &str) = (ErrorKind::Misconfigured, "Redis refuses the user or the password");

/// What the first word of an error means to a caller; where it is `ERR`, the rest tells.
fn meaning_of(code: &str, rest: &str) -> (ErrorKind, &'static str) {
    match code {
        "NOAUTH" | "WRONGPASS" => REFUSED,
        "NOPERM" => (ErrorKind::Misconfigured, "the Redis user may not do this"),
        "READONLY" => (ErrorKind::Unavailable, "the Redis server is not the primary"),
        "LOADING" => (ErrorKind::Unavailable, "Redis is starting"),
        "MASTERDOWN" => (ErrorKind::Unavailable, "the Redis server has lost its primary"),
        "CLUSTERDOWN" => (ErrorKind::Unavailable, "the Redis cluster is incomplete"),
        "MOVED" | "ASK" | "TRYAGAIN" => {
            (ErrorKind::Unavailable, "the keys are moving to another Redis server")
        }
        "NOREPLICAS" => (ErrorKind::Unavailable, "Redis has too few replicas to take writes"),
        "OOM" => (ErrorKind::Unavailable, "the memory of Redis is full"),
        "MISCONF" => (ErrorKind::Unavailable, "Redis cannot write to its disk"),
        "NOSCRIPT" => (ErrorKind::Unavailable, "Redis has forgotten the script"),
        "BUSY" => (ErrorKind::Unavailable, "Redis is busy with a script"),
        "WRONGTYPE" => (ErrorKind::Corrupt, "a key holds what another program put there"),
        "CROSSSLOT" => (ErrorKind::Misconfigured, "the keys are not in one slot of the Redis cluster"),
        "ERR" if rest.contains("invalid password") || rest.contains("without any password") => REFUSED,
        "ERR" if rest.contains("DB index") => (ErrorKind::Misconfigured, "Redis has no such database"),
        "ERR" if rest.contains("max number of clients") => {
            (ErrorKind::Unavailable, "Redis has no connection left")
        }
        _ => (ErrorKind::Unavailable, "Redis reported an error"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_credentials_are_not_a_server_that_is_down() {
        for code in ["NOAUTH", "WRONGPASS", "NOPERM", "CROSSSLOT"] {
            assert_eq!(meaning_of(code, "").0, ErrorKind::Misconfigured, "{code}");
        }
        for code in ["READONLY", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "OOM", "NOSCRIPT", "MISCONF"] {
            assert_eq!(meaning_of(code, "").0, ErrorKind::Unavailable, "{code}");
        }
    }

    #[test]
    fn who_is_not_the_primary_any_more_is_not_asked_again() {
        let said = |line: &str| redis::parse_redis_value(line.as_bytes()).expect("a reply").extract_error();
        for (line, trouble) in [
            ("-READONLY You can't write against a read only replica.\r\n", Trouble::Server),
            ("-LOADING Redis is loading the dataset in memory\r\n", Trouble::Server),
            ("-MASTERDOWN Link with MASTER is down\r\n", Trouble::Server),
            ("-CLUSTERDOWN The cluster is down\r\n", Trouble::Server),
            ("-MOVED 12182 127.0.0.1:7002\r\n", Trouble::Server),
            ("-NOSCRIPT No matching script.\r\n", Trouble::NoScript),
            ("-OOM command not allowed when used memory > 'maxmemory'.\r\n", Trouble::Command),
            ("-WRONGTYPE Operation against a key\r\n", Trouble::Command),
        ] {
            assert_eq!(trouble_of(&said(line).expect_err("an error")), trouble, "{line}");
        }
    }
}
