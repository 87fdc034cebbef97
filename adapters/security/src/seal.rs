//! Authenticated encryption (ChaCha20-Poly1305, RFC 8439) for what leaves the service and comes back.
//!
//! Sealed text is URL-safe base64 without padding of
//!
//! ```text
//! version (1 byte) | nonce (12 bytes, random) | ciphertext | tag (16 bytes)
//! ```
//!
//! Each purpose has a key of its own, derived from the signing key (HKDF-SHA256, RFC 5869), and is authenticated with
//! the text besides. Nothing is stored, and every process with the same signing key opens the text. One key should
//! not seal more than 2³² texts, or two nonces might be equal: at a thousand a second, change it once a month.

use std::fmt;
use std::iter;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portwright_domain::ports::{Purpose, Sealer};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::rand::{self, SystemRandom};

use crate::keys::SigningKey;

/// What the first byte says; another form of sealed text takes another.
const VERSION: u8 = 1;

/// Seals with one key and opens with all that it knows.
pub struct AeadSealer {
    current: PurposeKeys,
    older: Vec<PurposeKeys>,
    random: SystemRandom,
}

impl AeadSealer {
    /// Seals with what follows from this key.
    #[must_use]
    pub fn new(key: &SigningKey) -> Self {
        Self { current: PurposeKeys::derive(key), older: Vec::new(), random: SystemRandom::new() }
    }

    /// Also opens what was sealed with this older key.
    #[must_use]
    pub fn accepting(mut self, older: &SigningKey) -> Self {
        self.older.push(PurposeKeys::derive(older));
        self
    }
}

impl Sealer for AeadSealer {
    #[expect(
        clippy::expect_used,
        reason = "going on without randomness would give the key away; lengths are bounded"
    )]
    fn seal(&self, purpose: Purpose, content: &[u8]) -> String {
        let nonce: [u8; NONCE_LEN] =
            rand::generate(&self.random).expect("the operating system gives random numbers").expose();
        let mut ciphertext = content.to_vec();
        self.current
            .of(purpose)
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad(purpose), &mut ciphertext)
            .expect("content is shorter than 256 GiB");
        URL_SAFE_NO_PAD.encode([&[VERSION][..], &nonce, &ciphertext].concat())
    }

    fn open(&self, purpose: Purpose, sealed: &str) -> Option<Vec<u8>> {
        let bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (version, rest) = bytes.split_first()?;
        let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_LEN>()?;
        if *version != VERSION {
            return None;
        }
        iter::once(&self.current).chain(&self.older).find_map(|keys| {
            let mut buffer = ciphertext.to_vec();
            let nonce = Nonce::assume_unique_for_key(*nonce);
            keys.of(purpose)
                .open_in_place(nonce, aad(purpose), &mut buffer)
                .ok()
                .map(|content| content.to_vec())
        })
    }
}

impl fmt::Debug for AeadSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AeadSealer").field("older", &self.older.len()).finish_non_exhaustive()
    }
}

fn aad(purpose: Purpose) -> Aad<&'static [u8]> {
    Aad::from(purpose.as_str().as_bytes())
}

/// What follows from one signing key.
struct PurposeKeys {
    refresh_token: LessSafeKey,
    cursor: LessSafeKey,
    commit_token: LessSafeKey,
}

impl PurposeKeys {
    #[expect(clippy::expect_used, reason = "HKDF-SHA256 gives up to 8160 bytes, and a key has 32")]
    fn derive(key: &SigningKey) -> Self {
        let secret = Salt::new(HKDF_SHA256, b"portwright seal").extract(key.private.as_bytes());
        let derive = |purpose: Purpose| {
            let info = [&[VERSION][..], purpose.as_str().as_bytes()];
            let derived = secret.expand(&info, &CHACHA20_POLY1305).expect("32 bytes are within the limit");
            LessSafeKey::new(UnboundKey::from(derived))
        };
        Self {
            refresh_token: derive(Purpose::RefreshToken),
            cursor: derive(Purpose::Cursor),
            commit_token: derive(Purpose::CommitToken),
        }
    }

    const fn of(&self, purpose: Purpose) -> &LessSafeKey {
        match purpose {
            Purpose::RefreshToken => &self.refresh_token,
            Purpose::Cursor => &self.cursor,
            Purpose::CommitToken => &self.commit_token,
        }
    }
}
