//! Randomness to spread what would otherwise happen at one moment.

use std::hash::{BuildHasher, Hasher, RandomState};

/// From 0 to 1. The standard library seeds every `RandomState` differently, which is random enough to spread tries.
pub(crate) fn random_share() -> f64 {
    let bits = RandomState::new().build_hasher().finish();
    f64::from(u32::try_from(bits >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}
