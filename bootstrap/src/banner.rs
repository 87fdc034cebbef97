//! Says that the server has started: a page for a person on a terminal, one event `started` elsewhere.
//!
//! Only what this server really has is shown. The password of a first administrator is shown on a terminal, where
//! somebody sits who needs it now, and never logged.

use std::fmt::Write;
use std::io::{IsTerminal, stderr};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use portwright_domain::user::Email;

use crate::config::{AppEnv, LogFormat, WorkerCount};
use crate::{output, port, telemetry};

/// What somebody who starts a server wants to know.
#[derive(Debug, Clone, Copy)]
pub struct Started<'a> {
    /// What kind of place this is.
    pub app_env: AppEnv,
    /// How long the start took.
    pub took: Duration,
    /// Where it listens.
    pub address: SocketAddr,
    /// Where its metrics are, if anywhere.
    pub metrics: Option<SocketAddr>,
    /// The database in a few words, such as `sqlite ./data/portwright.db (created, 4 migrations applied)`.
    pub database: &'a str,
    /// Where jobs wait, in a few words.
    pub queue: &'a str,
    /// Where files are kept, in a few words.
    pub storage: &'a str,
    /// The workers that it starts, if it starts any.
    pub workers: Option<WorkerCount>,
    /// The administrator that this start made, if it made one.
    pub first_admin: Option<FirstAdminMade<'a>>,
}

/// An administrator that a start has just made up a password for.
#[derive(Clone, Copy)]
pub struct FirstAdminMade<'a> {
    /// The address.
    pub email: &'a Email,
    /// The password.
    pub password: &'a str,
    /// The file that has both.
    pub file: &'a Path,
}

impl std::fmt::Debug for FirstAdminMade<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FirstAdminMade").field("file", &self.file).finish_non_exhaustive()
    }
}

/// Tells people, or programs.
pub fn announce(started: &Started<'_>, format: LogFormat) {
    if stderr().is_terminal() && !telemetry::is_json(format) {
        output::complain(&page(started));
    } else {
        log(started);
    }
}

/// Whoever reads this may be on another machine: the addresses are those that were bound.
fn log(started: &Started<'_>) {
    let url = url(started.address);
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        app_env = started.app_env.as_str(),
        duration_ms = milliseconds(started.took),
        docs = format!("{url}/docs"),
        health = format!("{url}/health"),
        metrics = started.metrics.map(metrics_url),
        url,
        database = started.database,
        queue = started.queue,
        storage = started.storage,
        workers = workers(started.workers),
        first_run_file = started.first_admin.map(|made| made.file.display().to_string()),
        "started"
    );
}

/// Whoever reads this has a browser on this machine, which opens no address that stands for all.
fn page(started: &Started<'_>) -> String {
    let url = url(port::from_here(started.address));
    let mut page = format!(
        "  portwright {} · {} · ready in {} ms\n\n",
        env!("CARGO_PKG_VERSION"),
        started.app_env,
        milliseconds(started.took)
    );
    let mut line = |text: &str| {
        let _ = writeln!(page, "{}", text.trim_end());
    };
    line(&format!("  {:<10} {url:<32} {:<8} {url}/docs", "API", "docs"));
    let metrics = started.metrics.map(|address| metrics_url(port::from_here(address)));
    let metrics = metrics.map(|url| format!("{:<8} {url}", "metrics"));
    line(&format!("  {:<10} {:<32} {}", "Health", format!("{url}/health"), metrics.unwrap_or_default()));
    line("");
    line(&format!("  {:<10} {}", "database", started.database));
    line(&format!("  {:<10} {}", "storage", started.storage));
    let workers = workers(started.workers);
    line(&format!("  {:<10} {:<32} {:<8} {workers}", "queue", started.queue, "workers"));
    line("");
    if let Some(FirstAdminMade { email, password, file }) = started.first_admin {
        line("  First run: created admin");
        line(&format!("    {:<9} {}", "email", email.as_str()));
        let hint = format!("(shown once; also in {}, mode 0600)", file.display());
        line(&format!("    {:<9} {password:<31} {hint}", "password"));
        line("");
    }
    line(&format!(
        "  Next:  {:<19} a guided tour: sign in, users, a job, the cache, the rate limit",
        "portwright demo"
    ));
    line(&format!("         {:<43} Ctrl-C drains and stops", format!("sign in at {url}/docs")));
    line("");
    page
}

fn workers(count: Option<WorkerCount>) -> String {
    match count {
        Some(WorkerCount { min: 1, max }) => format!("1 process (min 1, max {max})"),
        Some(WorkerCount { min, max }) => format!("{min} processes (min {min}, max {max})"),
        None => "none are started here".to_owned(),
    }
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}

fn metrics_url(address: SocketAddr) -> String {
    format!("{}/metrics", url(address))
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started<'a>(address: &str, first_admin: Option<FirstAdminMade<'a>>) -> Started<'a> {
        Started {
            app_env: AppEnv::Development,
            took: Duration::from_millis(212),
            address: address.parse().expect("an address"),
            metrics: Some("127.0.0.1:9090".parse().expect("an address")),
            database: "sqlite ./data/portwright.db (created, 4 migrations applied)",
            queue: "embedded (durable)",
            storage: "local ./data/storage",
            workers: Some(WorkerCount { min: 1, max: 4 }),
            first_admin,
        }
    }

    #[test]
    fn the_page_tells_a_newcomer_where_to_go() {
        let email = Email::parse("admin@localhost").expect("valid");
        let file = Path::new("./data/first-run.txt");
        let made = FirstAdminMade { email: &email, password: "tango-velvet-harbor-cedar-oak-91", file };
        let expected = format!(
            "  portwright {} · development · ready in 212 ms

  API        http://127.0.0.1:3000            docs     http://127.0.0.1:3000/docs
  Health     http://127.0.0.1:3000/health     metrics  http://127.0.0.1:9090/metrics

  database   sqlite ./data/portwright.db (created, 4 migrations applied)
  storage    local ./data/storage
  queue      embedded (durable)               workers  1 process (min 1, max 4)

  First run: created admin
    email     admin@localhost
    password  tango-velvet-harbor-cedar-oak-91 (shown once; also in ./data/first-run.txt, mode 0600)

  Next:  portwright demo     a guided tour: sign in, users, a job, the cache, the rate limit
         sign in at http://127.0.0.1:3000/docs       Ctrl-C drains and stops

",
            env!("CARGO_PKG_VERSION")
        );
        assert_eq!(page(&started("127.0.0.1:3000", Some(made))), expected);
    }

    #[test]
    fn a_later_start_says_nothing_of_an_administrator() {
        let page = page(&started("127.0.0.1:3000", None));
        assert!(!page.contains("admin") && !page.contains("password"), "{page}");
    }

    #[test]
    fn an_address_that_is_all_addresses_is_shown_as_one_that_a_browser_opens() {
        for (bound, shown) in [
            ("0.0.0.0:80", "http://127.0.0.1:80"),
            ("[::]:3000", "http://[::1]:3000"),
            ("192.0.2.1:3000", "http://192.0.2.1:3000"),
        ] {
            let metrics = Some(bound.parse().expect("an address"));
            let page = page(&Started { metrics, ..started(bound, None) });
            assert!(page.contains(&format!("{shown}/docs")), "{page}");
            assert!(page.contains(&format!("{shown}/metrics")), "{page}");
        }
    }

    #[test]
    fn the_password_is_in_no_debug_output() {
        let email = Email::parse("admin@localhost").expect("valid");
        let made = FirstAdminMade { email: &email, password: "hunter2", file: Path::new("f") };
        assert!(!format!("{:?}", started("127.0.0.1:1", Some(made))).contains("hunter2"));
    }
}
