//! What operators see of a process: everything that it counts, and a port that only they reach.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use portwright_application::Services;
use portwright_domain::ports::IdGenerator;
use portwright_http::{Server, management};
use portwright_metrics::{Build, Exposition, Metrics, Process, Runtime, Source};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::{AppEnv, Config};
use crate::exit::Exit;
use crate::failure::{Failure, Problem};
use crate::port;
use crate::wiring::health_details;

/// How long a scrape that has begun may take when the port is closed.
const LAST_SCRAPE: Duration = Duration::from_secs(1);

/// What this process counts, and what these sources say besides what every process does.
#[must_use]
pub fn exposition(
    metrics: Arc<Metrics>,
    sources: impl IntoIterator<Item = Arc<dyn Source>>,
) -> Arc<dyn portwright_http::Exposition> {
    let own: [Arc<dyn Source>; 3] =
        [Arc::new(Build { version: env!("CARGO_PKG_VERSION") }), Arc::new(Process), Arc::new(Runtime)];
    Arc::new(Text(Exposition::new(metrics, own.into_iter().chain(sources).collect())))
}

struct Text(Exposition);

#[async_trait]
impl portwright_http::Exposition for Text {
    async fn text(&self) -> String {
        self.0.text().await
    }
}

/// Whether everybody may see the metrics who reaches the API: not where strangers do.
#[must_use]
pub const fn are_public(app_env: AppEnv) -> bool {
    match app_env {
        AppEnv::Development | AppEnv::Test => true,
        AppEnv::Production => false,
    }
}

/// The port for operators, which is answered until it is closed.
pub struct ManagementPort {
    /// Where it is.
    pub address: SocketAddr,
    server: JoinHandle<()>,
    stop: CancellationToken,
}

impl ManagementPort {
    /// Takes the port that the configuration names, or has it already.
    ///
    /// # Errors
    /// As [`port::bind`].
    pub async fn take(
        config: &Config,
        inherited: Option<std::net::TcpListener>,
    ) -> Result<Option<TcpListener>, Failure> {
        let Some(listen) = &config.management else { return Ok(None) };
        let listener = port::inherit_or_bind(inherited, listen).await;
        listener.map(Some).map_err(|failure| failure.during("take MANAGEMENT_PORT"))
    }

    /// Answers there. `unready` is cancelled when no more requests should be sent to the API.
    ///
    /// # Errors
    /// A bug, if a port that was taken has no address.
    pub fn open(
        listener: Arc<TcpListener>,
        config: &Config,
        services: &Services,
        ids: Arc<dyn IdGenerator>,
        exposition: Arc<dyn portwright_http::Exposition>,
        unready: CancellationToken,
    ) -> Result<Self, Failure> {
        let address = listener.local_addr().map_err(|error| {
            Failure::new(Exit::Bug, Problem::new(format!("the port has no address ({error})")))
        })?;
        let endpoint = management(services, ids, exposition, health_details(config), unready);
        let stop = CancellationToken::new();
        let server = Server::new(listener, Arc::new(endpoint)).run(stop.clone(), LAST_SCRAPE);
        #[expect(clippy::disallowed_methods, reason = "`close` waits for it")]
        let server = tokio::spawn(server);
        tracing::info!(url = format!("http://{address}"), "metrics and health for operators");
        Ok(Self { address, server, stop })
    }

    /// Answers what was asked, and nothing more.
    pub async fn close(self) {
        self.stop.cancel();
        if let Err(error) = self.server.await {
            tracing::error!(%error, "the port for operators ended in a panic");
        }
    }
}
