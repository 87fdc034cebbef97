//! [`Postgres`]: a PostgreSQL server, primary or streaming standby, that can be hurt on cue.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::shell::{Shell, free_port};
use super::{Certificate, Stop};

const SCRIPT: &str = include_str!("postgres.sh");
/// Whom the packages install it for.
const USER: &str = "postgres";
/// How often a standby is asked for what it does not show yet: for about ten seconds.
const LOOKS: u32 = 500;
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A server with databases of its own. Its superuser is `postgres`, who needs no password.
///
/// Starting one takes about a second. Everything panics if the server cannot be run: what needs a database is not
/// tested without one.
pub struct Postgres {
    shell: Shell,
    port: u16,
    databases: AtomicU32,
}

impl Postgres {
    /// A new server with nothing in it.
    #[must_use]
    pub fn primary() -> Self {
        let port = free_port();
        Self::told(port, Shell::run_as(USER, SCRIPT, &[&port.to_string()]))
    }

    /// A new server whose databases are on a disk with little room: 24 MiB, of which an empty one takes a third. Its log is
    /// elsewhere.
    ///
    /// Panics as well where the kernel lets nobody mount a disk of their own (user namespaces).
    #[must_use]
    pub fn on_a_small_disk() -> Self {
        let port = free_port();
        let server = Self::told(port, Shell::run_apart(USER, SCRIPT, &[&port.to_string(), "", "24m"]));
        let place = server.shell.ask("disk");
        server.sql(&format!("CREATE TABLESPACE small LOCATION '{place}'"));
        server
    }

    /// A new server that shows this certificate, and takes nobody without TLS.
    #[must_use]
    pub fn over_tls(certificate: &Certificate) -> Self {
        let port = free_port();
        let [chain, key] = certificate.paths();
        Self::told(port, Shell::run_as(USER, SCRIPT, &[&port.to_string(), "", "", chain, key]))
    }

    /// A new standby that streams from this server.
    #[must_use]
    pub fn standby(&self) -> Self {
        let port = free_port();
        Self::told(port, Shell::run_as(USER, SCRIPT, &[&port.to_string(), &self.port.to_string()]))
    }

    /// A server that somebody else keeps: it can be asked and given databases, and not be hurt.
    #[must_use]
    pub fn attached(port: u16) -> Self {
        Self::told(port, Shell::run(SCRIPT, &[&port.to_string(), "attached"]))
    }

    fn told(port: u16, shell: Shell) -> Self {
        shell.ask("where");
        Self { shell, port, databases: AtomicU32::new(0) }
    }

    /// Where it listens, on 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The URL of a database of this server.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// The name of a new empty database, which its standbys get too.
    #[must_use]
    pub fn fresh_database(&self) -> String {
        let name = format!("test_{}_{}", std::process::id(), self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql(&format!("CREATE DATABASE {name}"));
        name
    }

    /// The same on the small disk, if this server has one.
    #[must_use]
    pub fn fresh_database_on_the_small_disk(&self) -> String {
        let name = self.fresh_database();
        self.sql(&format!("ALTER DATABASE {name} SET TABLESPACE small"));
        name
    }

    /// Leaves no room on the small disk.
    pub fn fill_disk(&self) {
        self.shell.ask("fill");
    }

    /// Gives back what [`Postgres::fill_disk`] took.
    pub fn empty_disk(&self) {
        self.shell.ask("empty");
    }

    /// Makes a user who is let in with this password alone. From then on everybody but `postgres` needs one.
    pub fn user_with_password(&self, name: &str, password: &str) {
        const RULES: &str = "VALUES ('host all postgres 127.0.0.1/32 trust'), \
             ('host replication postgres 127.0.0.1/32 trust'), ('host all all 127.0.0.1/32 scram-sha-256')";
        self.sql(&format!("CREATE USER {name} PASSWORD '{password}'"));
        let before = self.sql("SELECT pg_conf_load_time()");
        let file = self.sql("SHOW hba_file");
        self.sql(&format!("COPY ({RULES}) TO '{file}'"));
        self.sql("SELECT pg_reload_conf()");
        let is_loaded = || self.sql("SELECT pg_conf_load_time()") != before;
        let loaded = std::iter::repeat_with(is_loaded).take(1_000).any(|it| it);
        assert!(loaded, "the server did not read its rules again");
    }

    /// Makes a database that begins as a copy of another, which nobody may be connected to.
    pub fn create_database(&self, name: &str, template: &str) {
        // Blocks are copied as files: the log stays short, and standbys copy as well.
        self.sql(&format!("CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy"));
    }

    /// Waits until a standby shows a database that its primary has.
    pub fn await_database(&self, name: &str) {
        let question = format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'");
        let is_there = (0..LOOKS).any(|look| {
            if look > 0 {
                std::thread::sleep(LOOK_EVERY);
            }
            self.sql(&question) == "1"
        });
        assert!(is_there, "the standby does not follow");
    }

    /// Removes a database, whoever is connected to it.
    pub fn drop_database(&self, name: &str) {
        self.sql(&format!("DROP DATABASE {name} WITH (FORCE)"));
    }

    /// What a statement answers in the database `postgres`, columns joined by `|` and rows by a space.
    pub fn sql(&self, statement: &str) -> String {
        self.shell.ask(&format!("sql {statement}")).trim_end().to_owned()
    }

    /// The same in this database.
    pub fn sql_in(&self, database: &str, statement: &str) -> String {
        self.shell.ask(&format!("sql_in {database} {statement}")).trim_end().to_owned()
    }

    /// Every row of every table of a database, in the bytes that the values have; the same for the same rows.
    #[must_use]
    pub fn contents(&self, database: &str) -> Vec<u8> {
        let file = self.shell.ask(&format!("contents {database}"));
        std::fs::read(file).expect("the shell wrote it")
    }

    /// Ends the server; [`Postgres::start`] brings it back.
    pub fn stop(&self, how: Stop) {
        self.shell.ask(&format!("stop {}", how.as_str()));
    }

    /// Starts a server that was stopped, and waits until it answers.
    pub fn start(&self) {
        self.shell.ask("start");
    }

    /// Makes a standby a primary.
    pub fn promote(&self) {
        self.shell.ask("promote");
    }

    /// Stops all its processes where they are, so that it neither answers nor hangs up.
    pub fn freeze(&self) {
        self.shell.ask("freeze");
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.shell.ask("thaw");
    }

    /// From now on, a standby shows a commit no sooner than this after it was made.
    pub fn lag(&self, delay: Duration) {
        self.sql(&format!("ALTER SYSTEM SET recovery_min_apply_delay = '{}ms'", delay.as_millis()));
        self.sql("SELECT pg_reload_conf()");
    }

    /// A standby shows nothing new until it is resumed.
    pub fn pause_replay(&self) {
        self.sql("SELECT pg_wal_replay_pause()");
    }

    /// Ends a pause.
    pub fn resume_replay(&self) {
        self.sql("SELECT pg_wal_replay_resume()");
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").field("port", &self.port).finish_non_exhaustive()
    }
}
