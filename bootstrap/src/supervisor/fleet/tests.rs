//! What happens to places, children and waits, moment by moment.

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const CRASH: End = End::Killed(9);

/// A fleet whose actions are carried out, in a time that a test moves.
struct World {
    fleet: Fleet,
    now: Instant,
    started: usize,
    told: Vec<(usize, Order)>,
}

impl World {
    fn with_places(places: usize) -> Self {
        let fleet = Fleet::new(places, 25 * SECOND);
        Self { fleet, now: Instant::now(), started: 0, told: Vec::new() }
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Start(at) => {
                    self.started += 1;
                    let worker = WorkerId::parse(&format!("worker-{}", self.started)).expect("a name");
                    self.fleet.started(at, worker, None, self.now);
                }
                Action::Tell(at, order) => self.told.push((at, order)),
            }
        }
    }

    fn resize(&mut self, wanted: usize) {
        let actions = self.fleet.resize(wanted, self.now);
        self.carry_out(actions);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        let actions = self.fleet.time_passes(self.now);
        self.carry_out(actions);
    }

    fn ready(&mut self, at: usize) {
        self.fleet.said(at, Said::Ready { tasks: vec!["a.b".to_owned()] }, self.now);
    }

    fn busy(&mut self, at: usize, running: usize, settled: u64) {
        self.fleet.said(at, Said::Busy { running, settled }, self.now);
    }

    fn end(&mut self, at: usize, end: End) -> Sequel {
        self.fleet.ended(at, end, self.now);
        self.fleet.buried(at, self.now)
    }

    fn is_held(&self, at: usize) -> bool {
        self.fleet.child(at).is_some()
    }
}

#[test]
fn as_many_are_started_as_are_wanted_and_there_is_room_for() {
    let mut world = World::with_places(3);
    world.resize(1);
    assert_eq!((world.started, world.fleet.workers()), (1, 1));
    world.resize(2);
    assert_eq!(world.started, 2);
    world.resize(9);
    assert_eq!((world.started, world.fleet.workers()), (3, 3));
    world.resize(9);
    assert_eq!(world.started, 3);
}

#[test]
fn a_child_that_ends_is_followed_by_another_after_its_wait() {
    let mut world = World::with_places(1);
    world.resize(1);
    world.ready(0);
    assert_eq!(world.end(0, CRASH), Sequel::Again(Duration::from_millis(100)));
    assert_eq!(world.fleet.due(), Some(world.now + Duration::from_millis(100)));
    world.pass(Duration::from_millis(99));
    assert_eq!(world.started, 1);
    world.pass(Duration::from_millis(1));
    assert_eq!(world.started, 2);
    assert_eq!(world.end(0, CRASH), Sequel::Again(Duration::from_millis(200)), "twice in a row");
    world.pass(SECOND);
    world.ready(0);
    assert_eq!(world.end(0, End::Stuck), Sequel::Again(Duration::ZERO));
}

#[test]
fn work_and_a_minute_of_health_make_up_for_crashes() {
    let mut world = World::with_places(1);
    world.resize(1);
    for _ in 0..6 {
        world.end(0, CRASH);
        world.pass(10 * SECOND);
    }
    assert!(world.fleet.is_crash_loop(0, world.now));
    assert_eq!(world.fleet.troubles(world.now).len(), 1);
    world.ready(0);
    world.pass(59 * SECOND);
    assert!(world.fleet.is_crash_loop(0, world.now));
    world.pass(SECOND);
    assert!(!world.fleet.is_crash_loop(0, world.now));
    assert_eq!(world.end(0, CRASH), Sequel::Again(Duration::from_millis(100)));

    world.pass(SECOND);
    world.end(0, CRASH);
    world.pass(SECOND);
    world.busy(0, 1, 5);
    assert_eq!(world.end(0, CRASH), Sequel::Again(Duration::from_millis(100)), "it had done some work");
}

#[test]
fn a_place_that_waits_or_is_refused_is_not_taken_by_another() {
    let mut world = World::with_places(3);
    world.resize(2);
    world.end(0, CRASH);
    assert_eq!(world.end(1, End::Refused(78)), Sequel::Never);
    world.resize(2);
    assert_eq!(world.started, 2);
    world.pass(SECOND);
    assert_eq!(world.started, 3);
    assert!(world.is_held(0) && !world.is_held(1) && !world.is_held(2));
    assert_eq!(world.fleet.troubles(world.now), ["one refuses to run (exit 78)"]);
}

#[test]
fn only_a_child_that_does_nothing_is_sent_away() {
    let mut world = World::with_places(3);
    world.resize(3);
    world.resize(1);
    assert_eq!(world.told, [], "they are not ready yet, and a job may wait for them");
    for at in 0..3 {
        world.ready(at);
    }
    world.busy(2, 1, 0);
    world.resize(2);
    assert_eq!(world.told, [(1, Order::Terminate)]);
    assert_eq!(world.fleet.workers(), 2, "who is on the way out does not count");
    world.resize(2);
    assert_eq!(world.told.len(), 1);
    assert_eq!(world.end(1, End::Finished), Sequel::Free);
    world.resize(3);
    assert!(world.is_held(1), "the place is free again");
}

#[test]
fn a_child_that_waits_to_be_started_is_the_first_to_be_one_too_many() {
    let mut world = World::with_places(2);
    world.resize(2);
    world.ready(0);
    world.end(1, CRASH);
    world.resize(1);
    world.pass(SECOND);
    assert_eq!((world.started, world.told.len()), (2, 0));
}

#[test]
fn a_child_that_never_becomes_ready_is_killed_and_counts_as_a_crash() {
    let mut world = World::with_places(1);
    world.resize(1);
    world.pass(30 * SECOND);
    assert_eq!(world.told, [(0, Order::Kill)]);
    assert_eq!(world.end(0, CRASH), Sequel::Again(Duration::from_millis(100)));
}

#[test]
fn stopping_asks_then_hurries_then_kills_and_starts_nobody() {
    let mut world = World::with_places(3);
    world.resize(3);
    world.ready(0);
    world.end(2, CRASH);
    let actions = world.fleet.stop(world.now + 20 * SECOND, world.now);
    world.carry_out(actions);
    assert_eq!(world.told, [(0, Order::Terminate), (1, Order::Terminate)]);
    assert_eq!(world.end(1, End::Finished), Sequel::Free);
    world.pass(20 * SECOND);
    assert_eq!(world.told[2..], [(0, Order::Hurry)]);
    world.pass(3 * SECOND);
    assert_eq!(world.told[3..], [(0, Order::Kill)]);
    assert_eq!(world.end(0, CRASH), Sequel::Free);
    world.resize(3);
    assert_eq!((world.started, world.fleet.workers(), world.fleet.due()), (3, 0, None));
}

#[test]
fn a_place_is_taken_until_the_jobs_of_its_child_are_given_back() {
    let mut world = World::with_places(1);
    world.resize(1);
    world.ready(0);
    world.fleet.ended(0, End::Stuck, world.now);
    assert_eq!(world.fleet.child(0).map(|child| child.stage), Some(Stage::Gone));
    world.pass(SECOND);
    world.resize(1);
    assert_eq!(world.started, 1);
    assert_eq!(world.fleet.buried(0, world.now), Sequel::Again(Duration::ZERO));
    world.pass(Duration::ZERO);
    assert_eq!(world.started, 2);
}

#[test]
fn what_children_say_is_counted() {
    let mut world = World::with_places(2);
    world.resize(2);
    world.busy(0, 3, 7);
    world.busy(1, 2, 0);
    assert_eq!(world.fleet.running(), 5);
    world.end(0, CRASH);
    world.busy(0, 9, 9);
    assert_eq!(world.fleet.running(), 2, "nobody is there who could have said it");
}
