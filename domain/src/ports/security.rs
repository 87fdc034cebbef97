//! Proofs: of a password, of an access token, and of anything else that we hand out and want back unaltered.

use async_trait::async_trait;

use crate::error::PortError;
use crate::password::{NewPassword, Password};
use crate::session::Claims;
use crate::time::Timestamp;
use crate::user::PasswordHash;

/// What came of checking a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is the one.
    Match,
    /// It is the one, and the hash was made with weaker parameters than today's: hash it anew.
    MatchOutdated,
    /// It is another.
    Mismatch,
}

/// Turns passwords into something that can be kept. Asynchronous, because it is slow on purpose and must not hold up the
/// threads that serve requests.
#[async_trait]
pub trait PasswordHasher: Send + Sync + 'static {
    /// How many hashes this hasher makes at once, at least 1. So many calls at a time are not refused for their number,
    /// and more are no faster: whoever has many passwords to hash keeps to it, and leaves the waiting to others.
    fn at_once(&self) -> usize;

    /// Hashes with a fresh salt: the same password twice gives two hashes.
    ///
    /// # Errors
    /// `Unavailable` if too many are waiting already.
    async fn hash(&self, password: &NewPassword) -> Result<PasswordHash, PortError>;

    /// Checks a password with the parameters of its hash.
    ///
    /// # Errors
    /// `Unavailable` if too many are waiting already, `Corrupt` if the hash does not parse.
    async fn verify(&self, password: &Password, hash: &PasswordHash) -> Result<Verdict, PortError>;

    /// Takes as long as `verify`, and matches nothing: for an address that nobody has.
    ///
    /// # Errors
    /// As `verify`.
    async fn verify_nobody(&self, password: &Password) -> Result<(), PortError>;
}

/// A signed token. Its `Debug` form shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken(String);

impl AccessToken {
    /// Wraps what the issuer made.
    #[must_use]
    pub const fn new(token: String) -> Self {
        Self(token)
    }

    /// The token, for the client that it is meant for.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AccessToken(***)")
    }
}

/// A token is no proof. Why is for the log; the caller is told nothing but that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenRejected {
    /// It ended, or has not begun.
    #[error("the token has expired or is not valid yet")]
    Expired,
    /// It was not signed by a key of ours, in the way of that key.
    #[error("the signature is not ours")]
    BadSignature,
    /// It is for somebody else, by somebody else, or of another type.
    #[error("the issuer, audience or type is not ours")]
    Foreign,
    /// It is no token at all, or lacks what ours have.
    #[error("not a token of ours")]
    Malformed,
}

/// Signs and checks access tokens.
pub trait TokenIssuer: Send + Sync + 'static {
    /// Signs the claims.
    ///
    /// # Errors
    /// `Misconfigured` if the key cannot sign.
    fn issue(&self, claims: &Claims) -> Result<AccessToken, PortError>;

    /// The claims of a token that this issuer's keys signed for this service, and that is valid at `now`.
    fn verify(&self, token: &str, now: Timestamp) -> Result<Claims, TokenRejected>;

    /// The public keys as a JSON Web Key Set (RFC 7517); empty for a shared secret.
    fn public_keys(&self) -> String;
}

/// What sealed text is for; text that was sealed for one purpose does not open for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// A refresh token.
    RefreshToken,
    /// A position in a list.
    Cursor,
    /// Proof of a commit.
    CommitToken,
}

impl Purpose {
    /// Every purpose.
    pub const ALL: [Self; 3] = [Self::RefreshToken, Self::Cursor, Self::CommitToken];

    /// The stable name that the seal is bound to.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RefreshToken => "refresh-token",
            Self::Cursor => "cursor",
            Self::CommitToken => "commit-token",
        }
    }
}

/// Seals what leaves the service and comes back: nobody else can read, make or alter it (authenticated encryption).
pub trait Sealer: Send + Sync + 'static {
    /// URL-safe text for these bytes. The same bytes twice give two texts.
    fn seal(&self, purpose: Purpose, content: &[u8]) -> String;

    /// The bytes that were sealed for this purpose by any process with the same key; `None` for anything else.
    fn open(&self, purpose: Purpose, sealed: &str) -> Option<Vec<u8>>;
}
