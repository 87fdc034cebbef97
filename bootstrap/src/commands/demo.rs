//! `portwright demo`: shows a server at work, to whoever has just started one.
//!
//! ```text
//!  server (found, or started) ──► guest signs in ──► tour, stress, or throttle ──► what was made is removed ──► server (stopped)
//! ```
//! It is a client like any other: all that it does to a server goes over HTTP, within the share that the rate limit gives
//! it. Whatever happens, Ctrl-C included, it cleans up.

mod client;
mod guest;
mod latency;
mod screen;
mod server;
mod stress;
mod throttle;
mod tour;

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use self::client::{Answer, Client};
use self::guest::Credentials;
use self::screen::{Screen, Style};
use self::server::Server;
use self::stress::Parallel;
use self::tour::Tour;
use crate::cli::{Demo, DemoCommand};
use crate::config::Config;
use crate::exit::Exit;
use crate::failure::{Failure, Problem};
use crate::wiring::Program;

/// Shows what was asked for.
pub(super) async fn run(config: &Config, demo: Demo, program: Program) -> Result<Exit, Failure> {
    let mut interrupt = Interrupt::listen()?;
    let screen = Screen::of_stdout();
    let server = match demo.command {
        Some(DemoCommand::Throttle) => Server::start(config, program, throttle::SHARE).await?,
        None | Some(DemoCommand::Stress(_)) => Server::find_or_start(config, program).await?,
    };
    let shown = show(&server, demo, screen, &mut interrupt).await;
    let left = server.leave().await;
    shown.and_then(|exit| left.map(|()| exit))
}

async fn show(
    server: &Server,
    demo: Demo,
    screen: Screen,
    interrupt: &mut Interrupt,
) -> Result<Exit, Failure> {
    screen.line(&introduction(server, demo.command, screen))?;
    let credentials = Credentials::find(server, demo.email.map(|email| email.as_str().to_owned()));
    let credentials = interrupt.or(credentials).await?;
    let client = Client::at(server.address);
    match demo.command {
        None => {
            let mut tour = Tour::new(client, screen);
            let shown = interrupt.or(tour.run(&credentials)).await;
            tour.clean_up().await;
            shown.map(|()| Exit::Done)
        }
        Some(DemoCommand::Stress(stress)) => {
            let mut parallel = Parallel::new(client, screen, stress, server.is_own());
            let shown = interrupt.or(parallel.run(&credentials)).await;
            parallel.clean_up().await;
            shown
        }
        // The session goes away with the server.
        Some(DemoCommand::Throttle) => interrupt.or(throttle::run(client, screen, &credentials)).await,
    }
}

fn introduction(server: &Server, command: Option<DemoCommand>, screen: Screen) -> String {
    let url = screen.paint(Style::Bold, &format!("http://{}", server.address));
    let directory = server.data_dir.display();
    if server.is_own() {
        let why = match command {
            Some(DemoCommand::Throttle) => "A share will be used up",
            None | Some(DemoCommand::Stress(_)) => "No server runs",
        };
        format!(
            "{why}, so this is one of the demo's own at {url}; it goes away at the end, with {directory}."
        )
    } else {
        format!("This is the server at {url}, on the data directory {directory}.")
    }
}

/// The wish to stop, heard from the start on.
struct Interrupt {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupt {
    fn listen() -> Result<Self, Failure> {
        let listen = || -> io::Result<Self> {
            let (interrupt, terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
            Ok(Self { interrupt, terminate })
        };
        listen().map_err(|error| {
            Failure::new(Exit::TryAgain, Problem::new(format!("cannot listen for signals ({error})")))
        })
    }

    /// What this comes to, or the failure of being interrupted.
    async fn or<T>(&mut self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            done = work => return done,
        }
        Err(Failure::new(Exit::Failed, Problem::new("the demo was interrupted, and cleans up")))
    }
}

/// A step that got no answer.
fn no_answer(step: &str, error: &io::Error) -> Failure {
    Failure::new(Exit::Failed, Problem::new(format!("{step}: no answer from the server ({error})")))
}

/// A step whose answer is not the one that was promised.
fn refused(step: &str, answer: &Answer) -> Failure {
    let said = answer.text("/detail").or_else(|| answer.text("/title")).unwrap_or("no reason given");
    let problem = Problem::new(format!("{step}: the server answered {} ({said})", answer.status));
    Failure::new(
        Exit::Failed,
        match answer.header("retry-after") {
            Some(seconds) => problem.fix(format!("try again in {seconds} s")),
            None => problem,
        },
    )
}
