//! Submitting: what came of the steps, in few calls of the database.

mod calls;
mod completion;
mod report;

pub(crate) use calls::{PgSubmitter, Submitter};
pub(crate) use completion::{CompletionActor, capacity};
pub(crate) use report::{Completed, Finished, Report, SHUT_DOWN, StepResult, SubmitElement};
