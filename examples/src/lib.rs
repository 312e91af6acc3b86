//! pgtasker-examples: workflows with real handlers, each runnable (`cargo run -p pgtasker-examples
//! --example linear`) and run as a test. `tasker demo` is [`strikes`], the one on real data.
//! Nothing of the engine lives here; only the CLI and the tests use it.
//!
//! Most of them share the namespace `examples`: a namespace is a queue and the workers on it, and
//! [`register`] gives each worker the handlers of all of these, so that any of them can run any
//! step there, whichever program enqueued it. That is why a handler's name begins with its
//! example's. The strikes have a namespace of their own, since `tasker demo` shows its queue, and
//! so have the transfers between accounts and the orders.

pub mod approval;
pub mod dag;
pub mod diamond;
pub mod linear;
pub mod nested_approval;
pub mod orders;
pub mod strikes;
pub mod strikes_batch;
pub mod transfer;
pub mod tree;

mod engine;
mod error;
mod input;
mod runner;

pub use engine::Engine;
pub use error::{Error, Result};
pub use runner::{database_url, run_example, run_one};

use pgtasker_worker::WorkerBuilder;

/// Adds the handlers of all examples in the namespace `examples`.
pub fn register(builder: WorkerBuilder) -> WorkerBuilder {
    let examples: [fn(WorkerBuilder) -> WorkerBuilder; 7] = [
        linear::register,
        diamond::register,
        tree::register,
        dag::register,
        approval::register,
        nested_approval::register,
        strikes_batch::register,
    ];
    examples.into_iter().fold(builder, |builder, register| register(builder))
}
