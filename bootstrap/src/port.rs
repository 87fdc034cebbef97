//! Takes the port to listen on. A port that is taken stays with whoever has it: the holder is named, never touched. (Who hangs
//! on the same data directory is gone by then: [`crate::stale`].)

use std::fs;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use tokio::net::{TcpListener, lookup_host};
use tokio::time::timeout;

use crate::config::Listen;
use crate::exit::Exit;
use crate::failure::{Failure, Problem};

/// How long a host name may take to become an address.
const LOOKUP: Duration = Duration::from_secs(5);

/// Listens there, on the first address of the host that can be taken.
///
/// # Errors
/// `Unavailable` if the port is taken, `Permission` if this user may not have it, `Config` if the host is no address of
/// this machine.
pub async fn bind(listen: &Listen) -> Result<TcpListener, Failure> {
    let Listen { host, port } = listen;
    let unknown = |why: String| {
        let problem = Problem::new(format!("cannot listen on {host} ({why})"));
        Failure::new(
            Exit::Config,
            problem.fix("set HOST to an address of this machine, such as 127.0.0.1 or 0.0.0.0"),
        )
    };
    let addresses = match timeout(LOOKUP, lookup_host((host.as_str(), *port))).await {
        Ok(Ok(addresses)) => addresses,
        Ok(Err(error)) => return Err(unknown(error.to_string())),
        Err(_) => return Err(unknown(format!("the name has no answer within {} s", LOOKUP.as_secs()))),
    };
    let mut failure = unknown("the name has no address".to_owned());
    for address in addresses {
        match TcpListener::bind(address).await {
            Ok(listener) => return Ok(listener),
            Err(error) => failure = explain(address, &error),
        }
    }
    Err(failure)
}

/// Listens on the socket that somebody had before, wherever that is; without one, as [`bind`].
///
/// # Errors
/// As [`bind`]; `TryAgain` if the socket cannot be used.
pub async fn inherit_or_bind(
    inherited: Option<std::net::TcpListener>,
    listen: &Listen,
) -> Result<TcpListener, Failure> {
    let Some(socket) = inherited else { return bind(listen).await };
    let usable = socket.set_nonblocking(true).and_then(|()| TcpListener::from_std(socket));
    usable.map_err(|error| {
        Failure::new(
            Exit::TryAgain,
            Problem::new(format!("cannot use the socket that was handed over ({error})")),
        )
    })
}

/// Where a client on this machine finds who listens there.
#[must_use]
pub fn from_here(address: SocketAddr) -> SocketAddr {
    let host = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(host, address.port())
}

fn explain(address: SocketAddr, error: &io::Error) -> Failure {
    // The next one, or for a port that needs privileges the usual one.
    let other = if address.port() < 1024 { 3000 } else { address.port().saturating_add(1) };
    let another = format!("another port: --port {other}, or PORT={other}");
    let (exit, why, fix) = match error.kind() {
        ErrorKind::AddrInUse => {
            let why = match holder(address) {
                Some((pid, command)) => format!("the port is taken by {command}, pid {pid}"),
                None => "the port is taken by a process that this user may not look at".to_owned(),
            };
            (Exit::Unavailable, why, format!("stop that process, or choose {another}"))
        }
        ErrorKind::PermissionDenied => (Exit::Permission, error.to_string(), format!("choose {another}")),
        ErrorKind::AddrNotAvailable => {
            (Exit::Config, error.to_string(), "set HOST to an address of this machine".to_owned())
        }
        _ => (Exit::Unavailable, error.to_string(), "choose another HOST or PORT".to_owned()),
    };
    Failure::new(exit, Problem::new(format!("cannot listen on {address} ({why})")).fix(fix))
}

/// The process that listens on the address, as far as `/proc` tells this user.
fn holder(address: SocketAddr) -> Option<(u32, String)> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let inode = tables.iter().find_map(|table| listening_inode(&fs::read_to_string(table).ok()?, address))?;
    let socket = format!("socket:[{inode}]");
    fs::read_dir("/proc").ok()?.flatten().find_map(|process| {
        let pid: u32 = process.file_name().to_str()?.parse().ok()?;
        let mut files = fs::read_dir(process.path().join("fd")).ok()?.flatten();
        files.find(|file| fs::read_link(file.path()).is_ok_and(|target| target == Path::new(&socket)))?;
        let command = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
        Some((pid, command.trim_end().to_owned()))
    })
}

/// The inode of the socket that listens where the address would, in the text of `/proc/net/tcp` or `tcp6`.
fn listening_inode(table: &str, address: SocketAddr) -> Option<u64> {
    const LISTEN: &str = "0A";
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (host, port) = fields.get(1)?.split_once(':')?;
        let listens_there = *fields.get(3)? == LISTEN
            && u16::from_str_radix(port, 16) == Ok(address.port())
            && collide(kernel_address(host)?, address.ip());
        if listens_there { fields.get(9)?.parse().ok() } else { None }
    })
}

/// The kernel prints addresses as 32-bit words of this machine, whose bytes are in network order.
fn kernel_address(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| Some(u32::from_str_radix(hex.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    match hex.len() {
        8 => Some(IpAddr::from(word(0)?)),
        32 => {
            let bytes = [word(0)?, word(8)?, word(16)?, word(24)?].concat();
            Some(IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)))
        }
        _ => None,
    }
}

/// Whether two sockets cannot both have a port on these addresses.
fn collide(one: IpAddr, other: IpAddr) -> bool {
    one.is_unspecified() || other.is_unspecified() || one.to_canonical() == other.to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(host: &str, port: u16) -> Listen {
        Listen { host: host.to_owned(), port }
    }

    #[tokio::test]
    async fn port_zero_is_any_free_port_and_names_are_resolved() {
        let listener = bind(&on("localhost", 0)).await.expect("free");
        assert!(listener.local_addr().expect("an address").ip().is_loopback());
    }

    #[tokio::test]
    async fn a_taken_port_is_exit_69_names_its_holder_and_leaves_it_alone() {
        for (taken, host) in [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("127.0.0.1", "0.0.0.0")]
        {
            let theirs = std::net::TcpListener::bind((taken, 0)).expect("free");
            let port = theirs.local_addr().expect("an address").port();
            let failure = bind(&on(host, port)).await.expect_err("taken");
            assert_eq!(failure.exit(), Exit::Unavailable);
            let text = failure.to_string();
            assert!(text.contains(&format!(", pid {})", std::process::id())), "{text}");
            assert!(text.contains(&format!("--port {}", port.saturating_add(1))), "{text}");
            std::net::TcpStream::connect(("127.0.0.1", port)).expect("still there");
        }
    }

    #[tokio::test]
    async fn an_address_of_another_machine_is_a_problem_of_the_configuration() {
        assert_eq!(bind(&on("203.0.113.1", 0)).await.expect_err("refused").exit(), Exit::Config);
    }

    #[test]
    fn a_port_that_needs_privileges_is_exit_77() {
        let address = "127.0.0.1:80".parse().expect("an address");
        let failure = explain(address, &ErrorKind::PermissionDenied.into());
        assert_eq!(failure.exit(), Exit::Permission);
        assert!(failure.to_string().contains("--port 3000"), "{failure}");
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn the_table_of_the_kernel_is_read() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1 0 100 0 0 10 0
   1: 0200007F:0BB9 00000000:0000 01 00000000:00000000 00:00000000 00000000     0        0 4243 1 0 100 0 0 10 0\n";
        let inode = |address: &str| listening_inode(table, address.parse().expect("an address"));
        assert_eq!(inode("127.0.0.1:3000"), Some(4242));
        assert_eq!(inode("0.0.0.0:3000"), Some(4242));
        assert_eq!(inode("127.0.0.2:3000"), None);
        assert_eq!(inode("127.0.0.2:3001"), None, "connected, not listening");
        let loopback = kernel_address("00000000000000000000000001000000");
        assert_eq!(loopback, Some("::1".parse().expect("an address")));
    }
}
