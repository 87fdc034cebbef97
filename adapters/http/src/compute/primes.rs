//! The JSON of `compute.primes`: what clients send and get.

use poem_openapi::Object;
use portwright_application::primes::{PrimesError, PrimesFound, PrimesQuery};
use portwright_domain::Invalid;
use serde::Serialize;
use serde_json::Value;

use super::run::Trouble;
use crate::body::JsonShape;
use crate::fields::Fields;
use crate::jobs::body::JobBody;

/// Below which number to look for primes.
#[derive(Debug, Object)]
#[oai(rename = "PrimesQuery")]
pub(super) struct PrimesQueryBody {
    /// The number itself does not count.
    #[oai(validator(minimum(value = "0"), maximum(value = "1000000000")))]
    below: u64,
}

impl JsonShape for PrimesQueryBody {
    type Parsed = PrimesQuery;

    fn read(fields: &mut Fields) -> Option<PrimesQuery> {
        Some(PrimesQuery { below: fields.required("below", below)? })
    }
}

/// A whole number in any spelling: `1e3` and `1000.0` are one, as JSON knows no integers.
fn below(value: &Value) -> Result<u64, Invalid> {
    let out_of_range = || Invalid::new("out-of-range", "from 0 to 1000000000");
    let Value::Number(number) = value else { return Err(Invalid::new("invalid-type", "must be a number")) };
    let whole = match (number.as_u64(), number.as_f64()) {
        (Some(whole), _) => whole,
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is whole and in the range"
        )]
        (None, Some(float)) if (0.0..=1e9).contains(&float) => {
            if float.fract() != 0.0 {
                return Err(Invalid::new("invalid-type", "must be a whole number"));
            }
            float as u64
        }
        _ => return Err(out_of_range()),
    };
    if whole <= PrimesQuery::MOST { Ok(whole) } else { Err(out_of_range()) }
}

/// The primes that were found.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "PrimesFound")]
pub(super) struct PrimesFoundBody {
    /// How many there are.
    count: u64,
    /// The largest of them; null if there is none.
    largest: Option<u64>,
}

impl From<PrimesFound> for PrimesFoundBody {
    fn from(found: PrimesFound) -> Self {
        let PrimesFound { count, largest } = found;
        Self { count, largest }
    }
}

/// The result, and the job that it is of.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "PrimesResult")]
pub(super) struct PrimesBody {
    pub(super) result: PrimesFoundBody,
    /// Absent where finished jobs are not kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) job: Option<JobBody>,
}

impl From<PrimesError> for Trouble {
    fn from(error: PrimesError) -> Self {
        match error {
            PrimesError::Compute(error) => Self::Engine(error),
            own @ (PrimesError::TooLarge { .. } | PrimesError::Stopped) => Self::task(&own),
        }
    }
}
