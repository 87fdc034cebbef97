//! [`Authority`]: certificates for servers that speak TLS, of somebody whom nobody trusts unless told to.

use std::fmt;
use std::path::{Path, PathBuf};

use super::shell::Shell;

const SCRIPT: &str = include_str!("authority.sh");

/// Signs certificates, which are gone when it is dropped. Everything panics where there is no `openssl`.
pub struct Authority {
    shell: Shell,
    certificate: PathBuf,
}

impl Authority {
    /// A new one, with a key of its own.
    #[must_use]
    pub fn new() -> Self {
        let shell = Shell::run(SCRIPT, &[]);
        let certificate = shell.ask("itself").into();
        Self { shell, certificate }
    }

    /// The file with its own certificate, which whoever trusts it is given.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.certificate
    }

    /// A certificate for servers of this machine: `localhost` and `127.0.0.1`. It is valid for a day.
    #[must_use]
    pub fn certify(&self) -> Certificate {
        self.certify_as("DNS:localhost,IP:127.0.0.1")
    }

    /// The same for a server of this name alone.
    #[must_use]
    pub fn certify_host(&self, name: &str) -> Certificate {
        self.certify_as(&format!("DNS:{name}"))
    }

    fn certify_as(&self, names: &str) -> Certificate {
        let chain = PathBuf::from(self.shell.ask(names));
        Certificate { key: chain.with_extension("key"), chain }
    }
}

/// What a server shows, and the key that makes it the server's. The files are those of the authority.
#[derive(Debug, Clone)]
pub struct Certificate {
    pub(super) chain: PathBuf,
    pub(super) key: PathBuf,
}

impl Certificate {
    /// The paths of both, for the options of a server.
    pub(super) fn paths(&self) -> [&str; 2] {
        [&self.chain, &self.key].map(|path| path.to_str().expect("UTF-8"))
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}
