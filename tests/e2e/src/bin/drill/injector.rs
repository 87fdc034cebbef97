//! Faults as they happen: each at its time, and healed after it.

use std::sync::Arc;
use std::time::Duration;

use portwright_testkit::servers::s3::Step;
use rustix::process::Signal;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep, sleep_until};

use crate::fault::{Fault, Peer, Thing, Wire, name_of};
use crate::journal::Journal;
use crate::node::Node;
use crate::plan::{Event, Plan};
use crate::stage::Stage;
use crate::weather::Weather;

/// Where faults happen.
#[derive(Clone)]
pub(crate) struct Scene {
    pub(crate) stage: Arc<Stage>,
    pub(crate) weather: Arc<Weather>,
    pub(crate) journal: Arc<Journal>,
}

impl Scene {
    /// Lets everything in the plan happen, counted from this moment; returns when the last fault has healed.
    pub(crate) async fn play(&self, plan: &Plan, began: Instant) {
        let mut under_way: JoinSet<Thing> = JoinSet::new();
        let mut failing: Vec<Thing> = Vec::new();
        for (number, event) in plan.0.iter().enumerate() {
            sleep_until(began + event.at).await;
            // Healing takes its time, and what is not whole cannot be hurt.
            while failing.contains(&event.fault.thing()) {
                let healed = under_way.join_next().await.expect("it is under way").expect("no panic");
                failing.retain(|thing| *thing != healed);
            }
            failing.push(event.fault.thing());
            let (scene, event) = (self.clone(), *event);
            under_way.spawn(async move {
                scene.happen(number, event).await;
                event.fault.thing()
            });
        }
        while let Some(healed) = under_way.join_next().await {
            healed.expect("no panic");
        }
    }

    async fn happen(&self, number: usize, event: Event) {
        let Event { lasts, fault, .. } = event;
        self.journal.note(format!("fault {number}: {fault}"));
        self.journal.count("faults");
        let window = self.weather.begins(fault);
        match fault {
            Fault::KillNode(_) | Fault::RestartNode(_) | Fault::FreezeNode(_) => {
                self.hurt_node(fault, lasts).await;
            }
            Fault::KillWorker(_) | Fault::FreezeWorkers(_) => self.hurt_workers(fault, lasts).await,
            Fault::Wire(node, peer, wire) => {
                let proxy = self.stage.wire(node, peer);
                proxy.trouble(wire.trouble());
                if matches!(wire, Wire::Refuse | Wire::Cut) {
                    proxy.cut();
                }
                sleep(lasts).await;
                proxy.heal();
                if wire == Wire::Blackhole {
                    // Bytes are missing in what passed: no protocol goes on from there.
                    proxy.cut();
                }
            }
            _ => {
                self.on_stage(move |stage| begin(stage, fault)).await;
                sleep(lasts).await;
                self.on_stage(move |stage| heal(stage, fault)).await;
            }
        }
        self.weather.healed(window);
        self.journal.note(format!("fault {number} has healed"));
    }

    async fn hurt_node(&self, fault: Fault, lasts: Duration) {
        let Thing::Node(number) = fault.thing() else { return };
        let node = &self.stage.nodes[number];
        match fault {
            Fault::KillNode(_) => {
                node.kill().await;
                sleep(lasts).await;
                node.start().await;
            }
            Fault::RestartNode(_) => {
                let status = node.stop().await;
                let ended = format!("server {} has stopped: status {status:?}", name_of(number));
                match status {
                    // 1 says that something did not end in time, which another fault may have held up.
                    Some(0 | 1) => self.journal.note(ended),
                    _ => self.journal.wrong(ended),
                }
                sleep(lasts).await;
                node.start().await;
            }
            _ => {
                node.signal(Signal::STOP);
                sleep(lasts).await;
                node.signal(Signal::CONT);
            }
        }
    }

    async fn hurt_workers(&self, fault: Fault, lasts: Duration) {
        let Thing::Node(number) = fault.thing() else { return };
        let workers = self.stage.nodes[number].workers();
        if matches!(fault, Fault::KillWorker(_)) {
            let killed = Node::signal_all(workers.get(..1).unwrap_or_default(), Signal::KILL);
            self.journal.note(format!("{killed} worker was there to be killed"));
            sleep(lasts).await;
        } else {
            Node::signal_all(&workers, Signal::STOP);
            sleep(lasts).await;
            Node::signal_all(&workers, Signal::CONT);
        }
    }

    /// Does something that blocks, such as ending a server, while everything else goes on.
    async fn on_stage(&self, act: impl FnOnce(&Stage) + Send + 'static) {
        let stage = self.stage.clone();
        spawn_blocking(move || act(&stage)).await.expect("no panic");
    }
}

fn begin(stage: &Stage, fault: Fault) {
    match fault {
        Fault::Stop(Peer::Redis, how) => stage.redis.stop(how),
        Fault::Stop(Peer::Files, _) => stage.files.stop(),
        Fault::Stop(peer, how) => stage.postgres(peer).stop(how),
        Fault::Freeze(Peer::Redis) => stage.redis.freeze(),
        Fault::Freeze(peer) => stage.postgres(peer).freeze(),
        Fault::PauseReplay => stage.standby.pause_replay(),
        Fault::Lag(by) => stage.standby.lag(by),
        Fault::FailFiles(fault, times) => stage.files.fail(times, Step::Any, fault),
        _ => {}
    }
}

fn heal(stage: &Stage, fault: Fault) {
    match fault {
        Fault::Stop(Peer::Redis, _) => stage.redis.start(),
        Fault::Stop(Peer::Files, _) => stage.files.start(),
        Fault::Stop(peer, _) => stage.postgres(peer).start(),
        Fault::Freeze(Peer::Redis) => stage.redis.thaw(),
        Fault::Freeze(peer) => stage.postgres(peer).thaw(),
        Fault::PauseReplay => stage.standby.resume_replay(),
        Fault::Lag(_) => stage.standby.lag(Duration::ZERO),
        Fault::FailFiles(..) => stage.files.recover(),
        _ => {}
    }
}
