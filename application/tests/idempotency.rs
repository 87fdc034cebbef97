//! Idempotency keys: one request runs, every other gets its answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use portwright_application::idempotency::{KEPT_FOR, RUNNING_FOR};
use portwright_domain::idempotency::{
    Claim, Fingerprint, IdempotencyKey, IdempotencyRecord, Progress, RecordedAnswer,
};
use portwright_domain::mock::{MockIdempotencyRepository, MockStore, MockUnitOfWork};
use portwright_domain::ports::{Clock, CommitToken, Event, Store, UnitOfWork};
use portwright_domain::{ErrorKind, PortError, Race, Timestamp};
use portwright_testkit::ManualClock;
use portwright_testkit::faults::{Fault, Flaky, When};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::world::World;

const REQUEST: Fingerprint = Fingerprint([1; 32]);
const ANOTHER: Fingerprint = Fingerprint([2; 32]);
const TICK: Duration = Duration::from_micros(1);
/// A claim of a request that nobody has tried before.
const FIRST: Claim = Claim::Granted { begun_at: ManualClock::START };

fn key_of(scope: &str, key: &str) -> IdempotencyKey {
    IdempotencyKey { scope: scope.to_owned(), key: key.to_owned() }
}

fn key() -> IdempotencyKey {
    key_of("ada /users", "a-key")
}

fn answered() -> RecordedAnswer {
    let headers = vec![("location".to_owned(), "/users/1".to_owned())];
    RecordedAnswer { status: 201, headers, body: Bytes::from_static(b"{}") }
}

async fn claim(world: &World, request: Fingerprint) -> Claim {
    world.services.idempotency.claim(&key(), request).await.expect("claiming works").value
}

async fn complete(world: &World, progress: Progress) {
    world.services.idempotency.complete(&key(), progress).await.expect("completing works");
}

#[tokio::test]
async fn the_first_request_runs_and_others_are_told_so() {
    let world = World::new();
    assert_eq!(claim(&world, REQUEST).await, FIRST);
    assert_eq!(claim(&world, REQUEST).await, Claim::StillRunning);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_claims_at_once_one_is_granted() {
    let world = Arc::new(World::new());
    let mut claims = JoinSet::new();
    for _ in 0..50 {
        let world = world.clone();
        claims.spawn(async move { claim(&world, REQUEST).await });
    }
    let claims = claims.join_all().await;
    assert_eq!(claims.iter().filter(|claim| **claim == FIRST).count(), 1);
    assert_eq!(claims.iter().filter(|claim| **claim == Claim::StillRunning).count(), 49);
}

#[tokio::test]
async fn a_key_is_for_one_request_whether_it_runs_or_is_answered() {
    let world = World::new();
    claim(&world, REQUEST).await;
    assert_eq!(claim(&world, ANOTHER).await, Claim::KeyReused);
    complete(&world, Progress::Answered(answered())).await;
    assert_eq!(claim(&world, ANOTHER).await, Claim::KeyReused);
    assert_eq!(claim(&world, REQUEST).await, Claim::Replay(answered()), "the refusal harmed nothing");
}

#[tokio::test]
async fn the_same_text_in_another_scope_is_another_key() {
    let world = World::new();
    for scope in ["ada /users", "bob /users", "ada /jobs"] {
        let claim = world.services.idempotency.claim(&key_of(scope, "a-key"), REQUEST).await;
        assert_eq!(claim.expect("claiming works").value, FIRST, "{scope}");
    }
}

#[tokio::test]
async fn an_answer_is_given_again_for_a_day() {
    let world = World::new();
    claim(&world, REQUEST).await;
    // The day begins with the answer, not with the claim.
    world.clock.advance(Duration::from_secs(30));
    complete(&world, Progress::Answered(answered())).await;
    world.clock.advance(KEPT_FOR - TICK);
    assert_eq!(claim(&world, REQUEST).await, Claim::Replay(answered()));
    world.clock.advance(TICK);
    assert_eq!(claim(&world, ANOTHER).await, Claim::Granted { begun_at: world.clock.now() });
}

#[tokio::test]
async fn an_answer_with_secrets_is_not_kept_but_its_key_is_used() {
    let world = World::new();
    claim(&world, REQUEST).await;
    complete(&world, Progress::Withheld).await;
    assert_eq!(claim(&world, REQUEST).await, Claim::AlreadyUsed);
    assert_eq!(claim(&world, ANOTHER).await, Claim::KeyReused);
    world.clock.advance(KEPT_FOR);
    assert_eq!(claim(&world, REQUEST).await, Claim::Granted { begun_at: world.clock.now() });
}

#[tokio::test]
async fn an_abandoned_key_may_be_used_again_for_anything() {
    let world = World::new();
    claim(&world, REQUEST).await;
    world.services.idempotency.abandon(&key()).await.expect("abandoning works");
    assert_eq!(claim(&world, ANOTHER).await, FIRST);
    assert_eq!(claim(&world, ANOTHER).await, Claim::StillRunning);
}

#[tokio::test]
async fn a_request_that_never_ends_counts_as_abandoned() {
    let world = World::new();
    claim(&world, REQUEST).await;
    world.clock.advance(RUNNING_FOR - TICK);
    assert_eq!(claim(&world, REQUEST).await, Claim::StillRunning);
    world.clock.advance(TICK);
    assert_eq!(claim(&world, REQUEST).await, FIRST);
    assert_eq!(claim(&world, REQUEST).await, Claim::StillRunning, "the claim is a new one");
}

#[tokio::test]
async fn a_new_try_of_a_request_knows_when_the_first_began() {
    let world = World::new();
    claim(&world, REQUEST).await;
    world.clock.advance(RUNNING_FOR);
    assert_eq!(claim(&world, REQUEST).await, FIRST, "its process died");
    world.clock.advance(TICK);
    world.services.idempotency.abandon(&key()).await.expect("abandoning works");
    assert_eq!(claim(&world, REQUEST).await, FIRST, "it failed");
    world.services.idempotency.abandon(&key()).await.expect("abandoning works");
    let now = Claim::Granted { begun_at: world.clock.now() };
    assert_eq!(claim(&world, ANOTHER).await, now, "another request has nothing to do with it");
}

#[tokio::test]
async fn to_complete_or_abandon_what_is_not_claimed_does_nothing() {
    let world = World::new();
    complete(&world, Progress::Answered(answered())).await;
    world.services.idempotency.abandon(&key()).await.expect("it is no error");
    assert_eq!(claim(&world, REQUEST).await, FIRST);
}

#[tokio::test]
async fn a_claim_forgets_keys_that_expired_a_day_ago() {
    let world = World::new();
    claim(&world, REQUEST).await;
    world.clock.advance(RUNNING_FOR + KEPT_FOR);
    let other = key_of("bob /users", "another-key");
    world.services.idempotency.claim(&other, REQUEST).await.expect("claiming works");
    let mut unit = world.unit().await;
    assert_eq!(unit.idempotency().find(&key()).await.expect("finding works"), None);
    assert!(unit.idempotency().find(&other).await.expect("finding works").is_some());
}

fn running_until(expires_at: Timestamp) -> IdempotencyRecord {
    let begun_at = ManualClock::START;
    IdempotencyRecord { key: key(), fingerprint: REQUEST, progress: Progress::Running, begun_at, expires_at }
}

/// A unit of work in which a claim finds this and inserts with this answer.
fn unit(found: Option<IdempotencyRecord>, inserted: Option<PortError>) -> Box<dyn UnitOfWork> {
    let mut keys = MockIdempotencyRepository::new();
    keys.expect_find().return_once(move |_| Ok(found));
    keys.expect_remove_expired().returning(|_| Ok(0));
    keys.expect_insert().return_once(move |_| inserted.map_or(Ok(()), Err));
    unit_of(keys)
}

fn unit_of(keys: MockIdempotencyRepository) -> Box<dyn UnitOfWork> {
    let mut unit = MockUnitOfWork::new();
    unit.expect_idempotency().return_var(Box::new(keys));
    unit.expect_rollback().returning(|| Ok(()));
    unit.expect_commit().returning(|| Ok(CommitToken::new("1".to_owned())));
    Box::new(unit)
}

fn world_of(units: Vec<Box<dyn UnitOfWork>>) -> World {
    let mut store = MockStore::new();
    let units = std::sync::Mutex::new(units.into_iter());
    store.expect_begin().returning(move || Ok(units.lock().expect("not poisoned").next().expect("a unit")));
    let store: Arc<dyn Store> = Arc::new(store);
    World::with(|setup| setup.store = store)
}

#[tokio::test(start_paused = true)]
async fn who_loses_the_race_for_a_key_looks_again_and_finds_the_winner() {
    let lost = PortError::conflict("idempotency.insert", "idempotency.key");
    let winner = running_until(ManualClock::START.plus(RUNNING_FOR));
    let world = world_of(vec![unit(None, Some(lost)), unit(Some(winner), None)]);
    assert_eq!(claim(&world, REQUEST).await, Claim::StillRunning);
    let retried = Event::TransactionRetried { operation: "idempotency.claim", race: Race::Rule };
    assert_eq!(world.events.count(&retried), 1);
}

#[tokio::test]
async fn an_expired_record_makes_way_however_many_others_have_expired() {
    let mut keys = MockIdempotencyRepository::new();
    keys.expect_find().returning(|_| Ok(Some(running_until(ManualClock::START))));
    keys.expect_remove().withf(|removed| *removed == key()).times(1).returning(|_| Ok(true));
    keys.expect_remove_expired().returning(|_| Ok(1_000));
    keys.expect_insert().times(1).returning(|_| Ok(()));
    assert_eq!(claim(&world_of(vec![unit_of(keys)]), REQUEST).await, FIRST);
}

#[tokio::test]
async fn a_store_that_is_away_grants_nothing() {
    let away = PortError::new(ErrorKind::Unavailable, "idempotency.insert", "connection refused");
    let world = world_of(vec![unit(None, Some(away))]);
    let answer = world.services.idempotency.claim(&key(), REQUEST).await;
    assert_eq!(answer.expect_err("refused").kind(), ErrorKind::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_settled_when_the_store_is_back_or_its_claim_is_about_to_end() {
    for kept in [Some(Progress::Answered(answered())), None] {
        let mut store = None;
        let world = World::with(|setup| {
            let flaky = Arc::new(Flaky::new(setup.store.clone()));
            store = Some(flaky.clone());
            setup.store = flaky;
        });
        let store = store.expect("a store");
        assert_eq!(claim(&world, REQUEST).await, FIRST);
        let (key, claimed) = (key(), Instant::now());
        let settle = world.services.idempotency.settle(&key, kept.clone(), claimed);
        store.cue(When::Every("store.begin"), Fault::Refuse(ErrorKind::Unavailable));
        let (settled, ()) = tokio::join!(settle, async {
            sleep(RUNNING_FOR / 2).await;
            store.recover();
        });
        settled.expect("the store is back");
        assert!(claimed.elapsed() < RUNNING_FOR / 2 + Duration::from_secs(2), "{:?}", claimed.elapsed());
        let expected = kept.clone().map_or(FIRST, |_| Claim::Replay(answered()));
        assert_eq!(claim(&world, REQUEST).await, expected);

        store.cue(When::Every("store.begin"), Fault::Refuse(ErrorKind::Unavailable));
        let claimed = Instant::now();
        let given_up = world.services.idempotency.settle(&key, kept, claimed).await;
        assert_eq!(given_up.expect_err("the store is away").kind(), ErrorKind::Unavailable);
        assert!(claimed.elapsed() < RUNNING_FOR, "by then it may be the key of another request");
    }
}
