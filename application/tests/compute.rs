//! The compute engine on the queue in memory: what is called, what becomes of it, and what when things go wrong.

mod calls;
mod leases;
mod retries;
mod stage;
mod stopping;
mod works;
