//! pgtasker-worker: the library for handlers. Handlers are plain async functions, registered by
//! name; the worker claims steps, runs them, and submits their outcomes. Consumers of domain events
//! live here too. What an outcome leads to is decided in SQL. Programs of one's own call it, and
//! `tasker worker`, which has only the built-in handlers.
//!
//! ```no_run
//! use pgtasker_worker::{StepContext, StepError, StepOutcome};
//!
//! #[derive(serde::Deserialize)]
//! struct Reserved { amount: f64 }
//!
//! async fn charge_card(ctx: StepContext) -> Result<StepOutcome, StepError> {
//!     let reserved: Reserved = ctx.parent("reserve")?;
//!     if reserved.amount <= 0.0 {
//!         return Err(StepError::permanent("nothing to charge").code("no_amount"));
//!     }
//!     Ok(StepOutcome::success(serde_json::json!({"charged": reserved.amount})))
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), pgtasker_worker::ServeError> {
//!     pgtasker_worker::serve(|worker| {
//!         worker.namespace("orders").handler("charge_card", charge_card)
//!     })
//!     .await
//! }
//! ```
//!
//! [`serve`] makes a process of it, with signals, log, metrics, and configuration; [`Worker::run`]
//! runs one within a program of yours.
//!
//! Inside: a fetcher claims as many steps as there are free permits and sends them into the
//! dispatch channel; each runs on a task of its own; what comes of them goes into the completion
//! channel, from which everything that has gathered is submitted at once. Both channels are
//! bounded.

mod builder;
mod builtin;
mod capabilities;
mod claim;
mod context;
mod error;
mod events;
mod fields;
mod handler;
mod http_client;
mod meters;
mod outage;
mod process;
mod run;
mod shared;
mod submit;
pub mod testing;
mod worker;

#[cfg(test)]
mod fixtures;

pub use builder::{BuildError, WorkerBuilder};
pub use capabilities::{
    Api, ApiRequest, ApiResponse, Batch, BatchPages, Batchable, Checkpoint, Cursor, Decision,
    Instance, ParentPages,
};
pub use context::StepContext;
pub use error::StepError;
pub use events::{
    ConsumerBuildError, EventConsumer, EventConsumerBuilder, EventPublisher, EventSlot,
    EventSubscription, Publication, PublisherFuture,
};
pub use handler::{Handler, HandlerFuture, Resolver};
pub use pgtasker_core::{
    DomainEvent, Failure, StepOutcome,
    db::{DbOptions, connect},
    signals::shutdown as shutdown_signal,
    state::StepState,
};
pub use process::{ServeError, Served, serve};
pub use run::{Prepared, StepSlot, transaction::StepTransaction};
/// The version of sqlx that [`StepTransaction`] is of, for handlers' own statements.
pub use sqlx;
pub use tokio_util::sync::CancellationToken;
pub use worker::Worker;
