//! The kit's own adapters keep the promises of their ports.

#![expect(clippy::unused_async, reason = "a suite awaits its fixture, which most adapters take time to make")]

use std::sync::Arc;

use portwright_domain::ports::{Clock, IdGenerator};
use portwright_testkit::{Fixture, ManualClock, SequentialIds};

async fn manual_clock() -> Fixture<dyn Clock> {
    let clock = Arc::new(ManualClock::default());
    Fixture::<dyn Clock>::new(clock.clone()).with_clock(clock)
}
portwright_testkit::clock_contract!(manual_clock);

async fn sequential_ids() -> Fixture<dyn IdGenerator> {
    let clock = Arc::new(ManualClock::default());
    Fixture::<dyn IdGenerator>::new(Arc::new(SequentialIds::new(clock.clone()))).with_clock(clock)
}
portwright_testkit::id_generator_contract!(sequential_ids);
