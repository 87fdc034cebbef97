//! The two algorithms of our tokens on ring, which the workspace has anyway for TLS: `EdDSA` and `HS256`, and no other.
//!
//! jsonwebtoken looks its algorithms up in one place per process, and panics where it finds none.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::signature::{self, Signer, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use ring::hmac;
use ring::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};

static RING: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| Ok(Box::new(RingSigner::new(*algorithm, key)?)),
    verifier_factory: |algorithm, key| Ok(Box::new(RingVerifier::new(*algorithm, key)?)),
    key_utils: KeyUtils {
        rsa_pub_components_from_private_key: |_| Err(unsupported()),
        rsa_pub_components_from_public_key: |_| Err(unsupported()),
        ec_pub_components_from_private_key: |_, _| Err(unsupported()),
        ed_pub_components_from_private_key: |_, _| Err(unsupported()),
        compute_digest: |_, _| Err(unsupported()),
    },
};

/// Makes jsonwebtoken work in this process. A provider that the process chose before stays.
pub(super) fn install() {
    RING.install_default().ok();
}

fn unsupported() -> Error {
    ErrorKind::UnsupportedAlgorithm.into()
}

enum RingSigner {
    EdDsa(Ed25519KeyPair),
    Hs256(hmac::Key),
}

impl RingSigner {
    fn new(algorithm: Algorithm, key: &EncodingKey) -> Result<Self, Error> {
        match algorithm {
            Algorithm::EdDSA => Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.as_bytes())
                .map(Self::EdDsa)
                .map_err(|_| ErrorKind::InvalidEddsaKey.into()),
            Algorithm::HS256 => Ok(Self::Hs256(hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()))),
            _ => Err(unsupported()),
        }
    }
}

impl Signer<Vec<u8>> for RingSigner {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        Ok(match self {
            Self::EdDsa(pair) => pair.sign(message).as_ref().to_vec(),
            Self::Hs256(key) => hmac::sign(key, message).as_ref().to_vec(),
        })
    }
}

impl JwtSigner for RingSigner {
    fn algorithm(&self) -> Algorithm {
        match self {
            Self::EdDsa(_) => Algorithm::EdDSA,
            Self::Hs256(_) => Algorithm::HS256,
        }
    }
}

enum RingVerifier {
    EdDsa(UnparsedPublicKey<Vec<u8>>),
    Hs256(hmac::Key),
}

impl RingVerifier {
    fn new(algorithm: Algorithm, key: &DecodingKey) -> Result<Self, Error> {
        let bytes = key.try_get_as_bytes()?;
        match algorithm {
            Algorithm::EdDSA => Ok(Self::EdDsa(UnparsedPublicKey::new(&ED25519, bytes.to_vec()))),
            Algorithm::HS256 => Ok(Self::Hs256(hmac::Key::new(hmac::HMAC_SHA256, bytes))),
            _ => Err(unsupported()),
        }
    }
}

impl Verifier<Vec<u8>> for RingVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        match self {
            Self::EdDsa(key) => key.verify(message, signature),
            Self::Hs256(key) => hmac::verify(key, message, signature),
        }
        .map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for RingVerifier {
    fn algorithm(&self) -> Algorithm {
        match self {
            Self::EdDsa(_) => Algorithm::EdDSA,
            Self::Hs256(_) => Algorithm::HS256,
        }
    }
}
