//! TLS on the side of the server.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::servers::Certificate;

/// Shows this certificate to everybody, and asks nobody for one.
pub(super) fn acceptor(certificate: &Certificate) -> TlsAcceptor {
    let chain = CertificateDer::pem_file_iter(&certificate.chain).expect("the file");
    let chain = chain.collect::<Result<Vec<_>, _>>().expect("certificates");
    let key = PrivateKeyDer::from_pem_file(&certificate.key).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has them")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("the key is that of the certificate");
    TlsAcceptor::from(Arc::new(config))
}
