#![doc = include_str!("../README.md")]

mod api;
mod body;
mod conditional;
mod consistency;
mod cursor;
mod docs;
mod document;
mod fields;
mod idempotency;
mod json;
mod link;
mod middleware;
mod moment;
mod operations;
mod parameters;
mod principal;
mod problem;
mod refusals;
mod server;
mod sessions;
mod tags;
mod unknown_parameters;
mod users;

pub use api::{ApiPolicy, ApiPorts, api, document};
pub use document::Document;
pub use middleware::{
    ClientAddress, Identify, NetworkInvalid, Protected, Protection, Routes, TrustedProxies, protect,
};
pub use operations::HealthDetails;
pub use problem::{FieldError, Problem, ProblemBody, ProblemCode, ProblemPages, ProblemUnknown};
pub use server::{RouteLimits, Server, ServerLimits};
