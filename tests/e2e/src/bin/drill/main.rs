//! `drill`: the whole product on real servers, under load, while one thing after another fails. What was acknowledged must
//! be there in the end, once.
//!
//! ```text
//! load ──HTTP──► two servers, with their workers ──► proxies ──► PostgreSQL with a standby, Redis, S3
//!   └── notes what was acknowledged      └───────────── faults ─────────────┘ a plan drawn from the seed
//! ```
//! `drill --seed 7 --for 3m`, or `DRILL_SEED` and `DRILL_LENGTH`. Which faults there are, when, and what each client decides
//! follows from the seed; which request is on its way when a fault strikes does not, so a failure that is replayed may take
//! some runs to come again. It ends with status 0 if nothing was wrong, and otherwise leaves the logs of the servers.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool for tests: a panic is how it fails, and people read what it prints"
)]

mod client;
mod course;
mod fault;
mod injector;
mod journal;
mod keeper;
mod load;
mod machine;
mod node;
mod options;
mod plan;
mod stage;
mod weather;

use std::process::ExitCode;

use options::Options;

fn main() -> ExitCode {
    let options = match Options::of_this_run() {
        Ok(options) => options,
        Err(wrong) => {
            eprintln!("{wrong}\n\n{}", options::USAGE);
            return ExitCode::from(64);
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    if runtime.block_on(course::run(&options)) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
