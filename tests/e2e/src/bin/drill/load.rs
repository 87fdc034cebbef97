//! Clients that keep the servers busy, each with something of its own, and note what was acknowledged. Each file has what
//! one kind of client does, and how it finds out in the end whether anything was lost.

pub(crate) mod jobs;
pub(crate) mod orders;
pub(crate) mod people;
pub(crate) mod pictures;
pub(crate) mod probes;
pub(crate) mod sessions;
pub(crate) mod transfers;
