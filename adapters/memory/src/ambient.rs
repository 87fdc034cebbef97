//! The real time and the real identities: [`SystemClock`] and [`UuidV7`].

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use portwright_domain::Timestamp;
use portwright_domain::ports::{Clock, IdGenerator};
use uuid::Uuid;
use uuid::timestamp::context::ContextV7;

/// The clock of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "this is the Clock that everybody else asks")]
        let now = SystemTime::now();
        match now.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => Timestamp::UNIX_EPOCH.plus(after),
            Err(before) => Timestamp::UNIX_EPOCH.minus(before.duration()),
        }
    }
}

/// UUIDs of version 7 at the time of an injected clock.
///
/// Within a millisecond a counter with a random start ascends (RFC 9562, section 6.2, method 1), and a clock that is set
/// back is not followed until it has caught up.
pub struct UuidV7 {
    clock: Arc<dyn Clock>,
    context: Mutex<ContextV7>,
}

impl UuidV7 {
    /// Identities at the time of this clock.
    #[must_use]
    pub const fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, context: Mutex::new(ContextV7::new()) }
    }
}

impl IdGenerator for UuidV7 {
    fn next(&self) -> Uuid {
        let since_1970: Duration = self.clock.now().since(Timestamp::UNIX_EPOCH);
        let moment =
            uuid::Timestamp::from_unix(&self.context, since_1970.as_secs(), since_1970.subsec_nanos());
        Uuid::new_v7(moment)
    }
}

impl fmt::Debug for UuidV7 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UuidV7").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use portwright_testkit::ManualClock;

    use super::*;

    #[test]
    fn a_clock_that_is_set_back_does_not_bring_ids_back() {
        let clock = Arc::new(ManualClock::default());
        let ids = UuidV7::new(clock.clone());
        let mut given = vec![ids.next()];
        for earlier in [1, 3_600, 86_400] {
            clock.set(ManualClock::START.minus(Duration::from_secs(earlier)));
            given.extend([ids.next(), ids.next()]);
        }
        clock.set(Timestamp::from_unix_micros(i64::MIN));
        given.push(ids.next());
        clock.set(ManualClock::START.plus(Duration::from_millis(1)));
        given.push(ids.next());
        assert!(given.is_sorted_by(|a, b| a < b), "{given:?}");
    }

    #[test]
    fn an_id_carries_the_time_of_the_clock() {
        let id = UuidV7::new(Arc::new(ManualClock::default())).next();
        let moment = id.get_timestamp().expect("version 7 has a time").to_unix();
        assert_eq!(i64::try_from(moment.0), Ok(ManualClock::START.unix_seconds()));
    }
}
