//! The engine's tests, one file a subject, as one program: they share a PostgreSQL server, and link once.
//!
//! `cargo test -p tasker-tests claims::` runs those of one file.

mod backpressure;
mod bad_input;
mod batches;
mod builtin_handlers;
mod capabilities;
mod checkpoints;
mod claims;
mod client_api;
mod client_contract;
mod client_same;
mod dashboards;
mod dead_letters;
mod dynamic;
mod end_to_end;
mod events_tail;
mod failpoints;
mod fast_path;
mod foundations;
mod hot_updates;
mod http_client;
mod invariants;
mod lists;
mod lock_order;
mod locks;
mod model;
mod operations;
mod operators;
mod operators_bulk;
mod outage;
mod own_transaction;
mod plans;
mod races;
mod results;
mod retention;
mod roles;
mod schema;
mod state_machines;
mod support;
mod templates;
mod tidy;
mod traces;
mod typed_client;
mod world;
