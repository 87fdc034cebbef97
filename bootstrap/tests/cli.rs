//! The binary, as a shell sees it.
#![expect(clippy::expect_used, reason = "the helpers of tests may fail as tests do")]

use std::fs;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A directory with this `.env` file and nothing else.
fn directory(dotenv: &str) -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join(".env"), dotenv).expect("written");
    directory
}

fn portwright(directory: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portwright"));
    command.env_clear().current_dir(directory.path());
    command
}

fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().expect("it runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn help_and_version_go_to_the_standard_output() {
    let directory = directory("");
    for (arguments, expected) in [
        (&["--help"][..], "completions"),
        (&["serve", "--help"], "--no-migrate"),
        (&["users", "create-admin", "--help"], "--password-stdin"),
        (&["--version"], env!("CARGO_PKG_VERSION")),
    ] {
        let (code, stdout, stderr) = run(portwright(&directory).args(arguments));
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{arguments:?}");
        assert!(stdout.contains(expected), "{stdout}");
    }
}

#[test]
fn a_command_line_that_makes_no_sense_is_exit_2() {
    let (code, stdout, stderr) = run(portwright(&directory("")).arg("conjure"));
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    assert!(stderr.contains("conjure"), "{stderr}");
}

#[test]
fn config_show_tells_every_value_and_its_source() {
    let directory = directory("PORT=4000\nJWT_SECRET=q3Yt0nR6dJ1v-canary-Zb7sKf2uM5hL\n");
    let (code, stdout, stderr) = run(portwright(&directory).args(["config", "show"]).env("PORT", "5000"));
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stderr}");
    let line = |name: &str| stdout.lines().find(|line| line.starts_with(name)).expect("a line").to_owned();
    let words: Vec<String> = line("PORT ").split_whitespace().map(str::to_owned).collect();
    assert_eq!(words.join(" "), "PORT 5000 environment; overrode PORT=4000 (.env line 1)");
    assert!(line("APP_ENV ").contains("development") && line("APP_ENV ").ends_with("default"), "{stdout}");
    assert!(line("JWT_SECRET ").contains("***") && !stdout.contains("canary"), "{stdout}");
}

#[test]
fn config_explain_tells_all_about_one_variable() {
    let directory = directory("");
    let arguments = ["config", "explain", "data_dir", "--json", "--data-dir", "elsewhere"];
    let (code, stdout, _) = run(portwright(&directory).args(arguments).env("DATA_DIR", "overridden"));
    assert_eq!(code, Some(0));
    let setting: serde_json::Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!(setting["value"], "elsewhere");
    assert_eq!(setting["source"]["option"], "--data-dir");
    assert_eq!(setting["overrode"][0]["value"], "overridden");

    let (code, _, stderr) = run(portwright(&directory).args(["config", "explain", "PROT"]));
    assert_eq!(code, Some(2));
    assert!(stderr.contains("did you mean PORT?"), "{stderr}");
}

#[test]
fn every_problem_of_the_configuration_is_reported_and_nothing_is_started() {
    let directory = directory("SESSION_LIFETIME=soon\nCOMPUTE_MIN_WORKER=1\n");
    let mut command = portwright(&directory);
    let (code, stdout, stderr) =
        run(command.args(["health", "live"]).env("PORT", "http").env("MANAGEMENT_PORT", "none"));
    assert_eq!((code, stdout.as_str()), (Some(78), ""));
    for expected in [
        "from: PORT=http (environment)",
        "from: SESSION_LIFETIME=soon (.env line 1)",
        "unknown variable COMPUTE_MIN_WORKER, did you mean COMPUTE_MIN_WORKERS?",
        "MANAGEMENT_PORT must be a whole number",
        "4 problems, nothing was started (exit 78)",
    ] {
        assert!(stderr.contains(expected), "{expected} is not in\n{stderr}");
    }
    assert_eq!(fs::read_dir(directory.path()).expect("read").count(), 1, "only .env is there");

    let (code, stdout, shown) = run(portwright(&directory).args(["config", "show"]));
    assert_eq!(code, Some(78));
    assert!(stdout.contains("SESSION_LIFETIME") && shown.contains("2 problems"), "{stdout}{shown}");
}

#[test]
fn completions_are_scripts_for_each_shell() {
    let directory = directory("");
    for shell in ["bash", "zsh", "fish"] {
        let (code, stdout, _) = run(portwright(&directory).args(["completions", shell]));
        assert_eq!(code, Some(0));
        assert!(stdout.contains("create-admin"), "{shell}");
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let directory = directory("");
    for arguments in [&["completions", "bash"][..], &["config", "show"], &["--help"]] {
        let mut child = portwright(&directory)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs");
        drop(child.stdout.take());
        let Output { status, stderr, .. } = child.wait_with_output().expect("it ends");
        assert_eq!((status.code(), stderr.as_slice()), (Some(0), &b""[..]), "{arguments:?}");
    }
}

#[test]
fn tasks_are_listed_with_what_counts_for_them_here_and_nothing_is_opened() {
    let directory = directory("QUEUE_ATTEMPTS=7\n");
    let (code, stdout, stderr) = run(portwright(&directory).arg("tasks"));
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let mut lines = stdout.lines();
    let header = ["TASK", "VERSION", "QUEUE", "PRIORITY", "ATTEMPTS", "TIMEOUT"];
    assert_eq!(words(lines.next().expect("a header")), header);
    let primes = lines.find(|line| line.starts_with("compute.primes ")).expect("a line");
    assert_eq!(words(primes), ["compute.primes", "1", "cpu", "5", "7", "600", "s"]);

    let (code, stdout, _) = run(portwright(&directory).args(["tasks", "--json"]));
    assert_eq!(code, Some(0));
    let rows = stdout.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    let primes = rows.into_iter().find(|row| row["name"] == "compute.primes").expect("a row");
    let expected = serde_json::json!({
        "name": "compute.primes",
        "version": 1,
        "queue": "cpu",
        "priority": 5,
        "attempts": 7,
        "timeoutSeconds": 600.0,
    });
    assert_eq!(primes, expected);
    assert_eq!(fs::read_dir(directory.path()).expect("read").count(), 1, "only .env is there");
}

#[test]
fn health_without_a_server_is_exit_1() {
    // Port 1 needs privileges that no test's server has.
    let (code, _, stderr) = run(portwright(&directory("")).args(["health", "ready"]).env("PORT", "1"));
    assert_eq!(code, Some(1));
    assert!(stderr.contains("no answer from the server at 127.0.0.1, port 1"), "{stderr}");
}

#[test]
fn the_health_of_a_worker_is_asked_for_at_the_port_for_operators() {
    let directory = directory("");
    let (code, _, stderr) = run(portwright(&directory).args(["health", "--role", "worker"]));
    assert_eq!(code, Some(78));
    assert!(stderr.contains("a worker answers at MANAGEMENT_PORT alone, which is not set"), "{stderr}");

    let by_role = [("COMPUTE_APP_ROLE", "worker"), ("MANAGEMENT_PORT", "1")];
    let (code, _, stderr) = run(portwright(&directory).arg("health").envs(by_role));
    assert_eq!(code, Some(1));
    assert!(stderr.contains("no answer from the worker at 127.0.0.1, port 1"), "{stderr}");
    assert!(stderr.contains("with this HOST and MANAGEMENT_PORT?"), "{stderr}");
}
