//! Access tokens as JSON Web Tokens (RFC 7519) of the type `at+jwt` (RFC 9068).
//!
//! # Invariants
//!
//! - The token never chooses how it is checked. Its `kid` selects one of our keys, and from then on the whole header
//!   must be the one that this key writes: algorithm, type and key id, and nothing else. So there is no `none`, no key
//!   from the header (`jwk`, `jku`, `x5u`), no `crit`, and no public key that is taken for a shared secret.
//! - Every claim is required, and of one type: the three times are whole numbers of seconds that RFC 3339 can write,
//!   the three identities are UUIDs, issuer and audience are one text each. A claim that stands there twice is refused.
//!   Claims that we do not know are left alone, so that processes of two versions can serve side by side.
//! - A signature that was found right is not checked again for the same text ([`Verified`]); everything else is.
//! - Time is what the caller says, never the system clock. An end is an end, to the second; a beginning is forgiven
//!   [`JwtIssuer::CLOCK_SKEW`], or a token that another process issued just now would be refused by one whose clock is
//!   slow.

mod provider;
mod verified;

use std::fmt;
use std::iter;
use std::time::Duration;

use jsonwebtoken::errors::ErrorKind as JwtErrorKind;
use jsonwebtoken::{Header, Validation, decode, decode_header, encode};
use portwright_domain::ports::{AccessToken, TokenIssuer, TokenRejected};
use portwright_domain::session::{Claims, SessionId};
use portwright_domain::user::UserId;
use portwright_domain::{ErrorKind, PortError, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use self::verified::{TokenDigest, Verified};
use crate::keys::SigningKey;

/// Tells access tokens from any other token that the same key might sign (RFC 9068, section 2.1).
const TOKEN_TYPE: &str = "at+jwt";

/// Signs with one key and verifies with all that it knows. See the [module](self) for what it refuses.
pub struct JwtIssuer {
    issuer: String,
    audience: String,
    current: KnownKey,
    others: Vec<KnownKey>,
    public_keys: String,
    verified: Verified,
}

impl JwtIssuer {
    /// No token of ours is longer; a longer one is refused unread.
    pub const MAX_TOKEN_BYTES: usize = 8 * 1024;

    /// How far the clock of the process that issued a token may be ahead of ours.
    pub const CLOCK_SKEW: Duration = Duration::from_secs(30);

    /// Signs with `key` for this `audience` in the name of `issuer`, both as the claims `aud` and `iss` say them.
    #[must_use]
    pub fn new(key: &SigningKey, issuer: &str, audience: &str) -> Self {
        provider::install();
        let current = KnownKey::new(key, issuer, audience);
        let public_keys = key_set([&current]);
        Self {
            issuer: issuer.to_owned(),
            audience: audience.to_owned(),
            current,
            others: Vec::new(),
            public_keys,
            verified: Verified::default(),
        }
    }

    /// Also verifies with `key` and publishes its public half: one that is to sign soon, or one that did and whose
    /// tokens have not all ended.
    #[must_use]
    pub fn accepting(mut self, key: &SigningKey) -> Self {
        self.others.push(KnownKey::new(key, &self.issuer, &self.audience));
        self.public_keys = key_set(self.keys());
        self
    }

    fn keys(&self) -> impl Iterator<Item = &KnownKey> {
        iter::once(&self.current).chain(&self.others)
    }

    /// What a token says that one of our keys signed for this service, at whatever time it is valid.
    fn read(&self, token: &str) -> Result<Claims, TokenRejected> {
        let header = decode_header(token).map_err(|_| TokenRejected::Malformed)?;
        let ours = self.keys().find(|known| known.header.kid == header.kid);
        let known = ours.filter(|known| known.header.alg == header.alg).ok_or(TokenRejected::BadSignature)?;
        if header.typ != known.header.typ {
            return Err(TokenRejected::Foreign);
        }
        if header != known.header {
            return Err(TokenRejected::Malformed);
        }
        let token = decode::<Payload>(token, &known.key.public, &known.validation);
        token.map_err(|error| rejection(error.kind()))?.claims.read()
    }
}

/// A key, the one header that its tokens have, and the checks that jsonwebtoken makes.
struct KnownKey {
    key: SigningKey,
    header: Header,
    validation: Validation,
}

impl KnownKey {
    fn new(key: &SigningKey, issuer: &str, audience: &str) -> Self {
        let mut header = Header::new(key.algorithm);
        header.typ = Some(TOKEN_TYPE.to_owned());
        header.kid = Some(key.id.clone());

        let mut validation = Validation::new(key.algorithm);
        validation.set_issuer(&[issuer]);
        validation.set_audience(&[audience]);
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        // These two would ask the system clock.
        validation.validate_exp = false;
        validation.validate_nbf = false;

        Self { key: key.clone(), header, validation }
    }
}

/// The public halves as RFC 7517, section 5, writes them; a shared secret has none.
fn key_set<'a>(keys: impl IntoIterator<Item = &'a KnownKey>) -> String {
    let public: Vec<_> = keys.into_iter().filter_map(|known| known.key.jwk.as_ref()).collect();
    serde_json::json!({ "keys": public }).to_string()
}

impl TokenIssuer for JwtIssuer {
    fn issue(&self, claims: &Claims) -> Result<AccessToken, PortError> {
        let begin = claims.issued_at.unix_seconds();
        let payload = Payload {
            iss: self.issuer.clone(),
            aud: self.audience.clone(),
            sub: claims.user_id.0,
            sid: claims.session_id.0,
            jti: claims.token_id,
            iat: begin,
            nbf: begin,
            exp: claims.expires_at.unix_seconds(),
        };
        encode(&self.current.header, &payload, &self.current.key.private).map(AccessToken::new).map_err(
            |error| {
                PortError::new(ErrorKind::Misconfigured, "token_issuer.issue", "the key does not sign")
                    .with_source(error)
            },
        )
    }

    fn verify(&self, token: &str, now: Timestamp) -> Result<Claims, TokenRejected> {
        if token.len() > Self::MAX_TOKEN_BYTES {
            return Err(TokenRejected::Malformed);
        }
        let digest = TokenDigest::of(token);
        let claims = if let Some(claims) = self.verified.claims(&digest) {
            claims
        } else {
            let claims = self.read(token)?;
            self.verified.remember(digest, claims);
            claims
        };
        let has_begun = claims.issued_at <= now.plus(Self::CLOCK_SKEW);
        let has_ended = claims.expires_at <= now;
        if has_begun && !has_ended { Ok(claims) } else { Err(TokenRejected::Expired) }
    }

    fn public_keys(&self) -> String {
        self.public_keys.clone()
    }
}

impl fmt::Debug for JwtIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtIssuer")
            .field("issuer", &self.issuer)
            .field("audience", &self.audience)
            .field("keys", &self.keys().map(|known| &known.key).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

fn rejection(error: &JwtErrorKind) -> TokenRejected {
    match error {
        JwtErrorKind::InvalidSignature => TokenRejected::BadSignature,
        JwtErrorKind::InvalidIssuer | JwtErrorKind::InvalidAudience => TokenRejected::Foreign,
        _ => TokenRejected::Malformed,
    }
}

/// The claims as they stand in a token; the names are those of RFC 9068, section 2.2.
#[derive(Serialize, Deserialize)]
struct Payload {
    iss: String,
    aud: String,
    sub: Uuid,
    sid: Uuid,
    jti: Uuid,
    iat: i64,
    nbf: i64,
    exp: i64,
}

impl Payload {
    fn read(&self) -> Result<Claims, TokenRejected> {
        if self.iat != self.nbf {
            return Err(TokenRejected::Malformed);
        }
        Ok(Claims {
            user_id: UserId(self.sub),
            session_id: SessionId(self.sid),
            token_id: self.jti,
            issued_at: moment(self.iat)?,
            expires_at: moment(self.exp)?,
        })
    }
}

/// A second since 1970 that a [`Timestamp`] holds exactly.
fn moment(seconds: i64) -> Result<Timestamp, TokenRejected> {
    let micros = seconds.checked_mul(1_000_000).filter(|micros| *micros >= 0);
    let micros = micros.ok_or(TokenRejected::Malformed)?;
    let moment = Timestamp::from_unix_micros(micros);
    if moment.unix_micros() == micros { Ok(moment) } else { Err(TokenRejected::Malformed) }
}
