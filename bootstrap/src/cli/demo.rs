//! The command lines of `portwright demo`.

use clap::{Args, Subcommand};
use portwright_application::primes::PrimesQuery;
use portwright_domain::user::Email;

use super::email;

/// Jobs of a debug build take long: the default is what makes seconds of work for one core.
const HEAVY: u64 = if cfg!(debug_assertions) { 50_000_000 } else { PrimesQuery::MOST };

/// What to show.
#[derive(Debug, Clone, Args)]
pub struct Demo {
    /// What else than the tour
    #[command(subcommand)]
    pub command: Option<DemoCommand>,
    /// Who signs in, instead of the administrator of first-run.txt; the password is asked for, or read from the standard
    /// input
    #[arg(long, value_parser = email, global = true)]
    pub email: Option<Email>,
}

/// What else there is to show.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum DemoCommand {
    /// Run heavy jobs in parallel, and see whether the API stays quick
    Stress(Stress),
    /// Send more requests at once than a client may, on a server that is started for it, and see which are answered
    Throttle,
}

/// How heavy.
#[derive(Debug, Clone, Copy, Args)]
pub struct Stress {
    /// How many jobs: 1 to 16
    // A user may follow 20 jobs at once.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=16))]
    pub jobs: u32,
    /// Each counts the primes below this number: up to 1000000000
    #[arg(long, default_value_t = HEAVY, value_parser = clap::value_parser!(u64).range(..=PrimesQuery::MOST))]
    pub below: u64,
}
