//! What is logged of database servers: a warning is something that somebody should look at.

use portwright_testkit::servers::{Postgres, Stop};
use tokio::process::Command;

use crate::place::Place;
use crate::server::Server;

/// A server on a database and its replica.
fn on(place: &Place, primary: &str, replica: &str) -> Command {
    let mut command = place.command(["serve"]);
    command.envs([("DATABASE_URL", primary), ("DATABASE_REPLICA_URLS", replica)]);
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn a_usual_start_warns_of_nothing_and_a_replica_that_goes_or_is_not_there_is_worth_a_warning() {
    let primary = Postgres::primary();
    let standby = primary.standby();
    let database = primary.fresh_database();
    standby.await_database(&database);
    let (place, urls) = (Place::empty(), [primary.url(&database), standby.url(&database)]);
    let [on_primary, on_standby] = &urls;

    let server = Server::start(&mut on(&place, on_primary, on_standby)).await;
    server.api().get("/health/ready").await.expect(200);
    let ended = server.stop().await;
    let warns = |line: &&str| line.contains(r#""level":"WARN""#) || line.contains(r#""level":"ERROR""#);
    assert_eq!(ended.log.lines().find(warns), None);
    assert!(ended.log.contains(r#""level":"INFO""#), "{}", ended.log);

    let server = Server::start(&mut on(&place, on_primary, on_standby)).await;
    standby.stop(Stop::Kill);
    let told = server.logged("a database server has changed its role").await;
    assert_eq!((told["was"].as_str(), told["is"].as_str()), (Some("standby"), Some("away")));
    assert_eq!(told["level"], "WARN");
    server.stop().await;

    let server = Server::start(&mut on(&place, on_primary, on_standby)).await;
    let told = server.logged("a database server does not answer; the others do without it").await;
    assert!(told["server"].as_str().is_some_and(|it| it.contains(&standby.port().to_string())), "{told}");
    server.stop().await;
}
