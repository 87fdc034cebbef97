#![doc = include_str!("../README.md")]

pub mod argon2;
pub mod jwt;
pub mod keys;
pub mod seal;

pub use argon2::{Argon2Hasher, Capacity, Cost};
pub use jwt::JwtIssuer;
pub use keys::{KeyError, SigningKey};
pub use seal::AeadSealer;
