//! Restarts of servers behind a balancer, under load: nobody notices.

use std::net::{SocketAddr, TcpListener};

use portwright_testkit::servers::Haproxy;

use crate::common::Common;
use crate::durability::Random;
use crate::load::Load;
use crate::place::Place;
use crate::server::Server;
use crate::size::sized;
use crate::workers::until;

/// A server that keeps its port from start to start.
struct Behind {
    place: Place,
    port: u16,
    server: Option<Server>,
}

impl Behind {
    async fn start(common: &Common, random: &mut Random) -> Self {
        let mut behind = Self { place: Place::empty(), port: lasting_port(random), server: None };
        behind.start_again(common).await;
        behind
    }

    async fn start_again(&mut self, common: &Common) {
        let mut command = common.on(&self.place, "serve");
        // Twice what the balancer takes to learn that it is not ready any more, and the rest for a busy machine.
        command.env("PORT", self.port.to_string()).env("SHUTDOWN_READY_DELAY", "2s");
        self.server = Some(Server::start(&mut command).await);
    }

    async fn stop(&mut self) {
        let ended = self.server.take().expect("it runs").stop().await;
        assert_eq!(ended.code, Some(0), "{}", ended.log);
        assert!(ended.log.contains(r#""in_time":true"#), "{}", ended.log);
    }
}

/// A port that no connection is given while nobody listens there.
fn lasting_port(random: &mut Random) -> u16 {
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let mut candidates = std::iter::repeat_with(|| random.within(15_000..32_000));
    candidates
        .by_ref()
        .take(1_000)
        .filter_map(|port| port.try_into().ok())
        .find(is_free)
        .expect("a free port")
}

#[tokio::test(flavor = "multi_thread")]
async fn restarts_behind_a_balancer_fail_no_request_and_lose_no_job() {
    let mut random = Random::seeded();
    let common = Common::new();
    let mut servers = [Behind::start(&common, &mut random).await, Behind::start(&common, &mut random).await];
    let balancer = Haproxy::before(&servers.each_ref().map(|it| it.port));
    let both_are_up = async || until("both are up", async || balancer.are_up() == [true, true]).await;
    both_are_up().await;

    let ada = servers[0].server.as_ref().expect("it runs").api().registered("ada@example.com").await;
    let load = Load::begin(SocketAddr::from(([127, 0, 0, 1], balancer.port())), &ada);
    let restarts = sized(3, 20);
    for restart in 0..restarts {
        let server = &mut servers[restart % 2];
        server.stop().await;
        server.start_again(&common).await;
        both_are_up().await;
    }
    let tally = load.end().await;
    println!("{restarts} restarts: {tally:?}");
    assert!(tally.posted > 100, "{tally:?}");
    let queues = common.jobs(&servers[0].place).await.queue.queues().await.expect("an answer");
    let waiting: u64 = queues.iter().map(|queue| queue.ready).sum();
    assert_eq!(waiting, tally.posted as u64, "each request that was answered made one job");
    for mut server in servers {
        server.stop().await;
    }
}
