//! [`Obstacle`]: why a server of somebody else's cannot be used, told apart by what would mend it.

use std::io;

use crate::error::ErrorKind;

/// What stands between us and a server. Its words are for the operator, and nothing in it is secret.
///
/// An adapter that can find out is asked when something is wrong, not on every call: a [`PortError`](crate::PortError)
/// is enough for those who only have to give up or to try again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// Its name leads nowhere.
    #[error("no such host")]
    UnknownHost,
    /// The machine is there, and nobody listens on that port.
    #[error("connection refused")]
    Refused,
    /// Nobody answers in time: a host that is down, or a firewall that says nothing.
    #[error("no answer in time")]
    Silent,
    /// Whoever answers hangs up, as those do who speak something else.
    #[error("it hung up")]
    HungUp,
    /// TLS is asked for, and the server has none.
    #[error("it does not offer TLS")]
    NoTls,
    /// The server takes nobody without TLS, and none is asked for.
    #[error("it takes nobody without TLS")]
    OnlyTls,
    /// Its certificate is signed by somebody whom nobody here vouches for.
    #[error("its certificate is signed by an authority that is not trusted here")]
    UnknownAuthority,
    /// Its certificate is for others: which it was to be for, and which it is for.
    #[error("its certificate is not for {0}")]
    OtherName(String),
    /// TLS was begun, and went wrong for this reason.
    #[error("TLS: {0}")]
    Tls(String),
    /// It does not believe that we are who we say.
    #[error("{0}")]
    Credentials(String),
    /// It knows us and does not let us.
    #[error("{0}")]
    Forbidden(String),
    /// What is looked for there (a database, a bucket) is not there.
    #[error("{0}")]
    Absent(String),
    /// It is there, and takes nobody at present: it is starting, or full, or waits for somebody to promote it.
    #[error("{0}")]
    Busy(String),
    /// Something else.
    #[error("{0}")]
    Other(String),
}

impl Obstacle {
    /// What a failed connection amounts to.
    #[must_use]
    pub fn of_io(error: &io::Error) -> Self {
        // The standard library has no kind for names that nobody knows.
        const LOOKUP: &str = "failed to lookup address information";
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::TimedOut => Self::Silent,
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => Self::HungUp,
            _ if error.to_string().starts_with(LOOKUP) => Self::UnknownHost,
            _ => {
                let said = error.to_string();
                Self::of_tls(&said).unwrap_or(Self::Other(said))
            }
        }
    }

    /// What a handshake that failed amounts to, in the words of rustls: through most drivers nothing else of it reaches an
    /// adapter. `None` if they are about something else.
    #[must_use]
    pub fn of_tls(said: &str) -> Option<Self> {
        const CERTIFICATE: &str = "invalid peer certificate: ";
        const NAME: &str = "certificate not valid for name ";
        // Whoever answers a greeting in TLS with something else does not speak it.
        const NOT_TLS: &str = "received corrupt message of type InvalidContentType";
        const OTHERS: [&str; 2] = ["received corrupt message", "received fatal alert"];
        match said.strip_prefix(CERTIFICATE) {
            // The latter of an authority that calls itself as one that is trusted.
            Some("UnknownIssuer" | "BadSignature") => Some(Self::UnknownAuthority),
            Some(why) => Some(match why.strip_prefix(NAME) {
                Some(names) => Self::OtherName(names.to_owned()),
                None => Self::Tls(said.to_owned()),
            }),
            None if said == NOT_TLS => Some(Self::NoTls),
            None => OTHERS.iter().any(|other| said.starts_with(other)).then(|| Self::Tls(said.to_owned())),
        }
    }

    /// Whether somebody answered who speaks as we do, so that asking in another way leads nowhere.
    #[must_use]
    pub const fn is_understood(&self) -> bool {
        matches!(
            self,
            Self::UnknownAuthority
                | Self::OtherName(_)
                | Self::Credentials(_)
                | Self::Forbidden(_)
                | Self::Absent(_)
                | Self::Busy(_)
        )
    }

    /// Whether waiting may help (`Unavailable`), or somebody has to change something (`Misconfigured`).
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::UnknownHost
            | Self::Refused
            | Self::Silent
            | Self::HungUp
            | Self::Busy(_)
            | Self::Other(_) => ErrorKind::Unavailable,
            Self::NoTls
            | Self::OnlyTls
            | Self::UnknownAuthority
            | Self::OtherName(_)
            | Self::Tls(_)
            | Self::Credentials(_)
            | Self::Forbidden(_)
            | Self::Absent(_) => ErrorKind::Misconfigured,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_leads_nowhere_is_told_from_a_port_where_nobody_listens() {
        let lookup = "failed to lookup address information: Name or service not known";
        assert_eq!(Obstacle::of_io(&io::Error::other(lookup)), Obstacle::UnknownHost);
        assert_eq!(Obstacle::of_io(&io::ErrorKind::ConnectionRefused.into()), Obstacle::Refused);
        assert_eq!(Obstacle::of_io(&io::Error::other("no route")), Obstacle::Other("no route".to_owned()));
    }

    #[test]
    fn whom_tls_does_not_trust_is_told_from_whom_it_does_not_understand() {
        let obstacle = |said: &str| Obstacle::of_io(&io::Error::new(io::ErrorKind::InvalidData, said));
        let namesake = obstacle("invalid peer certificate: BadSignature");
        assert_eq!(namesake, Obstacle::UnknownAuthority);
        let unknown = obstacle("invalid peer certificate: UnknownIssuer");
        assert_eq!(unknown, Obstacle::UnknownAuthority);
        let plain = obstacle("received corrupt message of type InvalidContentType");
        assert_eq!(plain, Obstacle::NoTls);
        let other = obstacle("invalid peer certificate: certificate not valid for name \"db\"; and so on");
        assert_eq!(other.to_string(), "its certificate is not for \"db\"; and so on");
        let expired = "invalid peer certificate: Expired";
        assert_eq!(obstacle(expired), Obstacle::Tls(expired.to_owned()));
    }

    #[test]
    fn what_waiting_does_not_mend_is_misconfigured() {
        assert_eq!(Obstacle::NoTls.kind(), ErrorKind::Misconfigured);
        assert_eq!(Obstacle::UnknownHost.kind(), ErrorKind::Unavailable);
    }
}
