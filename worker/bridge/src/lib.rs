//! pgtasker-bridge: a worker whose handlers are written in another language. It knows no language:
//! the modules of Python, TypeScript, and Ruby are thin layers on it, with one contract.
//!
//! The language starts a [`Bridge`], and from then on only calls it; nothing ever calls into the
//! language, so that no foreign thread needs its lock:
//!
//! - [`Bridge::poll`] waits for items, each a JSON text of its own with a `type`: `step` (run this
//!   handler), `cancel` (of a step that runs), `publication` (a publisher is asked), `event` (of a
//!   subscription), `domain_event` (of a consumer), `reply` (to [`Bridge::ask_later`]), `log`, and
//!   `stopped`, the last.
//! - [`Bridge::complete`] answers steps, publications, and domain events by their ids, many at
//!   once. A step's answer is the outcome as the database takes it, `{"type":"release"}` where
//!   there is no such handler, or `{"type":"submitted"}` after a transaction of its own.
//! - [`Bridge::ask`] does what a step needs from the worker: pages, HTTP, events, its own
//!   transaction.
//!
//! Leases and heartbeats run on threads of its own, whatever the language does with its own.

mod actor;
mod ask;
mod bridge;
mod call;
mod exact;
mod item;
mod log;
mod metrics;
mod options;
mod publisher;
mod queue;
mod reply;

pub use bridge::{Bridge, BridgeError};
pub use options::{ConsumerOptions, Options};
