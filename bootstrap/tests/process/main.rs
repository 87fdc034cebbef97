//! The binary as a process of its own: what only a start, a signal, a terminal or `kill -9` shows.
#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

mod api;
mod common;
mod load;
mod place;
mod server;
mod size;
mod terminal;

mod demo;
mod doctor;
mod durability;
mod first_process;
mod first_run;
mod handover;
mod logs;
mod metrics;
mod migrate;
mod moving;
mod names;
mod readme_tour;
mod restarts;
mod second_server;
mod shutdown;
mod signing_keys;
mod slow_clients;
mod storage;
mod tls;
#[cfg(feature = "otlp")]
mod traces;
mod unreachable;
mod users_command;
mod workers;
#[path = "program/works.rs"]
mod works;
