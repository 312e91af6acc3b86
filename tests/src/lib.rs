//! pgtasker-tests: what the tests of all crates share: a PostgreSQL of their own, a database for
//! each test, and waiting for a condition instead of sleeping. The engine's own tests are in
//! `tests/engine/`, the fault test in `faults/`. Nothing that is released uses it.
//!
//! The server is found as `pgtasker-embedded` finds it; TASKER_TEST_PG_BIN, else TASKER_PG_BIN,
//! names the folder of another one, so that the same tests run on another version. One throwaway
//! server serves all tests of a process, with `cargo test` (many tests in a process) and with
//! cargo-nextest (one). It ends with the process, however that ends.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod api_server;
mod collector;
pub mod engine;
mod eventually;
pub mod handlers;
pub mod invariants;
pub mod metrics_docs;
mod pgbouncer;
mod proxy;
mod scram;
mod test_db;
mod web_server;

pub use api_server::ApiServer;
pub use collector::{Collector, Span};
pub use eventually::{Condition, eventually};
pub use pgbouncer::Pgbouncer;
pub use proxy::{Network, Proxy};
pub use test_db::{TestDb, start_server};
pub use web_server::{WebRequest, WebServer};

/// Whether LONG_TESTS is set, as `.ci/run` does: what is a sample without it is whole.
pub fn is_long() -> bool {
    std::env::var_os("LONG_TESTS").is_some()
}
