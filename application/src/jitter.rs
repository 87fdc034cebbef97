//! Randomness to spread what would otherwise happen at one moment, and to tell apart what happens.

use std::hash::{BuildHasher, Hasher, RandomState};

/// From 0 to 1.
pub(crate) fn random_share() -> f64 {
    f64::from(u32::try_from(random_bits() >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}

/// Not for secrets. The standard library seeds every `RandomState` differently, which is random enough to spread tries and
/// to tell traces apart.
pub(crate) fn random_bits() -> u64 {
    RandomState::new().build_hasher().finish()
}
