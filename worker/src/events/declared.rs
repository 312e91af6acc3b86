//! What a template says about the events of a step.

use pgtasker_core::{StepOutcome, json_schema::InputSchema};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use std::sync::Arc;

/// Where an event goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Delivery {
    /// Into the queue of the namespace.
    Durable,
    /// To subscribers in the worker's process.
    Fast,
    /// Both.
    Broadcast,
}

impl Delivery {
    /// As templates and metrics call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Durable => "durable",
            Self::Fast => "fast",
            Self::Broadcast => "broadcast",
        }
    }
}

/// The results that an event tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Condition {
    Success,
    Failure,
    Always,
    Retry,
}

/// What a result means for its step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is done.
    Success,
    /// It goes on from a checkpoint.
    Checkpoint,
    /// There was nothing to do.
    Skip,
    /// It will be tried again.
    Retry,
    /// It has failed for good.
    Failure,
}

impl Fate {
    /// What came of the attempt with this number.
    pub(crate) fn of(outcome: &StepOutcome, attempt: i32, max_attempts: i32) -> Self {
        match outcome {
            StepOutcome::Failure(failure) if failure.retryable && attempt < max_attempts => {
                Self::Retry
            }
            StepOutcome::Failure(_) => Self::Failure,
            StepOutcome::Checkpoint { .. } => Self::Checkpoint,
            StepOutcome::Skip {} => Self::Skip,
            StepOutcome::Success { .. }
            | StepOutcome::Decision { .. }
            | StepOutcome::Batches { .. } => Self::Success,
        }
    }

    /// Whether events with this condition tell of it.
    pub(crate) fn meets(self, condition: Condition) -> bool {
        match condition {
            Condition::Always => true,
            // What has been done up to a checkpoint is not done again.
            Condition::Success => matches!(self, Self::Success | Self::Checkpoint),
            Condition::Failure => self == Self::Failure,
            Condition::Retry => self == Self::Retry,
        }
    }
}

/// One event that a step declares.
#[derive(Debug)]
pub(crate) struct Declared {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) delivery: Delivery,
    pub(crate) condition: Condition,
    /// Err: why it is no JSON Schema.
    schema: Option<Result<Arc<InputSchema>, String>>,
}

/// The same as the database tells it.
#[derive(Debug, Deserialize)]
pub(crate) struct EventRow {
    name: String,
    version: String,
    delivery: Delivery,
    condition: Condition,
    /// As text: what cannot be read costs its events, and no step of the template.
    schema: Option<Box<RawValue>>,
}

impl From<EventRow> for Declared {
    fn from(row: EventRow) -> Self {
        let EventRow { name, version, delivery, condition, schema } = row;
        let schema = schema.as_deref().filter(|schema| schema.get() != "null").map(compiled);
        Self {
            name,
            version,
            delivery,
            condition,
            schema: schema.map(|schema| schema.map(Arc::new)),
        }
    }
}

fn compiled(schema: &RawValue) -> Result<InputSchema, String> {
    let schema: Value = serde_json::from_str(schema.get())
        .map_err(|error| format!("input_schema is not a valid JSON Schema: {error}"))?;
    InputSchema::compile(&schema)
}

impl Declared {
    /// Why this payload must not be published.
    pub(crate) async fn problem(&self, payload: &Value) -> Option<String> {
        match self.schema.as_ref()? {
            Ok(schema) => {
                let (_, text) = schema.violation_apart(Arc::new(payload.clone())).await?;
                Some(format!("the payload breaks the event's schema: {text}"))
            }
            Err(problem) => Some(problem.replace("input_schema", "the event's schema")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_tells_of_what_it_is_named_after() {
        let of = |fate: Fate| {
            [Condition::Success, Condition::Failure, Condition::Always, Condition::Retry]
                .map(|c| fate.meets(c))
        };
        assert_eq!(of(Fate::Success), [true, false, true, false]);
        assert_eq!(of(Fate::Checkpoint), [true, false, true, false]);
        assert_eq!(of(Fate::Skip), [false, false, true, false]);
        assert_eq!(of(Fate::Retry), [false, false, true, true]);
        assert_eq!(of(Fate::Failure), [false, true, true, false]);
    }

    #[test]
    fn a_failure_is_the_last_when_no_attempt_is_left_or_none_would_help() {
        let again = StepOutcome::retryable("x");
        assert_eq!(Fate::of(&again, 2, 3), Fate::Retry);
        assert_eq!(Fate::of(&again, 3, 3), Fate::Failure);
        assert_eq!(Fate::of(&StepOutcome::permanent("x"), 1, 3), Fate::Failure);
        assert_eq!(Fate::of(&StepOutcome::decision(["a"]), 3, 3), Fate::Success);
    }
}
