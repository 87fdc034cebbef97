//! What every [`Clock`] and every [`IdGenerator`] promises.
//!
//! An observer promises only not to block and not to panic; that is for the tests of each.

use std::collections::HashSet;
use std::time::Duration;

use portwright_domain::Timestamp;
use portwright_domain::ports::{Clock, IdGenerator};
use tokio::task::JoinSet;
use uuid::{Uuid, Variant};

use crate::contract::Fixture;

contract! {
    /// Every promise of [`Clock`](portwright_domain::ports::Clock), as a test of its own, given an async function that
    /// makes a `Fixture<dyn Clock>` whose time can be advanced, if only by waiting.
    clock_contract => ambient::CLOCK_PROMISES: Fixture<dyn Clock> {
        now_is_in_our_days,
        now_goes_on_with_time,
    }
}

contract! {
    /// Every promise of [`IdGenerator`](portwright_domain::ports::IdGenerator), as a test of its own, given an async
    /// function that makes a `Fixture<dyn IdGenerator>` whose clock can be advanced.
    id_generator_contract => ambient::ID_GENERATOR_PROMISES: Fixture<dyn IdGenerator> {
        an_id_is_a_uuid_of_version_7,
        an_id_was_never_given_before,
        an_id_is_greater_than_those_given_before,
        an_id_is_greater_than_those_of_earlier_times,
    }
}

async fn now_is_in_our_days(clock: Fixture<dyn Clock>) {
    let year = |text: &str| text.parse::<Timestamp>().expect("a moment");
    let now = clock.port.now();
    assert!(now > year("2024-01-01T00:00:00Z") && now < year("2224-01-01T00:00:00Z"), "{now}");
}

async fn now_goes_on_with_time(clock: Fixture<dyn Clock>) {
    const STEP: Duration = Duration::from_millis(10);
    let before = clock.port.now();
    clock.advance(STEP).await;
    let passed = clock.port.now().since(before);
    // A real clock may be corrected meanwhile, and a busy machine takes its time.
    assert!(passed >= STEP / 2 && passed < Duration::from_mins(1), "{passed:?} passed");
}

async fn an_id_is_a_uuid_of_version_7(ids: Fixture<dyn IdGenerator>) {
    for _ in 0..100 {
        let id = ids.port.next();
        assert_eq!((id.get_version_num(), id.get_variant()), (7, Variant::RFC4122), "{id}");
    }
}

async fn an_id_was_never_given_before(ids: Fixture<dyn IdGenerator>) {
    let mut threads = JoinSet::new();
    for _ in 0..4 {
        let port = ids.port.clone();
        threads.spawn_blocking(move || (0..5_000).map(|_| port.next()).collect::<Vec<Uuid>>());
    }
    let given = threads.join_all().await.concat();
    let different: HashSet<Uuid> = given.iter().copied().collect();
    assert_eq!(different.len(), given.len());
}

async fn an_id_is_greater_than_those_given_before(ids: Fixture<dyn IdGenerator>) {
    let given: Vec<Uuid> = (0..10_000).map(|_| ids.port.next()).collect();
    assert!(given.is_sorted_by(|a, b| a < b));
}

async fn an_id_is_greater_than_those_of_earlier_times(ids: Fixture<dyn IdGenerator>) {
    let mut last = ids.port.next();
    for _ in 0..100 {
        ids.advance(Duration::from_millis(1)).await;
        let next = ids.port.next();
        assert!(last < next, "{last} then {next}");
        last = next;
    }
}
