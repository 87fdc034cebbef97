//! `portwright health`: asks the server on this machine, or the worker, as a container's probe does.
//!
//! A worker has no port but that for operators, and who probes cannot see which command was started: the role says whom to ask.
//!
//! It speaks just enough HTTP/1.0 for one question, so an image needs no `curl`.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::cli::HealthCheck;
use crate::config::{AppRole, Config, Listen};
use crate::exit::Exit;
use crate::failure::{Failure, Problem};
use crate::output;

const DEADLINE: Duration = Duration::from_secs(5);
const MOST_BYTES: u64 = 1 << 20;

/// Prints what the process says; [`Exit::Failed`] unless it says that it is well.
pub(super) async fn run(config: &Config, check: Option<HealthCheck>) -> Result<Exit, Failure> {
    let path = match check {
        None => "/health",
        Some(HealthCheck::Live) => "/health/live",
        Some(HealthCheck::Ready) => "/health/ready",
    };
    let asked = Asked::by_role(config)?;
    let key = config.health_secret.as_ref().map(|secret| format!("X-Health-Key: {}\r\n", secret.expose()));
    let request = format!("GET {path} HTTP/1.0\r\nHost: {}\r\n{}\r\n", asked.host, key.unwrap_or_default());
    let answer = match timeout(DEADLINE, ask(&asked.host, asked.port, &request)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Err(asked.no_answer(&error.to_string())),
        Err(_) => return Err(asked.no_answer(&format!("none within {} s", DEADLINE.as_secs()))),
    };
    let Some((status, body)) = parse(&answer) else {
        return Err(asked.no_answer("what answers there does not speak HTTP"));
    };
    output::print(&format!("{}\n", body.trim_end()))?;
    Ok(if status == 200 { Exit::Done } else { Exit::Failed })
}

struct Asked {
    who: &'static str,
    host: String,
    port: u16,
    /// The variable that says which port.
    variable: &'static str,
}

impl Asked {
    fn by_role(config: &Config) -> Result<Self, Failure> {
        let (who, listen, variable) = match (config.compute.role, &config.management) {
            (AppRole::Api | AppRole::All, _) => ("server", &config.listen, "PORT"),
            (AppRole::Worker, Some(listen)) => ("worker", listen, "MANAGEMENT_PORT"),
            (AppRole::Worker, None) => {
                let problem = Problem::new("a worker answers at MANAGEMENT_PORT alone, which is not set");
                return Err(Failure::new(
                    Exit::Config,
                    problem.fix("set it for the worker and for this command"),
                ));
            }
        };
        let (host, port) = target(listen);
        Ok(Self { who, host, port, variable })
    }

    fn no_answer(&self, why: &str) -> Failure {
        let Self { who, host, port, variable } = self;
        let problem = Problem::new(format!("no answer from the {who} at {host}, port {port} ({why})"));
        Failure::new(Exit::Failed, problem.fix(format!("is it running, and with this HOST and {variable}?")))
    }
}

async fn ask(host: &str, port: u16, request: &str) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect((host, port)).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MOST_BYTES).read_to_end(&mut answer).await?;
    Ok(answer)
}

/// Status and body of an answer.
fn parse(answer: &[u8]) -> Option<(u16, String)> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.lines().next()?.parse().ok()?;
    Some((status, body.to_owned()))
}

/// Who listens on every address also listens on the one that a machine calls itself by.
fn target(listen: &Listen) -> (String, u16) {
    let host = match listen.host.parse() {
        Ok(IpAddr::V4(ip)) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.to_string(),
        Ok(IpAddr::V6(ip)) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.to_string(),
        _ => listen.host.clone(),
    };
    (host, listen.port)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tokio::net::TcpListener;

    use super::*;
    use crate::config::Secret;

    /// A server that gives this answer once, and then the question that it was asked.
    async fn asked(answer: &'static str, check: Option<HealthCheck>) -> (Result<Exit, Failure>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("free");
        let mut config = Config::embedded(Path::new("/nowhere"));
        config.listen.port = listener.local_addr().expect("an address").port();
        config.health_secret = Some(Secret::new("open sesame".to_owned()));
        let server = async {
            let (mut stream, _) = listener.accept().await.expect("a client");
            let mut question = vec![0; 4096];
            let read = stream.read(&mut question).await.expect("a question");
            stream.write_all(answer.as_bytes()).await.expect("answered");
            String::from_utf8_lossy(&question[..read]).into_owned()
        };
        tokio::join!(run(&config, check), server)
    }

    #[tokio::test]
    async fn a_server_that_is_well_is_exit_0() {
        let (exit, question) = asked("HTTP/1.0 200 OK\r\n\r\n{\"status\":\"pass\"}", None).await;
        assert_eq!(exit, Ok(Exit::Done));
        assert!(question.starts_with("GET /health HTTP/1.0\r\n"), "{question}");
        assert!(question.contains("X-Health-Key: open sesame\r\n"), "{question}");
    }

    #[tokio::test]
    async fn a_server_that_is_not_well_is_exit_1() {
        let (exit, question) =
            asked("HTTP/1.1 503 Service Unavailable\r\n\r\n{}", Some(HealthCheck::Ready)).await;
        assert_eq!(exit, Ok(Exit::Failed));
        assert!(question.starts_with("GET /health/ready "), "{question}");
        let (exit, _) = asked("SSH-2.0-OpenSSH\r\n", Some(HealthCheck::Live)).await;
        assert_eq!(exit.expect_err("no HTTP").exit(), Exit::Failed);
    }

    #[tokio::test]
    async fn no_server_is_exit_1() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("free");
        let mut config = Config::embedded(Path::new("/nowhere"));
        config.listen.port = listener.local_addr().expect("an address").port();
        drop(listener);
        assert_eq!(run(&config, None).await.expect_err("nobody").exit(), Exit::Failed);
    }

    #[test]
    fn who_listens_everywhere_is_asked_on_the_loopback_address() {
        for (host, asked) in
            [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("192.0.2.1", "192.0.2.1"), ("box", "box")]
        {
            assert_eq!(target(&Listen { host: host.to_owned(), port: 1 }), (asked.to_owned(), 1));
        }
    }
}
