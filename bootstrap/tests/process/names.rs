//! The name of a database that comes to mean another machine, as after a failover by DNS.

use std::fs;
use std::path::Path;
use std::time::Duration;

use portwright_testkit::proxy::Proxy;
use portwright_testkit::servers::{Postgres, Stop};
use reqwest::Method;
use serde_json::json;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use crate::place::Place;
use crate::server::Server;

const NAME: &str = "database.internal";

/// The server, for which this file says which name is which address: it is the `/etc/hosts` of a mount namespace that ends
/// with it.
fn serve_with_names(place: &Place, names: &Path) -> Command {
    const APART: [&str; 5] = ["--user", "--map-current-user", "--keep-caps", "--mount", "--"];
    let mut command = Command::new("unshare");
    command.args(APART).args(["bash", "-c", r#"mount --bind "$0" /etc/hosts && exec "$@""#]);
    command.arg(names).args([env!("CARGO_BIN_EXE_portwright"), "serve"]);
    place.confine(&mut command);
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_means_another_server_is_followed_within_three_seconds_and_without_a_restart() {
    let primary = Postgres::primary();
    let standby = primary.standby();
    let database = primary.fresh_database();
    standby.await_database(&database);
    let place = Place::empty();
    let names = place.path().join("hosts");
    fs::write(&names, format!("127.0.0.1 {NAME}\n")).expect("written");
    let url = format!("postgres://postgres@{NAME}:{}/{database}", primary.port());
    let server = Server::start(serve_with_names(&place, &names).env("DATABASE_URL", url)).await;
    let admin = place.first_admin(&server).await;
    let me = admin.get("/auth/me").await.expect(200);
    let path = format!("/users/{}", me["id"].as_str().expect("an id"));
    let rename = async |name: &str| {
        let change = json!({"firstName": name});
        admin.send(Method::PATCH, &path, Some(&change)).await.expect("an answer")
    };
    rename("Ada").await.expect(200);

    // The same port at another address.
    let _elsewhere = Proxy::at(("127.0.0.2", primary.port()), standby.port()).await;
    let position = primary.sql("SELECT pg_current_wal_flush_lsn()");
    let has_all = format!("SELECT pg_last_wal_replay_lsn() >= '{position}'");
    while standby.sql(&has_all) != "t" {
        sleep(Duration::from_millis(5)).await;
    }
    primary.stop(Stop::Kill);
    rename("Eve").await.expect(503);
    standby.promote();
    fs::write(&names, format!("127.0.0.2 {NAME}\n")).expect("written");
    let changed = Instant::now();
    // Reads and writes have breakers of their own, each of which tries again when its time has come.
    let is_followed = async || {
        let renamed = rename("Grace").await.status == 200;
        let read = admin.get(&path).await;
        renamed && read.status == 200 && read.expect(200)["firstName"] == "Grace"
    };
    while !is_followed().await {
        assert!(changed.elapsed() < Duration::from_secs(3), "it asks at the old address");
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(server.stop().await.code, Some(0));
}
