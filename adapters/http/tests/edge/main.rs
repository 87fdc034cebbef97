//! The server and the layers around the endpoints, seen from outside: over sockets wherever a socket matters.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

mod api;
mod client;
mod events;
mod framing;
mod layers;
mod measures;
mod overload;
mod problems;
mod server_limits;
mod shutdown;
