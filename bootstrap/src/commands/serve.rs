//! `portwright serve`: the product.

use std::io;

use sd_notify::NotifyState;
use tokio::time::Instant;

use crate::banner::{self, FirstAdminMade, Started};
use crate::cli::ServeOptions;
use crate::config::Config;
use crate::exit::Exit;
use crate::failure::{Failure, Problem};
use crate::first_run_file;
use crate::handover::{Hangups, Inheritance, tell_systemd};
use crate::lifecycle::Lifecycle;
use crate::open_queue::describe;
use crate::open_store::OpenStore;
use crate::serve::start;
use crate::wiring::Program;

/// Serves until told to stop, or until another process serves in its place.
pub(super) async fn run(
    config: &Config,
    options: &ServeOptions,
    program: Program,
    inheritance: Inheritance,
) -> Result<Exit, Failure> {
    let began = Instant::now();
    let migrate = !options.no_migrate;
    let life = Lifecycle::new(config.shutdown);
    let deaf = |error: io::Error| {
        Failure::new(Exit::TryAgain, Problem::new(format!("cannot listen for signals ({error})")))
    };
    life.listen_for_signals().map_err(deaf)?;
    let hangups = Hangups::listen().map_err(deaf)?;
    let database = OpenStore::describe(&config.database, migrate).await;
    let running = start(config, program, migrate, life, inheritance).await?;

    let file = config.data_dir.join(first_run_file::NAME);
    let first_admin = running.new_admin.as_ref().and_then(|admin| {
        let password = admin.made_up.as_ref()?.expose();
        Some(FirstAdminMade { email: &admin.email, password, file: &file })
    });
    let (took, address, metrics) = (began.elapsed(), running.address, running.metrics_at);
    let (app_env, database, workers) = (config.app_env, database.as_str(), config.compute.workers);
    let (queue, storage) = (&describe(&config.queue), &config.storage.to_string());
    let started = Started { app_env, took, address, metrics, database, queue, storage, workers, first_admin };
    banner::announce(&started, config.log.format);
    tell_systemd(&[NotifyState::MainPid(std::process::id()), NotifyState::Ready]);
    Ok(running.ended_or_handed_over(hangups).await)
}
