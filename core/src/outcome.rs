//! What a step's handler returns, in the one JSON form every language shares.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Number, Value};

/// The outcome of one execution of a step: `{"type":"success","result":…}`,
/// `{"type":"failure","message":…,"retryable":…,"code":…,"retry_after_ms":…}`, or one of the forms of dynamic
/// workflows. Which step may return which, the database knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum StepOutcome {
    /// The step is done; children see `result`.
    Success {
        /// Any JSON; `null` when the handler has nothing to say.
        #[serde(default)]
        result: Value,
    },
    /// The step failed.
    Failure(Failure),
    /// A decision step is done.
    Decision {
        /// Those of its direct children that come into being; may be empty.
        create_steps: Vec<String>,
        /// As that of a success.
        #[serde(default)]
        result: Value,
    },
    /// A batchable step is done.
    Batches {
        /// The batch worker that the cursors are for. May be left out where the batchable has only one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        worker_step: Option<String>,
        /// One instance each, any JSON; may be empty.
        cursors: Vec<Value>,
        /// As that of a success.
        #[serde(default)]
        result: Value,
    },
    /// The step is not done: its state is saved, and it goes back to its queue, its attempts counted anew.
    Checkpoint {
        /// Where to go on.
        cursor: Value,
        /// How many items have been done since the step's first claim.
        #[serde(default)]
        items_processed: u64,
        /// What has come of them.
        #[serde(default)]
        accumulated: Value,
    },
}

/// Why a step failed and whether trying again makes sense.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// For people; shown on the step, on the task, and in the audit.
    pub message: String,
    /// False: the step goes to `error` at once, whatever its attempts.
    #[serde(default = "yes")]
    pub retryable: bool,
    /// For programs: a short stable word of the handler's choice, or an SQLSTATE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Milliseconds to wait before the next attempt, instead of the template's backoff. Read from any number: a failure
    /// that asks for an odd wait may still be tried again.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "any_number")]
    pub retry_after_ms: Option<u64>,
}

/// A negative number is zero, one too large the largest, and a fraction is cut.
fn any_number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    let number = Option::<Number>::deserialize(from)?;
    let whole = |number: Number| {
        let beyond = if number.as_str().starts_with('-') { 0.0 } else { f64::INFINITY };
        // `as` saturates.
        number.as_u64().unwrap_or_else(|| number.as_f64().unwrap_or(beyond) as u64)
    };
    Ok(number.map(whole))
}

fn yes() -> bool {
    true
}

impl StepOutcome {
    /// Reads the JSON form. By way of its text: serde's tagged enums take no integer of more than 64 bits from a value.
    ///
    /// # Errors
    /// It is not one.
    pub fn from_json(outcome: &Value) -> serde_json::Result<Self> {
        serde_json::from_str(&outcome.to_string())
    }

    /// A success that carries `result`.
    pub fn success(result: impl Into<Value>) -> Self {
        Self::Success { result: result.into() }
    }

    /// A failure that may be tried again.
    pub fn retryable(message: impl Into<String>) -> Self {
        Self::Failure(Failure { message: message.into(), retryable: true, code: None, retry_after_ms: None })
    }

    /// A failure that must not be tried again.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self::Failure(Failure { message: message.into(), retryable: false, code: None, retry_after_ms: None })
    }

    /// A decision for these of the step's direct children; none is a decision too.
    pub fn decision<S: Into<String>>(create_steps: impl IntoIterator<Item = S>) -> Self {
        let create_steps = create_steps.into_iter().map(Into::into).collect();
        Self::Decision { create_steps, result: Value::Null }
    }

    /// One instance of the batch worker for each of these cursors.
    pub fn batches(cursors: Vec<Value>) -> Self {
        Self::Batches { worker_step: None, cursors, result: Value::Null }
    }

    /// Names the batch worker that the cursors of batches are for; needed where the batchable has several. Other
    /// outcomes stay as they are.
    pub fn for_worker(mut self, step: impl Into<String>) -> Self {
        if let Self::Batches { worker_step, .. } = &mut self {
            *worker_step = Some(step.into());
        }
        self
    }

    /// Saves the state of a step that goes on from there.
    pub fn checkpoint(cursor: Value, items_processed: u64, accumulated: Value) -> Self {
        Self::Checkpoint { cursor, items_processed, accumulated }
    }

    /// The same with this result. Failures and checkpoints have none: they stay as they are.
    pub fn with_result(mut self, value: impl Into<Value>) -> Self {
        if let Self::Success { result } | Self::Decision { result, .. } | Self::Batches { result, .. } =
            &mut self
        {
            *result = value.into();
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn outcomes_have_the_documented_json_form() {
        let success = serde_json::to_value(StepOutcome::success(json!({"a": 1}))).unwrap();
        assert_eq!(success, json!({"type": "success", "result": {"a": 1}}));
        let failure = serde_json::to_value(StepOutcome::permanent("no")).unwrap();
        assert_eq!(failure, json!({"type": "failure", "message": "no", "retryable": false}));
    }

    #[test]
    fn the_forms_of_dynamic_workflows_have_the_documented_json_form() {
        let forms = [
            (
                StepOutcome::decision(["a", "b"]).with_result(1),
                json!({"type": "decision", "create_steps": ["a", "b"], "result": 1}),
            ),
            (
                StepOutcome::decision(Vec::<String>::new()),
                json!({"type": "decision", "create_steps": [], "result": null}),
            ),
            (
                StepOutcome::batches(vec![json!({"start": 0, "end": 5}), json!("k")]).with_result("two"),
                json!({"type": "batches", "cursors": [{"start": 0, "end": 5}, "k"], "result": "two"}),
            ),
            (
                StepOutcome::batches(vec![]).for_worker("w"),
                json!({"type": "batches", "worker_step": "w", "cursors": [], "result": null}),
            ),
            (
                StepOutcome::checkpoint(json!(7), 7, json!({"sum": 1})),
                json!({"type": "checkpoint", "cursor": 7, "items_processed": 7, "accumulated": {"sum": 1}}),
            ),
        ];
        for (outcome, form) in forms {
            assert_eq!(serde_json::to_value(&outcome).unwrap(), form);
            assert_eq!(serde_json::from_value::<StepOutcome>(form).unwrap(), outcome);
        }
    }

    #[test]
    fn what_may_be_left_out_of_an_outcome_is_null() {
        let read = |form: Value| serde_json::from_value::<StepOutcome>(form);
        assert_eq!(
            read(json!({"type": "decision", "create_steps": ["a"]})).unwrap(),
            StepOutcome::decision(["a"])
        );
        assert_eq!(read(json!({"type": "batches", "cursors": []})).unwrap(), StepOutcome::batches(vec![]));
        let checkpoint = json!({"type": "checkpoint", "cursor": 1});
        assert_eq!(read(checkpoint).unwrap(), StepOutcome::checkpoint(json!(1), 0, Value::Null));
        for wrong in [
            json!({"type": "decision"}),
            json!({"type": "batches", "result": 1}),
            json!({"type": "checkpoint", "cursor": 1, "items_processed": -1}),
            json!({"type": "checkpoint", "cursor": 1, "items_processed": 1, "result": 1}),
        ] {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_what_has_a_result_takes_one() {
        assert_eq!(StepOutcome::permanent("no").with_result(1), StepOutcome::permanent("no"));
        let checkpoint = StepOutcome::checkpoint(json!(1), 2, json!(3));
        assert_eq!(checkpoint.clone().with_result(1), checkpoint);
        assert_eq!(checkpoint.clone().for_worker("w"), checkpoint);
    }

    #[test]
    fn a_failure_is_retryable_unless_it_says_otherwise() {
        let outcome: StepOutcome =
            serde_json::from_value(json!({"type": "failure", "message": "x"})).unwrap();
        assert_eq!(outcome, StepOutcome::retryable("x"));
    }
}
