//! `with-servers WORLD COMMAND…`: runs a command, usually the tests, in a world whose servers run for it.
//!
//! ```text
//! with-servers ──exec──► command                     it is the command that is waited for, stopped and answered for
//!       └── with-servers WORLD                       keeps the servers until the pipe from the command closes
//!                └── a shell per server ── server    ends when the keeper does, in whichever way
//! ```
//! The command and what it starts hold the pipe open and know nothing of it. So the servers are gone when the last of
//! them is, however that comes; nobody has to clean up.
//!
//! Without a command, it keeps the servers until its own input ends, and says where they are.

#![expect(clippy::expect_used, clippy::print_stdout, clippy::print_stderr, reason = "a tool for tests")]

use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};

use portwright_e2e::world::{Servers, World};
use rustix::io::{FdFlags, fcntl_setfd};

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let (world, command) = match arguments.split_first() {
        Some((world, command)) => (World::named(world), command),
        None => (None, &[][..]),
    };
    match (world, command.split_first()) {
        (None, _) => {
            eprintln!("with-servers embedded|postgres|cluster [COMMAND…]");
            ExitCode::from(64)
        }
        (Some(world), None) => keep(world),
        (Some(world), Some((program, arguments))) => run(world, program, arguments),
    }
}

/// Starts the servers, says where they are, and keeps them until its input ends.
fn keep(world: World) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let servers = runtime.block_on(Servers::start(world));
    // With it go the last connections to the template, of which no copy is made otherwise.
    drop(runtime);
    for (name, value) in servers.environment() {
        println!("{name}={value}");
    }
    // Whoever reads this knows now that it was all.
    println!();
    // What comes is nothing to us; that it ends is.
    io::copy(&mut io::stdin().lock(), &mut io::sink()).expect("the input can be read");
    ExitCode::SUCCESS
}

/// Becomes the command, with a keeper beside it.
#[expect(clippy::zombie_processes, reason = "the keeper outlives the command, which this process becomes")]
fn run(world: World, program: &str, arguments: &[String]) -> ExitCode {
    let mut keeper = Command::new(std::env::current_exe().expect("this program"))
        .arg(world.name())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // What is typed to stop the command stops the command; the keeper follows.
        .process_group(0)
        .spawn()
        .expect("the keeper runs");
    let said = BufReader::new(keeper.stdout.take().expect("a pipe"));
    let said = said.lines().map(|line| line.expect("text")).take_while(|line| !line.is_empty());
    let pair = |line: String| {
        let (name, value) = line.split_once('=').expect("NAME=value");
        (name.to_owned(), value.to_owned())
    };
    let environment: Vec<_> = said.map(pair).collect();
    if environment.is_empty() {
        eprintln!("the servers of the world {} do not run", world.name());
        return ExitCode::FAILURE;
    }
    // Open in the command as well, and in all that it starts.
    fcntl_setfd(keeper.stdin.as_ref().expect("a pipe"), FdFlags::empty()).expect("a flag");
    let refused = Command::new(program).args(arguments).envs(environment).exec();
    eprintln!("{program} cannot be run: {refused}");
    ExitCode::from(127)
}
