#![doc = include_str!("../README.md")]

mod client;
mod frame;
mod path;
mod protocol;
mod server;

pub use client::QueueClient;
pub use server::QueueServer;
