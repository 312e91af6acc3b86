//! What every Tasker process shares: state machines, outcomes, errors, the template parser, the
//! database pool, and the schema installer.
//!
//! No queue loops and no HTTP live here. The rules themselves live in the database (`sql/`).

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
pub mod template;

pub use error::{Error, Result};
pub use event::DomainEvent;
pub use event_pattern::EventPattern;
pub use outcome::{Failure, StepOutcome};
pub use state::{StepState, TaskState};
