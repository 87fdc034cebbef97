//! What a service needs to mark its methods: `use portwright_application::prelude::*;`.
//!
//! Import it whole: `#[service]` reads and removes the markers within its block, so an import of `compute` alone would
//! count as unused.

pub use portwright_macros::{cached, compute, service};

pub use crate::cached::Cached;
pub use crate::compute::{Call, Compute, ComputeError, TaskContext, TaskError};
