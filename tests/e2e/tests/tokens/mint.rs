//! [`Mint`]: has the service's own key, and signs whatever it is given.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use portwright::config::SigningKeySource;
use portwright_e2e::TestApp;
use ring::hmac;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::Value;
use tempfile::NamedTempFile;

/// What stands before the 32 bytes of an Ed25519 key in PKCS#8 (RFC 8410, section 7).
const PKCS8_HEAD: [u8; 16] = *b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";

/// A signing key.
pub(crate) struct Mint(Ed25519KeyPair);

impl Mint {
    /// The key of these 32 bytes.
    pub(crate) fn of(seed: [u8; 32]) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(&seed).expect("a key"))
    }

    /// A server that signs with a key that we have, too.
    pub(crate) async fn with_server() -> (Self, TestApp) {
        let seed = [42; 32];
        // Only its owner reads it, as the server demands.
        let mut file = NamedTempFile::new().expect("a file");
        let der = [&PKCS8_HEAD[..], &seed].concat();
        let pem =
            format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der));
        file.write_all(pem.as_bytes()).expect("it is written");
        let path = file.path().to_owned();
        let app = TestApp::with(|config| config.jwt.key = SigningKeySource::File(path)).await;
        (Self::of(seed), app)
    }

    /// The public half.
    pub(crate) fn public(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }

    /// A token of these texts, whatever they are.
    pub(crate) fn sign(&self, header: &str, payload: &str) -> String {
        let message = message(header, payload);
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(self.0.sign(message.as_bytes())))
    }
}

/// A token under HS256 with this secret.
pub(crate) fn sign_with_secret(secret: &[u8], header: &str, payload: &str) -> String {
    let message = message(header, payload);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag))
}

fn message(header: &str, payload: &str) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload))
}

/// Header and payload of a token, as they stand there.
pub(crate) fn opened(token: &str) -> (String, String) {
    let mut parts = token.split('.').map(|part| {
        let bytes = URL_SAFE_NO_PAD.decode(part).expect("base64url");
        String::from_utf8_lossy(&bytes).into_owned()
    });
    (parts.next().expect("a header"), parts.next().expect("a payload"))
}

/// The same object with one member changed, added or, for null, removed.
pub(crate) fn with(object: &str, name: &str, value: Value) -> String {
    let mut object: Value = serde_json::from_str(object).expect("JSON");
    let members = object.as_object_mut().expect("an object");
    if value.is_null() {
        members.remove(name).expect("it was there");
    } else {
        members.insert(name.to_owned(), value);
    }
    object.to_string()
}
