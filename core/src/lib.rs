//! pgtasker-core: what every Tasker process shares: outcomes, states, domain events, errors,
//! templates, JSON Schema, database connections, failpoints, and the installer of the schema.
//!
//! No loops over queues and no HTTP live here, nor what people ask of the engine (the crate
//! pgtasker-client). The rules are SQL functions (`sql/`). All crates but embedded use it.

pub mod bounds;
pub mod breaker;
pub mod call_as;
pub mod connection;
pub mod database_url;
pub mod db;
pub mod duration;
pub mod error;
pub mod event;
pub mod event_pattern;
pub mod failpoint;
pub mod health;
pub mod hosts;
pub mod json;
pub mod json_schema;
pub mod limited;
pub mod meters;
pub mod outcome;
pub mod pooler;
pub mod progress;
pub mod schema;
pub mod session;
pub mod signals;
pub mod state;
pub mod status;
pub mod template;
pub mod tk_code;

pub use error::{Error, Result};
pub use event::DomainEvent;
pub use event_pattern::EventPattern;
pub use outcome::{Failure, StepOutcome};
pub use state::{StepState, TaskState};
pub use status::{ClaimStatus, DeadLetterReason, DeadLetterStatus, HowStale, QueueKind};
pub use tk_code::TkCode;
