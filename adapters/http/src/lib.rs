#![doc = include_str!("../README.md")]

mod api;
mod avatars;
mod body;
mod body_digest;
mod compute;
mod conditional;
mod consistency;
mod cursor;
mod docs;
mod document;
mod fields;
mod health;
mod idempotency;
mod jobs;
mod json;
mod link;
mod management;
mod metrics;
mod middleware;
mod moment;
mod operations;
mod paging;
mod parameters;
mod path_id;
mod preference;
mod principal;
mod problem;
mod queues;
mod refusals;
mod server;
mod sessions;
mod tags;
mod trace;
mod transfers;
mod unknown_parameters;
mod users;
mod written;

pub use api::{ApiPolicy, ApiPorts, Draining, api, document};
pub use document::Document;
pub use health::HealthDetails;
pub use management::management;
pub use metrics::Exposition;
pub use middleware::{
    ClientAddress, ConcurrencyLimit, Handling, Identify, NetworkInvalid, Protected, Protection, Routes,
    Shares, TrustedProxies, WithDeadline, protect,
};
pub use problem::{FieldError, Problem, ProblemBody, ProblemCode, ProblemPages, ProblemUnknown};
pub use server::{RouteLimits, Server, ServerLimits};
