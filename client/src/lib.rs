//! pgtasker-client: what people and programs ask of Tasker, once: the types, the calls on any
//! connection, and the trait [`Client`] over them, the same over the database and over the HTTP
//! API. The CLI, the API's routes, and programs of one's own call it. The calls of workers and
//! orchestrators live in their own crates; routes and commands, in api and cli.
//!
//! ```no_run
//! # async fn example() -> pgtasker_client::Result<()> {
//! use serde_json::json;
//! use pgtasker_client::{Client, HttpClient, NewTask};
//!
//! let client = HttpClient::new("https://tasker.example", Some("tk_…"))?;
//! let task = NewTask::new("orders", "fulfil").context(json!({"order_id": 7}));
//! let task_id = client.enqueue_task(&task).await?;
//! println!("{}", client.task_status(task_id).await?.state);
//! # Ok(())
//! # }
//! ```
//!
//! A program that writes to the same database enqueues in its own transaction instead:
//! [`calls::enqueue_task`].
//!
//! | folder | holds |
//! |---|---|
//! | `types` | what the calls take and give |
//! | `calls` | the calls over any executor |
//! | `client.rs` | the trait [`Client`] |
//! | `database` | [`DatabaseClient`]: the trait by the calls |
//! | `http` | [`HttpClient`]: the trait by requests |
//!
//! A call has one name: its SQL function's, here, as `operationId` of the HTTP API, and as noun and
//! verb on the command line. A call without a function is named after its view or what it shows.
//! `cli/tests/cli/names.rs` holds the four against each other.

pub mod calls;
mod client;
mod database;
mod error;
mod http;
mod types;

pub use client::Client;
pub use database::DatabaseClient;
pub use error::{Error, Result};
pub use http::{HttpClient, HttpClientBuilder};
pub use pgtasker_core::{
    DeadLetterReason, DeadLetterStatus, DomainEvent, EventPattern, HowStale, QueueKind, StepState,
    TaskState,
    template::{Applied, Problem, Report},
};
pub use types::*;
