//! [`Streams`]: who follows jobs while how many do. A stream lasts, so the rate limit does not bound them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use poem::http::header::RETRY_AFTER;
use portwright_domain::user::UserId;

use crate::problem::{Problem, ProblemCode};

/// Streams at once.
const MOST: usize = 1_000;
/// Streams at once of one user.
const MOST_OF_USER: usize = 20;
/// In how many seconds to try again.
const LATER: u64 = 15;

/// Counts streams, in all and by user.
#[derive(Debug, Default)]
pub(crate) struct Streams(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    total: usize,
    by_user: HashMap<UserId, usize>,
}

/// A stream that may be; given up when dropped.
#[derive(Debug)]
pub(super) struct Place {
    streams: Arc<Streams>,
    user: UserId,
}

impl Streams {
    /// A place for one more stream of this user.
    ///
    /// # Errors
    /// 429 if the user has as many as they may; 503 if all have.
    pub(super) fn take(self: &Arc<Self>, user: UserId) -> Result<Place, Problem> {
        let refused =
            |code, detail| Err(Problem::new(code).with_detail(detail).with_header(RETRY_AFTER, LATER.into()));
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.total >= MOST {
            return refused(ProblemCode::Unavailable, "as many event streams are open as may be");
        }
        if open.by_user.get(&user).is_some_and(|count| *count >= MOST_OF_USER) {
            return refused(ProblemCode::RateLimited, "you have as many event streams open as you may");
        }
        open.total += 1;
        *open.by_user.entry(user).or_default() += 1;
        Ok(Place { streams: Arc::clone(self), user })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.streams.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.total -= 1;
        let Some(count) = open.by_user.get_mut(&self.user) else { return };
        *count -= 1;
        // Otherwise every user who ever came would stay.
        if *count == 0 {
            open.by_user.remove(&self.user);
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn user(number: u128) -> UserId {
        UserId(Uuid::from_u128(number))
    }

    #[test]
    fn a_user_has_a_share_and_gets_it_back() {
        let streams = Arc::new(Streams::default());
        let mut places: Vec<_> = (0..MOST_OF_USER).map(|_| streams.take(user(1))).collect();
        let refused = streams.take(user(1)).expect_err("the share is used up");
        assert_eq!(refused.code(), ProblemCode::RateLimited);
        assert!(streams.take(user(2)).is_ok());
        places.pop();
        assert!(streams.take(user(1)).is_ok());
        drop(places);
        assert!(streams.0.lock().expect("unpoisoned").by_user.is_empty());
    }

    #[test]
    fn all_users_together_are_bounded() {
        let streams = Arc::new(Streams::default());
        let places: Vec<_> = (0..MOST as u128).map(|number| streams.take(user(number))).collect();
        assert!(places.iter().all(Result::is_ok));
        let refused = streams.take(user(MOST as u128)).expect_err("all places are taken");
        assert_eq!(refused.code(), ProblemCode::Unavailable);
    }
}
