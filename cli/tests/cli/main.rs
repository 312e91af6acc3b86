//! The tests of the program, one file a subject, as one program: they share a PostgreSQL server,
//! and link once.
//!
//! `cargo test -p pgtasker-cli --test cli up::` runs those of one file.
#![allow(clippy::disallowed_methods, reason = "a test may hang, and fails then")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod api;
mod bench;
mod commands;
mod config;
mod dynamic;
mod events;
mod http;
mod metrics;
mod names;
mod operators;
mod pooler;
mod recovery;
mod roles;
mod secrets;
mod security;
mod support;
mod tls;
mod traces;
mod up;
