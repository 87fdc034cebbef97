//! As a service of systemd, which keeps the socket, and wants to know which process the service is.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;

use tokio::net::TcpStream;
use tokio::process::Command;

use super::{Line, NobodyStays, without_terminal};
use crate::load::Load;
use crate::place::{PATIENCE, Place};
use crate::server::Server;

/// The command as systemd starts it: the socket is its file 3.
fn activated(place: &Place, command: &Command, socket: &TcpListener) -> Command {
    let mut outer = without_terminal(place, command);
    let inner = outer.as_std().get_args().map(ToOwned::to_owned).collect::<Vec<_>>();
    let script = r#"exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec "$@""#;
    outer = Command::new("setsid");
    outer.args(["sh", "-c", script, "sh"]).args(inner);
    place.confine(&mut outer);
    outer.env("PATH", "/usr/bin:/bin").env("SHUTDOWN_READY_DELAY", "1s");
    let socket = OwnedFd::from(socket.try_clone().expect("a descriptor"));
    outer.stdin(Stdio::from(socket));
    outer
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_service_is_restarted_whoever_connects_waits_for_it() {
    let place = Place::empty();
    let _afterwards = NobodyStays(&place);
    let socket = TcpListener::bind("127.0.0.1:0").expect("free");
    let address = socket.local_addr().expect("an address");
    let serve = || activated(&place, &place.command(["serve"]), &socket);
    // The port of the configuration is not taken.
    let mut server = Server::start(serve().env("PORT", "1")).await;
    assert_eq!(server.address, address);
    let ada = server.api().registered("ada@example.com").await;
    let load = Load::begin(address, &ada);
    for _ in 0..2 {
        assert_eq!(server.stop().await.code, Some(0));
        server = Server::start(&mut serve()).await;
    }
    let tally = load.end().await;
    assert!(tally.posted > 0, "{tally:?}");
    assert_eq!(server.stop().await.code, Some(0));
    TcpStream::connect(address).await.expect("the next start will answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn systemd_is_told_when_the_service_is_ready_and_which_process_it_is() {
    let place = Place::empty();
    let told = UnixDatagram::bind(place.path().join("notify")).expect("a socket");
    told.set_read_timeout(Some(PATIENCE)).expect("set");
    let next = || {
        let mut text = [0; 256];
        let length = told.recv(&mut text).expect("it is told");
        String::from_utf8_lossy(&text[..length]).trim_end().to_owned()
    };
    let mut command = place.command(["serve"]);
    command.env("NOTIFY_SOCKET", place.path().join("notify"));
    let mut line = Line::begin(&place, &command).await;
    assert_eq!(next(), format!("MAINPID={}\nREADY=1", line.pid));
    line.hand_over().await;
    assert_eq!(next(), format!("MAINPID={}", line.pid));
    assert_eq!(next(), format!("MAINPID={}\nREADY=1", line.pid));
    line.end().await;
}
