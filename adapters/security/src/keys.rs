//! [`SigningKey`]: the one secret of the service, from which everything that it signs and seals follows.
//!
//! An Ed25519 key lives in a file, as `openssl genpkey -algorithm ed25519` writes it: other services can check our
//! tokens with its public half, which they cannot with a shared secret. A file that anybody but its owner can read
//! is refused, because a key that leaked once is worthless for ever.

use std::fmt;
use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use pem::{EncodeConfig, LineEnding, Pem};
use ring::rand::{self, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair};
use ring::{digest, hmac};

/// No key file is longer; it keeps a wrong path from filling the memory.
const MAX_FILE_BYTES: u64 = 16 * 1024;

/// What PKCS#8 calls a private key in PEM (RFC 7468, section 10).
const PEM_LABEL: &str = "PRIVATE KEY";

/// What stands before the 32 random bytes of an Ed25519 key (RFC 8410, section 7). ring would make a document of version
/// 2, which openssl 3.0 does not read.
const PKCS8_HEAD: &[u8; 16] = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";

/// A key that signs, with the half that verifies. Its `Debug` form shows the identity only.
#[derive(Clone)]
pub struct SigningKey {
    pub(crate) id: String,
    pub(crate) algorithm: Algorithm,
    pub(crate) private: EncodingKey,
    pub(crate) public: DecodingKey,
    pub(crate) jwk: Option<serde_json::Value>,
}

impl SigningKey {
    /// The fewest bytes of a shared secret: as many as the hash has (RFC 7518, section 3.2).
    pub const MIN_SECRET_BYTES: usize = 32;

    /// Reads an Ed25519 key in PKCS#8 form, PEM or DER, from a file that nobody but its owner can read; one of root may
    /// be readable by its group, where we are not root.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let failed = |cause| KeyError::Unreadable { path: path.to_owned(), cause };
        let not_a_key = || KeyError::NotAKey { path: path.to_owned() };
        // Asked before opening, which would wait for the other end of a pipe.
        let metadata = fs::metadata(path).map_err(failed)?;
        if !metadata.is_file() || metadata.len() > MAX_FILE_BYTES {
            return Err(not_a_key());
        }
        if let Some(mode) = exposed_mode(&metadata) {
            return Err(KeyError::Exposed { path: path.to_owned(), mode });
        }
        let content = fs::read(path).map_err(failed)?;
        let der = if content.starts_with(b"-----BEGIN") {
            let block = pem::parse(content).ok().filter(|block| block.tag() == PEM_LABEL);
            block.ok_or_else(not_a_key)?.into_contents()
        } else {
            content
        };
        Self::from_pkcs8(&der).ok_or_else(not_a_key)
    }

    /// Makes a new key in this file unless the file is there, and loads what is in it then: of several processes that
    /// create it at once, all go on with the same key. The directory must exist; an existing file is never changed.
    pub fn create(path: &Path) -> Result<Self, KeyError> {
        if !path.try_exists().unwrap_or(false) {
            let key = Self::generate()?;
            key.write_new(path).map_err(|cause| KeyError::Unwritable { path: path.to_owned(), cause })?;
        }
        Self::load(path)
    }

    /// A new key which no file keeps.
    pub fn generate() -> Result<Self, KeyError> {
        let seed: [u8; 32] =
            rand::generate(&SystemRandom::new()).map_err(|_| KeyError::NoRandomness)?.expose();
        Self::from_pkcs8(&[&PKCS8_HEAD[..], &seed].concat()).ok_or(KeyError::NoRandomness)
    }

    /// A secret that every verifier shares (HS256), of at least [`Self::MIN_SECRET_BYTES`] random bytes.
    pub fn from_secret(secret: &[u8]) -> Result<Self, KeyError> {
        if secret.len() < Self::MIN_SECRET_BYTES {
            return Err(KeyError::SecretTooShort { bytes: secret.len() });
        }
        // A thumbprint would be a plain hash of the secret, which RFC 7638, section 7, advises against.
        let id = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), b"portwright key id");
        Ok(Self {
            id: URL_SAFE_NO_PAD.encode(id),
            algorithm: Algorithm::HS256,
            private: EncodingKey::from_secret(secret),
            public: DecodingKey::from_secret(secret),
            jwk: None,
        })
    }

    /// The identity that tokens carry as `kid`; of an Ed25519 key, its thumbprint (RFC 7638).
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    fn from_pkcs8(der: &[u8]) -> Option<Self> {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok()?;
        let public = pair.public_key().as_ref();
        let x = URL_SAFE_NO_PAD.encode(public);
        // The thumbprint is that of exactly this text: these members, in this order, without white space.
        let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        let id = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, members.as_bytes()));
        let jwk = serde_json::json!({
            "kty": "OKP", "crv": "Ed25519", "x": x, "use": "sig", "alg": "EdDSA", "kid": id,
        });
        Some(Self {
            id,
            algorithm: Algorithm::EdDSA,
            private: EncodingKey::from_ed_der(der),
            public: DecodingKey::from_ed_der(public),
            jwk: Some(jwk),
        })
    }

    /// Writes the key beside its place and moves it there whole, unless something is there by then.
    fn write_new(&self, path: &Path) -> io::Result<()> {
        let directory =
            path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let block = Pem::new(PEM_LABEL, self.private.as_bytes());
        let text = pem::encode_config(&block, EncodeConfig::new().set_line_ending(LineEnding::LF));
        // Made with mode 0600, and removed when it is dropped without having been moved.
        let mut file = tempfile::Builder::new().prefix(".new-key-").tempfile_in(directory)?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        match file.persist_noclobber(path) {
            Ok(_) => File::open(directory)?.sync_all(),
            Err(lost) if lost.error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(failed) => Err(failed.error),
        }
    }
}

/// The permissions of a file which others may touch than those who have to; where there are none, nothing is known.
#[cfg(unix)]
fn exposed_mode(metadata: &Metadata) -> Option<u32> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let mode = metadata.permissions().mode() & 0o7777;
    (mode & forbidden(metadata.uid(), we_are_root()) != 0).then_some(mode)
}

/// What nobody else may do with a key file of this owner. A file of root that our group reads is how Kubernetes hands a
/// secret to a process that is not root; PostgreSQL takes such keys for the same reason.
#[cfg(unix)]
const fn forbidden(owner: u32, we_are_root: bool) -> u32 {
    if owner == 0 && !we_are_root { 0o037 } else { 0o077 }
}

#[cfg(target_os = "linux")]
fn we_are_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Where nobody asks, the stricter rule holds.
#[cfg(all(unix, not(target_os = "linux")))]
const fn we_are_root() -> bool {
    true
}

#[cfg(not(unix))]
fn exposed_mode(_: &Metadata) -> Option<u32> {
    None
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("id", &self.id)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// There is no key to sign with. The message is all that an operator needs, and never shows what is in the file.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file is not there or may not be read.
    #[error("cannot read the key file {}: {cause}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },
    /// The file cannot be made.
    #[error("cannot write the key file {}: {cause}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },
    /// Others than the owner may read or change the file.
    #[error("the key file {0} is open to others (mode {mode:04o}); run: chmod 600 {0}", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The file is something else.
    #[error(
        "the key file {0} holds no Ed25519 private key in PKCS#8 form; \
         make one: openssl genpkey -algorithm ed25519 -out {0}",
        path.display()
    )]
    NotAKey {
        /// The file.
        path: PathBuf,
    },
    /// A shared secret that could be guessed.
    #[error("the secret has {bytes} bytes and needs {min}; make one: openssl rand -base64 48", min = SigningKey::MIN_SECRET_BYTES)]
    SecretTooShort {
        /// How many bytes it has.
        bytes: usize,
    },
    /// The operating system has no random numbers to give.
    #[error("the operating system gives no random numbers")]
    NoRandomness,
}

#[cfg(all(test, unix))]
mod tests {
    use super::forbidden;

    #[test]
    fn a_group_may_read_the_key_that_root_lends_to_somebody_else() {
        const SOMEBODY: u32 = 10_001;
        for (owner, we_are_root, mode, refused) in [
            (0, false, 0o440, false),
            (0, false, 0o640, false),
            (0, false, 0o460, true),
            (0, false, 0o444, true),
            (0, true, 0o440, true),
            (SOMEBODY, false, 0o400, false),
            (SOMEBODY, false, 0o440, true),
        ] {
            assert_eq!(mode & forbidden(owner, we_are_root) != 0, refused, "{owner} {we_are_root} {mode:o}");
        }
    }
}
