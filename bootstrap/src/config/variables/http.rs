//! The variables of the edge: how much is done for requests at a time, and how long.

use std::time::Duration;

use super::super::duration::Bare;
use super::DefaultValue::{Is, Unset};
use super::{HOUR, MILLISECOND, Variable, parse};

pub(in crate::config) static HTTP_MAX_CONCURRENT: Variable<usize> = Variable::new(
    "HTTP_MAX_CONCURRENT",
    "a whole number from 1 to 100000",
    |text| parse::number(text, 1..=100_000),
    Unset(
        "as many as the database serves and lets wait (3 times DB_CONNECTION_LIMIT; 30 on SQLite), HASHING_THREADS and \
         HASHING_QUEUE together",
    ),
    "Requests that are worked on at a time. As many may wait for 100 ms; more answer 503, so that those that are taken are \
     answered in time. Probes never wait.",
);

pub(in crate::config) static HTTP_REQUEST_TIMEOUT: Variable<Duration> = Variable::new(
    "HTTP_REQUEST_TIMEOUT",
    "a duration from 1ms to 1h (a bare number counts milliseconds)",
    |text| parse::duration(text, Bare::Milliseconds, MILLISECOND..=HOUR),
    Is("30s"),
    "How long a request may take, and all that is asked for it; then it is 504. Uploads, and calls that wait for a job, have \
     longer.",
);
