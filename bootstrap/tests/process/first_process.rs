//! The server as the first process of a container: for it, the kernel has no default action for signals, and whoever is left
//! behind by others becomes its child.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;
use tokio::process::Command;

use crate::place::Place;
use crate::server::{Server, send};
use crate::shutdown::{SlowRequest, refuses_connections};
use crate::workers::{Jobs, ready_workers, until};

const NOT_TESTED: &str = "not tested: this machine lets nobody make a process namespace";

/// A server that has process number 1 where it lives.
struct First {
    server: Server,
    /// Its number here.
    pid: u32,
}

impl First {
    /// Makes this command run so; `None` where this machine does not let us. `before` is run by a shell, in its place.
    async fn start(place: &Place, command: &Command, before: &str) -> Option<Self> {
        let mut isolation = vec!["--pid", "--fork", "--mount-proc", "--kill-child"];
        if !rustix::process::geteuid().is_root() {
            isolation.splice(0..0, ["--user", "--map-root-user"]);
        }
        let permitted = Command::new("unshare").args(&isolation).arg("true").stderr(Stdio::null()).status();
        if !permitted.await.is_ok_and(|status| status.success()) {
            return None;
        }
        let inner = command.as_std();
        let mut outer = Command::new("unshare");
        outer.args(&isolation).args(["sh", "-c", &format!("{before} exec \"$@\""), "sh"]);
        outer.arg(inner.get_program()).args(inner.get_args());
        place.confine(&mut outer);
        outer.env("PATH", "/usr/bin:/bin");
        outer.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let server = Server::start(&mut outer).await;
        let children = format!("/proc/{0}/task/{0}/children", server.pid());
        let pid = fs::read_to_string(children).expect("read").trim().parse().expect("one child");
        let lock = fs::read_to_string(place.data("portwright.lock")).expect("the lock file");
        assert!(lock.contains(r#""pid":1,"#), "{lock}");
        Some(Self { server, pid })
    }
}

#[tokio::test]
async fn the_first_process_of_a_container_stops_like_any_other() {
    let place = Place::empty();
    let Some(First { server, pid }) = First::start(&place, &place.command(["serve"]), "").await else {
        println!("{NOT_TESTED}");
        return;
    };
    let slow = SlowRequest::begin(&server).await;
    send(pid, Signal::TERM);
    refuses_connections(&server).await;
    assert!(slow.finish().await.contains("invalid-credentials"));
    assert_eq!(server.ended().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_process_waits_for_orphans_and_for_its_workers() {
    let place = Place::empty();
    // Whose parents are gone, and which end at different times while the server runs.
    let orphans = "for end in 1 2 3; do (sleep $end & sleep $end.1 &); done;";
    let Some(First { server, pid }) = First::start(&place, &place.server_with_workers(1, 1), orphans).await
    else {
        println!("{NOT_TESTED}");
        return;
    };
    ready_workers(&server, 1).await;
    until("nobody is left but the worker", async || all_children(pid).len() == 1).await;
    let jobs = Jobs::at(&place);
    let job = jobs.take_time("job", Duration::from_millis(500)).await;
    jobs.traced("job", "begin", 1).await;
    send(pid, Signal::TERM);
    let ended = server.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert!(ended.log.contains(r#""in_time":true"#), "{}", ended.log);
    assert_eq!(jobs.trace("job").last().map(|last| last.step.as_str()), Some("end"), "{job}");
}

/// The processes whose parent this one is, the dead included.
fn all_children(of: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{of}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| {
            list.split_whitespace().map(|pid| pid.parse().expect("a number")).collect::<Vec<_>>()
        })
        .collect()
}
