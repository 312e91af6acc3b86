//! The HTTP API against a real database, as a client sees it.
#![allow(clippy::disallowed_methods, reason = "a test may hang, and fails then")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod access;
mod contract;
mod documented;
mod events;
mod limits;
mod namespaces;
mod numbers;
mod outage;
mod problems;
mod server;
mod tokens;
