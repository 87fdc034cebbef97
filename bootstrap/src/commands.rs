//! What each command does.

mod config;
mod confirm;
mod demo;
mod doctor;
mod health;
mod jobs;
mod migrate;
mod openapi;
mod password;
mod serve;
mod tasks;
mod users;
mod worker;

use std::ffi::OsString;
use std::future::Future;

use clap::Parser;

use crate::cli::{self, Cli, Command, WorkerCommand};
use crate::config::{AppRole, Config, Override, Reading, Sources};
use crate::exit::Exit;
use crate::failure::{Failure, Problem};
use crate::handover::Inheritance;
use crate::telemetry::{self, Telemetry};
use crate::wiring::Program;
use crate::{output, servers};

/// Runs one command line of this program, says what went wrong, and answers the status to end with.
pub fn main(arguments: impl IntoIterator<Item = OsString>, program: Program) -> Exit {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way, too. A reader that has gone away has seen enough.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Done };
        }
    };
    run(cli, program).unwrap_or_else(|failure| {
        output::complain(&failure.to_string());
        failure.exit()
    })
}

fn run(cli: Cli, program: Program) -> Result<Exit, Failure> {
    let (command, overrides) = cli.split();
    match command {
        Command::Completions { shell } => output::print(&cli::completions(shell))?,
        Command::Config(command) => config::run(&command, &Config::read(&Sources::of_process(overrides)))?,
        Command::Demo(command) => {
            let config = prepare(overrides)?;
            return block_on(demo::run(&config, command, program));
        }
        Command::Doctor { topic, json } => {
            let reading = Config::read(&Sources::of_process(overrides));
            if let Ok(config) = &reading.config {
                telemetry::init(&config.log);
            }
            return block_on(doctor::run(&reading, topic, json, &program.ambient));
        }
        Command::Health { check, .. } => {
            let config = prepare(overrides)?;
            return block_on(health::run(&config, check));
        }
        Command::Serve(options) => {
            let (config, _telemetry) = prepare_server(overrides)?;
            if config.compute.role == AppRole::Worker {
                return worker::run(&config, WorkerCommand::default(), program);
            }
            let inheritance = Inheritance::of_process(options.successor)?;
            return block_on(serve::run(&config, &options, program, inheritance));
        }
        Command::Worker(command) => {
            let (config, _telemetry) = prepare_server(overrides)?;
            return worker::run(&config, command, program);
        }
        Command::Jobs(command) => {
            let config = prepare(overrides)?;
            return block_on(jobs::run(&config, command));
        }
        Command::Tasks { json } => tasks::run(&prepare(overrides)?, program, json)?,
        Command::Migrate(command) => {
            let config = prepare(overrides)?;
            return block_on(migrate::run(&config, command, &program.ambient));
        }
        Command::Openapi { write } => openapi::run(write)?,
        Command::Users(command) => {
            let config = prepare(overrides)?;
            return block_on(users::run(&config, command));
        }
    }
    Ok(Exit::Done)
}

/// The configuration, with the log started as it says.
fn prepare(overrides: Vec<Override>) -> Result<Config, Failure> {
    let config = Config::read(&Sources::of_process(overrides)).config?;
    telemetry::init(&config.log);
    Ok(config)
}

/// The same for what serves or works, and its traces are exported from here on.
fn prepare_server(overrides: Vec<Override>) -> Result<(Config, Telemetry), Failure> {
    let Reading { config, outside, .. } = Config::read(&Sources::of_process(overrides));
    match config {
        Ok(config) => {
            let telemetry = telemetry::serve(&config)?;
            Ok((config, telemetry))
        }
        // Who starts a server for the first time gets all of it wrong at once.
        Err(failure) => block_on(async { Err(servers::complete(failure, &outside).await) }),
    }
}

/// Runs what needs the runtime.
fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| {
        Failure::new(Exit::TryAgain, Problem::new(format!("cannot start threads ({error})")))
    })?;
    let result = runtime.block_on(work);
    // A thread that hangs in a system call must not keep the process alive.
    runtime.shutdown_background();
    result
}
