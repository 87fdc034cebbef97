//! Proofs **for tests only**: fast, the same in every run, and worth nothing against an attacker, who can compute all
//! of them. They keep the promises of their ports to everybody else. The real ones are in `portwright-security`.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use portwright_domain::password::{NewPassword, Password};
use portwright_domain::ports::{
    AccessToken, PasswordHasher, Purpose, Sealer, TokenIssuer, TokenRejected, Verdict,
};
use portwright_domain::session::{Claims, SessionId};
use portwright_domain::user::{PasswordHash, UserId};
use portwright_domain::{ErrorKind, PortError, Timestamp};
use uuid::Uuid;

/// What stands in for cryptography here.
fn digest(parts: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    hasher.finish()
}

/// Hashes passwords in no time. **For tests only.**
///
/// A hash is `$plain$<strength>$<salt>$<digest>`.
#[derive(Debug)]
pub struct PlainHasher {
    strength: u32,
    salts: AtomicU64,
}

impl PlainHasher {
    /// A hasher of today's strength.
    #[must_use]
    pub const fn new() -> Self {
        Self { strength: 2, salts: AtomicU64::new(0) }
    }

    /// A hasher as it was before the strength was raised: today's calls its hashes outdated.
    #[must_use]
    pub const fn outdated() -> Self {
        Self { strength: 1, salts: AtomicU64::new(0) }
    }
}

impl Default for PlainHasher {
    fn default() -> Self {
        Self::new()
    }
}

/// Strength, salt and digest of a hash.
fn parse_hash(hash: &str) -> Option<(u32, u64, u64)> {
    let mut fields = hash.strip_prefix("$plain$")?.split('$');
    let strength = fields.next()?.parse().ok()?;
    let salt = fields.next()?.parse().ok()?;
    let digest = u64::from_str_radix(fields.next()?, 16).ok()?;
    fields.next().is_none().then_some((strength, salt, digest))
}

#[async_trait]
impl PasswordHasher for PlainHasher {
    fn at_once(&self) -> usize {
        1
    }

    async fn hash(&self, password: &NewPassword) -> Result<PasswordHash, PortError> {
        let salt = self.salts.fetch_add(1, Ordering::Relaxed);
        let digest = digest((salt, password.as_password().expose()));
        Ok(PasswordHash::new(format!("$plain${}${salt}${digest:016x}", self.strength)))
    }

    async fn verify(&self, password: &Password, hash: &PasswordHash) -> Result<Verdict, PortError> {
        let Some((strength, salt, expected)) = parse_hash(hash.expose()) else {
            return Err(PortError::new(ErrorKind::Corrupt, "hasher.verify", "the hash does not parse"));
        };
        Ok(if digest((salt, password.expose())) != expected {
            Verdict::Mismatch
        } else if strength < self.strength {
            Verdict::MatchOutdated
        } else {
            Verdict::Match
        })
    }

    async fn verify_nobody(&self, _: &Password) -> Result<(), PortError> {
        Ok(())
    }
}

/// Signs access tokens with a digest. **For tests only.**
///
/// A token is `<sub>.<sid>.<jti>.<iat>.<exp>.<aud>.<signature>`.
#[derive(Clone)]
pub struct FakeTokens {
    key: String,
    audience: String,
}

impl FakeTokens {
    /// An issuer with this key for this audience.
    #[must_use]
    pub fn new(key: &str, audience: &str) -> Self {
        Self { key: key.to_owned(), audience: audience.to_owned() }
    }

    fn signature(&self, body: &str) -> String {
        format!("{:016x}", digest((&self.key, body)))
    }
}

impl Default for FakeTokens {
    fn default() -> Self {
        Self::new("test", "test")
    }
}

impl fmt::Debug for FakeTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeTokens").field("audience", &self.audience).finish_non_exhaustive()
    }
}

impl TokenIssuer for FakeTokens {
    fn issue(&self, claims: &Claims) -> Result<AccessToken, PortError> {
        let (sub, sid, jti) = (claims.user_id, claims.session_id, claims.token_id);
        let (iat, exp) = (claims.issued_at.unix_seconds(), claims.expires_at.unix_seconds());
        let body = format!("{sub}.{sid}.{jti}.{iat}.{exp}.{}", self.audience);
        Ok(AccessToken::new(format!("{body}.{}", self.signature(&body))))
    }

    fn verify(&self, token: &str, now: Timestamp) -> Result<Claims, TokenRejected> {
        let (body, signature) = token.rsplit_once('.').ok_or(TokenRejected::Malformed)?;
        let (claims, audience) = parse_body(body).ok_or(TokenRejected::Malformed)?;
        if signature != self.signature(body) {
            return Err(TokenRejected::BadSignature);
        }
        if audience != self.audience {
            return Err(TokenRejected::Foreign);
        }
        if now < claims.issued_at || claims.expires_at <= now {
            return Err(TokenRejected::Expired);
        }
        Ok(claims)
    }

    fn public_keys(&self) -> String {
        r#"{"keys":[]}"#.to_owned()
    }
}

/// The claims of a token and its audience.
fn parse_body(body: &str) -> Option<(Claims, &str)> {
    let mut fields = body.splitn(6, '.');
    let mut id = || fields.next().and_then(|field| Uuid::parse_str(field).ok());
    let (sub, sid, jti) = (id()?, id()?, id()?);
    let mut moment = || {
        let seconds: i64 = fields.next()?.parse().ok()?;
        Some(Timestamp::from_unix_micros(seconds.saturating_mul(1_000_000)))
    };
    let (issued_at, expires_at) = (moment()?, moment()?);
    let claims =
        Claims { user_id: UserId(sub), session_id: SessionId(sid), token_id: jti, issued_at, expires_at };
    Some((claims, fields.next()?))
}

/// Seals with a digest and hides with a mask. **For tests only.**
///
/// Sealed text is a number used once, the masked content and a digest, in hexadecimal.
pub struct FakeSealer {
    key: String,
    sealed: AtomicU64,
}

impl FakeSealer {
    /// A sealer with this key.
    #[must_use]
    pub fn new(key: &str) -> Self {
        Self { key: key.to_owned(), sealed: AtomicU64::new(0) }
    }

    /// Hides what is plain, and the other way round.
    fn mask(&self, purpose: Purpose, once: u64, bytes: &[u8]) -> Vec<u8> {
        let masks = (0_u64..).flat_map(|block| digest((&self.key, purpose, once, block)).to_be_bytes());
        bytes.iter().zip(masks).map(|(byte, mask)| byte ^ mask).collect()
    }

    fn seal_of(&self, purpose: Purpose, once: u64, content: &[u8]) -> [u8; 8] {
        digest((&self.key, purpose, once, content)).to_be_bytes()
    }
}

impl Default for FakeSealer {
    fn default() -> Self {
        Self::new("test")
    }
}

impl fmt::Debug for FakeSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeSealer").finish_non_exhaustive()
    }
}

impl Sealer for FakeSealer {
    fn seal(&self, purpose: Purpose, content: &[u8]) -> String {
        let once = self.sealed.fetch_add(1, Ordering::Relaxed);
        let masked = self.mask(purpose, once, content);
        let bytes = [&once.to_be_bytes(), &masked[..], &self.seal_of(purpose, once, content)].concat();
        let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
        digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
    }

    fn open(&self, purpose: Purpose, sealed: &str) -> Option<Vec<u8>> {
        let bytes = from_hex(sealed)?;
        let (once, rest) = bytes.split_first_chunk::<8>()?;
        let (masked, seal) = rest.split_last_chunk::<8>()?;
        let once = u64::from_be_bytes(*once);
        let content = self.mask(purpose, once, masked);
        (self.seal_of(purpose, once, &content) == *seal).then_some(content)
    }
}

/// The bytes of a lower-case hexadecimal text; there is no second spelling.
fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    let (pairs, odd) = text.as_bytes().as_chunks::<2>();
    if !odd.is_empty() {
        return None;
    }
    pairs.iter().map(|&[high, low]| Some(digit(high)? << 4 | digit(low)?)).collect()
}
