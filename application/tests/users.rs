//! Users: who may do what, and what a change does.

mod access;
mod changes;
mod last_admin;
mod lists;
mod versions;
