//! A server of its own process, with limits out of the way, and what the system says of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// A running server; gone when dropped.
pub struct Server {
    process: Child,
    data: TempDir,
    /// Where it listens.
    pub address: String,
    /// From the start of the process to the first answer that it is ready.
    pub started_in: Duration,
}

impl Server {
    /// Starts this binary on `data`, an empty directory or one that a server left. It starts no workers.
    pub async fn start(binary: &Path, data: TempDir) -> Self {
        Self::start_with(binary, data, &[]).await
    }

    /// The same with more variables.
    pub async fn start_with(binary: &Path, data: TempDir, variables: &[(&str, &str)]) -> Self {
        let started = Instant::now();
        let log = fs::File::create(data.path().join("log")).expect("a log");
        let process = Command::new(binary)
            .arg("serve")
            .env_clear()
            .envs([("APP_ENV", "test"), ("PORT", "0"), ("LOG_FORMAT", "json"), ("JWT_EXPIRES_IN", "1h")])
            .envs([("RATE_LIMIT_MAX_REQUESTS", "1000000"), ("LOGIN_MAX_FAILURES", "1000000")])
            .env("DATA_DIR", data.path().join("data"))
            .envs(variables.iter().copied())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the server starts");
        let mut server = Self { process, data, address: String::new(), started_in: Duration::ZERO };
        while server.address.is_empty() {
            assert!(started.elapsed() < Duration::from_secs(30), "no server: {}", server.log());
            // The only way to learn the port is to read the log, and a file does not tell when it grows.
            sleep(Duration::from_millis(1)).await;
            let log = server.log();
            if let Some(at) = log.find("http://127.0.0.1:") {
                let address = &log[at + "http://".len()..];
                let end = address.find(['/', '"']).unwrap_or(0);
                address[..end].clone_into(&mut server.address);
            }
        }
        server.started_in = started.elapsed();
        server
    }

    fn log(&self) -> String {
        fs::read_to_string(self.data.path().join("log")).unwrap_or_default()
    }

    /// The administrator's address and password.
    #[must_use]
    pub fn admin(&self) -> (String, String) {
        let text = fs::read_to_string(self.data.path().join("data/first-run.txt")).expect("first-run.txt");
        let line = |name: &str| {
            text.lines().find_map(|line| line.strip_prefix(name)).expect("the line").trim().to_owned()
        };
        (line("email:"), line("password:"))
    }

    /// The number of its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The file of the key that it signs with.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.data.path().join("data/signing-key.pem")
    }

    /// Resident memory in MiB.
    #[must_use]
    pub fn resident_mib(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("proc");
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        kib.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") / 1024.0
    }

    /// Signs the administrator in: access token and user.
    pub async fn sign_in(&self) -> (String, Value) {
        let (email, password) = self.admin();
        let body = serde_json::json!({"email": email, "password": password}).to_string();
        let mut client = crate::client::Client::connect(&self.address).await;
        let answer = client.send("POST", "/auth/login", None, Some(&body)).await;
        assert_eq!(answer.status, 200);
        let session: Value = serde_json::from_slice(&answer.body).expect("JSON");
        (session["accessToken"].as_str().expect("a token").to_owned(), session["user"].clone())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
