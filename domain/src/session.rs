//! Sessions: one sign-in, from the first access token to its end.
//!
//! A session *is* the family of its refresh tokens. Each refresh token names the session and a generation; only the
//! newest generation refreshes, and an older one is proof that a token was copied, which ends the session
//! (RFC 9700, section 4.14.2). So nothing secret is stored, and a session that ended is simply gone: its row is
//! removed, and every token that names it is refused on every process.

use std::fmt;
use std::time::Duration;

use uuid::Uuid;

use crate::time::Timestamp;
use crate::user::UserId;

/// The identity of a session; access tokens carry it as `sid`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub Uuid);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Counts the refresh tokens of one session; the first has generation 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u32);

impl Generation {
    /// The generation of the refresh token that a sign-in answers.
    pub const FIRST: Self = Self(1);

    /// The generation after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// Somebody signed in, and has not signed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Identity.
    pub id: SessionId,
    /// Who signed in.
    pub user_id: UserId,
    /// The only generation that refreshes.
    pub generation: Generation,
    /// The sign-in.
    pub created_at: Timestamp,
    /// The end, unless it is refreshed before; never later than the absolute limit.
    pub expires_at: Timestamp,
}

/// How long sessions live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionLimits {
    /// A session that is not refreshed for this long ends.
    pub idle: Duration,
    /// However often it is refreshed, a session ends this long after the sign-in.
    pub absolute: Duration,
}

impl Session {
    /// A session that begins now.
    #[must_use]
    pub fn begin(id: SessionId, user_id: UserId, now: Timestamp, limits: SessionLimits) -> Self {
        let expires_at = now.plus(limits.idle.min(limits.absolute));
        Self { id, user_id, generation: Generation::FIRST, created_at: now, expires_at }
    }

    /// The same session after a refresh.
    #[must_use]
    pub fn refreshed(&self, now: Timestamp, limits: SessionLimits) -> Self {
        let expires_at = now.plus(limits.idle).min(self.created_at.plus(limits.absolute));
        Self { generation: self.generation.next(), expires_at, ..self.clone() }
    }

    /// Whether the session has come to its end.
    #[must_use]
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.expires_at <= now
    }
}

/// What an access token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claims {
    /// The signed-in user (`sub`).
    pub user_id: UserId,
    /// The session (`sid`).
    pub session_id: SessionId,
    /// The token itself (`jti`).
    pub token_id: Uuid,
    /// When it was issued (`iat`, `nbf`), in whole seconds.
    pub issued_at: Timestamp,
    /// When it ends (`exp`), in whole seconds.
    pub expires_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: SessionLimits =
        SessionLimits { idle: Duration::from_secs(7), absolute: Duration::from_secs(10) };

    #[test]
    fn a_refresh_extends_a_session_up_to_its_absolute_limit() {
        let start = Timestamp::UNIX_EPOCH;
        let session = Session::begin(SessionId(Uuid::nil()), UserId(Uuid::nil()), start, LIMITS);
        assert!(!session.has_expired(start.plus(Duration::from_secs(6))));
        assert!(session.has_expired(start.plus(LIMITS.idle)));

        let refreshed = session.refreshed(start.plus(Duration::from_secs(6)), LIMITS);
        assert_eq!(refreshed.generation, Generation(2));
        assert_eq!(refreshed.expires_at, start.plus(LIMITS.absolute));
    }
}
