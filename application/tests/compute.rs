//! The compute engine on the queue in memory: what is called, what becomes of it, and what when things go wrong.

mod calls;
mod chaos;
mod leases;
mod reconciler;
mod relay;
mod retries;
mod schedule;
mod stage;
mod stopping;
mod wire;
mod works;
