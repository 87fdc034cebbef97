//! The command line: what can be asked for. What is done about it is in `commands`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use portwright_domain::access::Role;
use portwright_domain::user::Email;

use crate::config::Override;
use crate::doctor::Topic;

mod demo;
mod jobs;

pub use demo::{Demo, DemoCommand, Stress};
pub use jobs::{Jobs, WorkerCommand};

/// A backend to start a service from.
#[derive(Debug, Parser)]
#[command(
    name = "portwright",
    version,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    after_help = "Settings come from the environment and from .env: `portwright config show` lists them.\n\
                  Exit codes: 0 done, 1 a check failed, 2 usage, 69 a dependency is unavailable or the port is taken, \
                  70 a bug, 73 cannot create the data directory, 75 try again, 77 permission, 78 configuration."
)]
pub struct Cli {
    /// What to do; without it, serve.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Options of `serve`, which need no `serve` before them.
    #[command(flatten)]
    pub serve: ServeOptions,
    /// The data directory, which wins over `DATA_DIR`.
    #[arg(long, help = "The data directory [env: DATA_DIR]", global = true, value_name = "DIR")]
    pub data_dir: Option<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the API until told to stop (this is also what happens without a command)
    Serve(ServeOptions),
    /// Run jobs of the server on this host until told to stop; servers start workers by themselves
    Worker(WorkerCommand),
    /// See and change jobs of the server on this host
    #[command(subcommand)]
    Jobs(Jobs),
    /// List the tasks that workers of this program run
    Tasks {
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Bring the database to this version, see how far it is, or move everything from SQLite to PostgreSQL
    Migrate(MigrateCommand),
    /// Print the OpenAPI document
    Openapi {
        /// Write openapi/openapi.json instead
        #[arg(long)]
        write: bool,
    },
    /// See every setting, where it comes from and what it overrode; secrets are not shown
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Manage users where nobody is signed in
    #[command(subcommand)]
    Users(Users),
    /// Take a guided tour of the server on the data directory, or of one that is started for it and stopped again
    Demo(Demo),
    /// Ask the server on this machine, or the worker, how it is; exits 1 when it is not well
    Health {
        /// Only whether it answers, or whether requests may be sent to it
        check: Option<HealthCheck>,
        /// The role of whom to ask, which wins over `COMPUTE_APP_ROLE`.
        #[arg(
            long,
            help = "api, worker or all: a worker is asked at MANAGEMENT_PORT [env: COMPUTE_APP_ROLE]"
        )]
        role: Option<String>,
    },
    /// Check this set-up: probe what it needs, and say what to do about whatever is wrong; exits 1 when a check failed
    Doctor {
        /// Only this
        topic: Option<Topic>,
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Print completions for a shell
    Completions {
        /// Which
        shell: Shell,
    },
}

/// How to serve.
#[derive(Debug, Clone, Default, Args)]
pub struct ServeOptions {
    /// The port, which wins over `PORT`.
    #[arg(long, help = "The port to listen on; 0 takes a free one [env: PORT]")]
    pub port: Option<u16>,
    /// The address to listen on, which wins over `HOST`.
    #[arg(long, help = "The address to listen on [env: HOST]")]
    pub host: Option<String>,
    /// Leave the database as it is, and refuse to start if it is not of this version
    #[arg(long)]
    pub no_migrate: bool,
    /// The role, which wins over `COMPUTE_APP_ROLE`.
    #[arg(long, help = "api, worker or all [env: COMPUTE_APP_ROLE]")]
    pub role: Option<String>,
    /// Start no workers, which wins over `COMPUTE_AUTO_SPAWN`.
    #[arg(long, help = "Start no workers, as COMPUTE_AUTO_SPAWN=false")]
    pub no_workers: bool,
    /// The standard input comes from a server that hands over to this one: it starts it like this.
    #[arg(long, hide = true)]
    pub successor: bool,
}

/// Migrations of one database, or a move to another.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct MigrateCommand {
    /// What to do about migrations; without it, everything moves.
    #[command(subcommand)]
    pub command: Option<Migrate>,
    /// The SQLite database to move from, with the files and jobs beside it
    #[arg(long, value_name = "sqlite://FILE", value_parser = sqlite_file, required = true)]
    pub from: Option<PathBuf>,
    /// The PostgreSQL database to move to, which wins over `DATABASE_URL`.
    #[arg(long, value_name = "postgres://…", help = "The database to move to [env: DATABASE_URL]")]
    pub to: Option<String>,
}

/// What to do about migrations.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum Migrate {
    /// Apply what is missing
    Up,
    /// List all, and which are applied
    Status {
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Exit 1 if something is missing, or not as this version knows it
    Check,
}

/// What to tell about settings.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Every setting
    Show {
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Everything about one setting
    Explain {
        /// Its name, such as PORT
        name: String,
        /// For programs
        #[arg(long)]
        json: bool,
    },
}

/// What to do about users.
#[derive(Debug, Subcommand)]
pub enum Users {
    /// Make an administrator
    CreateAdmin {
        /// Which user
        #[command(flatten)]
        account: Account,
        /// The password
        #[command(flatten)]
        password: NewPasswordFrom,
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Give a user another password, which ends all sessions of the user
    SetPassword {
        /// Which user
        #[command(flatten)]
        account: Account,
        /// The password
        #[command(flatten)]
        password: NewPasswordFrom,
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Give a user another role
    SetRole {
        /// Which user
        #[command(flatten)]
        account: Account,
        /// admin, moderator or user
        #[arg(long)]
        role: Role,
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Keep a user from signing in, and end all sessions of the user
    Lock {
        /// Which user
        #[command(flatten)]
        account: Account,
        /// Let the user sign in again
        #[arg(long)]
        undo: bool,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// List all users, the oldest first
    List {
        /// For programs
        #[arg(long)]
        json: bool,
    },
}

/// Which user.
#[derive(Debug, Clone, Args)]
pub struct Account {
    /// The address of the user
    #[arg(long, value_parser = email)]
    pub email: Email,
}

/// Where a new password comes from. Never from the command line, which every user of the machine can see.
#[derive(Debug, Clone, Copy, Args)]
pub struct NewPasswordFrom {
    /// Read the password from the standard input; without this, one is made up and shown
    #[arg(long)]
    pub password_stdin: bool,
}

/// What to ask a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum HealthCheck {
    /// Whether the process answers
    Live,
    /// Whether requests may be sent to it
    Ready,
}

fn sqlite_file(text: &str) -> Result<PathBuf, String> {
    let file = text.strip_prefix("sqlite://").or_else(|| text.strip_prefix("sqlite:"));
    file.filter(|file| !file.is_empty())
        .map(PathBuf::from)
        .ok_or_else(|| "not sqlite:// and a file".to_owned())
}

fn email(text: &str) -> Result<Email, String> {
    Email::parse(text).map_err(|invalid| invalid.to_string())
}

impl Cli {
    /// The command, and the settings that the command line decides.
    #[must_use]
    pub fn split(self) -> (Command, Vec<Override>) {
        let command = self.command.unwrap_or(Command::Serve(self.serve));
        let mut overrides = Vec::new();
        let mut decide = |name, flag, value: Option<String>| {
            overrides.extend(value.map(|value| Override { name, flag, value }));
        };
        decide("DATA_DIR", "--data-dir", self.data_dir);
        if let Command::Serve(options) = &command {
            decide("PORT", "--port", options.port.map(|port| port.to_string()));
            decide("HOST", "--host", options.host.clone());
            decide("COMPUTE_APP_ROLE", "--role", options.role.clone());
            let spawn = options.no_workers.then(|| "false".to_owned());
            decide("COMPUTE_AUTO_SPAWN", "--no-workers", spawn);
        }
        if let Command::Health { role, .. } = &command {
            decide("COMPUTE_APP_ROLE", "--role", role.clone());
        }
        if let Command::Migrate(options) = &command {
            decide("DATABASE_URL", "--to", options.to.clone());
        }
        if let Command::Worker(options) = &command {
            let concurrency = options.concurrency.map(|jobs| jobs.to_string());
            decide("COMPUTE_CONCURRENCY", "--concurrency", concurrency);
        }
        (command, overrides)
    }
}

/// The completions of a shell, as a script.
#[must_use]
pub fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut <Cli as clap::CommandFactory>::command(), "portwright", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use portwright_domain::job::QueueName;

    use super::*;

    fn split(arguments: &[&str]) -> (Command, Vec<(&'static str, String)>) {
        let all = ["portwright"].iter().chain(arguments);
        let (command, overrides) = Cli::try_parse_from(all).expect("a command line").split();
        (command, overrides.into_iter().map(|given| (given.flag, given.value)).collect())
    }

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        Cli::command().debug_assert();
    }

    #[test]
    fn to_serve_is_the_default_and_takes_the_same_options() {
        for arguments in [
            &["--port", "8080", "--data-dir", "d", "--no-migrate"][..],
            &["serve", "--port", "8080", "--data-dir", "d", "--no-migrate"],
        ] {
            let (command, overrides) = split(arguments);
            assert!(matches!(command, Command::Serve(ServeOptions { no_migrate: true, .. })));
            let expected = [("--data-dir", "d".to_owned()), ("--port", "8080".to_owned())];
            assert_eq!(overrides, expected);
        }
        assert!(matches!(split(&[]), (Command::Serve(_), overrides) if overrides.is_empty()));
    }

    #[test]
    fn roles_and_workers_are_settings_that_the_command_line_may_decide() {
        let (_, overrides) = split(&["--role", "api", "--no-workers"]);
        assert_eq!(overrides, [("--role", "api".to_owned()), ("--no-workers", "false".to_owned())]);
        let (_, overrides) = split(&["health", "ready", "--role", "worker"]);
        assert_eq!(overrides, [("--role", "worker".to_owned())]);
        let (command, overrides) = split(&["worker", "--queues", "cpu,mail", "--concurrency", "4"]);
        assert_eq!(overrides, [("--concurrency", "4".to_owned())]);
        let Command::Worker(WorkerCommand { queues, supervised: false, id: None, .. }) = command else {
            panic!("{command:?}")
        };
        assert_eq!(queues.iter().map(QueueName::as_str).collect::<Vec<_>>(), ["cpu", "mail"]);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for arguments in [
            &["--port", "http"][..],
            &["--port", "65536"],
            &["users", "create-admin", "--email", "nobody"],
            &["users", "set-role", "--email", "a@b.example", "--role", "emperor"],
            &["worker", "--queues", "CPU"],
            &["jobs", "ls", "--state", "lost"],
            &["jobs", "show", "one"],
            &["users", "set-password"],
            &["health", "wealthy"],
            &["doctor", "who"],
            &["migrate"],
            &["migrate", "--from", "data/portwright.db"],
            &["migrate", "--to", "postgres://db/app"],
            &["migrate", "--from", "sqlite://a.db", "up"],
            &["demo", "--email", "nobody"],
            &["demo", "stress", "--jobs", "0"],
            &["demo", "stress", "--jobs", "17"],
            &["demo", "stress", "--below", "1000000001"],
            &["conjure"],
        ] {
            let all = ["portwright"].iter().chain(arguments);
            let error = Cli::try_parse_from(all).expect_err("refused");
            assert_eq!(error.exit_code(), 2, "{arguments:?}");
        }
    }
}
