//! What a step's handler returns, in the one JSON form every language shares.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Number, Value};

/// The outcome of one execution of a step: `{"type":"success","result":…}`, a failure
/// (`{"type":"failure","message":…}` with `retryable`, `code`, and `retry_after_ms`), or one of
/// the forms of dynamic workflows. The database knows which step may return which.
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
        /// The batch worker that the cursors are for. May be left out where the batchable has only
        /// one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        worker_step: Option<String>,
        /// One instance each, any JSON; may be empty.
        cursors: Vec<Value>,
        /// As that of a success.
        #[serde(default)]
        result: Value,
    },
    /// The step is not done: its state is saved, it goes back to its queue, and its attempt
    /// counter restarts.
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
    /// There was nothing to do: the step is complete with null, and what depends on it does not
    /// come into being, unless its template says `when_false: complete`. Only for a step with
    /// `may_skip: true`.
    Skip {},
}

/// Why a step failed and whether trying again makes sense.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// For people; shown on the step, on the task, and in the audit.
    #[serde(default = "no_message", deserialize_with = "text")]
    pub message: String,
    /// False: the step goes to `error` at once, whatever its attempts.
    #[serde(default = "yes", deserialize_with = "yes_or")]
    pub retryable: bool,
    /// For programs: a short stable word of the handler's choice, or an SQLSTATE.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "word")]
    pub code: Option<String>,
    /// Milliseconds to wait before the next attempt, instead of the template's backoff.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "millis")]
    pub retry_after_ms: Option<u64>,
}

/// As the database takes it: the longest delay, 11 days.
const MAX_DELAY_MS: f64 = 999_999_999.0;

fn yes() -> bool {
    true
}

fn no_message() -> String {
    "the handler gave no message".to_owned()
}

/// Only false says that trying again is of no use.
fn yes_or<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(Value::deserialize(deserializer)? != Value::Bool(false))
}

/// A failure is no other failure for what it says beside: whatever stands for its message is one.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(word(deserializer)?.filter(|text| !text.is_empty()).unwrap_or_else(no_message))
}

fn word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    })
}

/// Rounded, and cut at both ends; of what is no number nothing.
fn millis<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let number = match Value::deserialize(deserializer)? {
        Value::Number(number) => Some(saturating(&number)),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    let number = number.filter(|number: &f64| !number.is_nan());
    Ok(number.map(|number| number.round().clamp(0.0, MAX_DELAY_MS) as u64))
}

/// Beyond what a double holds: the largest, or the smallest.
fn saturating(number: &Number) -> f64 {
    let beyond = if number.as_str().starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY };
    number.as_f64().unwrap_or(beyond)
}

impl StepOutcome {
    /// All that [`StepOutcome::kind`] may say.
    pub const KINDS: [&str; 6] =
        ["success", "failure", "decision", "batches", "checkpoint", "skip"];

    /// Its `type` in JSON, as logs, traces, and metrics name it too.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Success { .. } => "success",
            Self::Failure(_) => "failure",
            Self::Decision { .. } => "decision",
            Self::Batches { .. } => "batches",
            Self::Checkpoint { .. } => "checkpoint",
            Self::Skip {} => "skip",
        }
    }

    /// Reads the JSON form. By way of its text: serde's tagged enums take no integer of more than
    /// 64 bits from a value.
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
        Self::Failure(Failure {
            message: message.into(),
            retryable: true,
            code: None,
            retry_after_ms: None,
        })
    }

    /// A failure that must not be tried again.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self::Failure(Failure {
            message: message.into(),
            retryable: false,
            code: None,
            retry_after_ms: None,
        })
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

    /// Names the batch worker that the cursors of batches are for; needed where the batchable has
    /// several. Other outcomes stay as they are.
    pub fn for_worker(mut self, step: impl Into<String>) -> Self {
        match &mut self {
            Self::Batches { worker_step, .. } => *worker_step = Some(step.into()),
            Self::Success { .. }
            | Self::Failure(_)
            | Self::Decision { .. }
            | Self::Checkpoint { .. }
            | Self::Skip {} => {}
        }
        self
    }

    /// Saves the state of a step that goes on from there.
    pub fn checkpoint(cursor: Value, items_processed: u64, accumulated: Value) -> Self {
        Self::Checkpoint { cursor, items_processed, accumulated }
    }

    /// There was nothing to do: only for a step with `may_skip: true`.
    pub fn skip() -> Self {
        Self::Skip {}
    }

    /// The same with this result. Failures, checkpoints, and skips have none: they stay as they
    /// are.
    pub fn with_result(mut self, value: impl Into<Value>) -> Self {
        match &mut self {
            Self::Success { result }
            | Self::Decision { result, .. }
            | Self::Batches { result, .. } => *result = value.into(),
            Self::Failure(_) | Self::Checkpoint { .. } | Self::Skip {} => {}
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
                StepOutcome::batches(vec![json!({"start": 0, "end": 5}), json!("k")])
                    .with_result("two"),
                json!({
                    "type": "batches",
                    "cursors": [{"start": 0, "end": 5}, "k"],
                    "result": "two",
                }),
            ),
            (
                StepOutcome::batches(vec![]).for_worker("w"),
                json!({"type": "batches", "worker_step": "w", "cursors": [], "result": null}),
            ),
            (
                StepOutcome::checkpoint(json!(7), 7, json!({"sum": 1})),
                json!({
                    "type": "checkpoint",
                    "cursor": 7,
                    "items_processed": 7,
                    "accumulated": {"sum": 1},
                }),
            ),
            (StepOutcome::skip().with_result(1), json!({"type": "skip"})),
        ];
        for (outcome, form) in forms {
            assert_eq!(serde_json::to_value(&outcome).unwrap(), form);
            assert_eq!(serde_json::from_value::<StepOutcome>(form).unwrap(), outcome);
        }
    }

    #[test]
    fn kinds_are_the_types_in_json() {
        let one_of_each = [
            StepOutcome::success(1),
            StepOutcome::permanent("no"),
            StepOutcome::decision(["a"]),
            StepOutcome::batches(vec![]),
            StepOutcome::checkpoint(json!(1), 0, Value::Null),
            StepOutcome::skip(),
        ];
        for (outcome, kind) in one_of_each.iter().zip(StepOutcome::KINDS) {
            assert_eq!(outcome.kind(), kind);
            assert_eq!(serde_json::to_value(outcome).unwrap()["type"], kind);
        }
        // serde names all there are.
        let error = serde_json::from_value::<StepOutcome>(json!({"type": "?"})).unwrap_err();
        let all = StepOutcome::KINDS.map(|kind| format!("`{kind}`")).join(", ");
        assert!(error.to_string().ends_with(&all), "{error}");
    }

    #[test]
    fn what_may_be_left_out_of_an_outcome_is_null() {
        let read = |form: Value| serde_json::from_value::<StepOutcome>(form);
        assert_eq!(
            read(json!({"type": "decision", "create_steps": ["a"]})).unwrap(),
            StepOutcome::decision(["a"])
        );
        assert_eq!(
            read(json!({"type": "batches", "cursors": []})).unwrap(),
            StepOutcome::batches(vec![])
        );
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
    fn a_failure_stays_the_one_it_is_whatever_stands_in_its_other_fields() {
        let read = |form: Value| match serde_json::from_value(form).unwrap() {
            StepOutcome::Failure(failure) => failure,
            other => panic!("no failure: {other:?}"),
        };
        for (given, taken) in [
            (json!(1500.0), Some(1_500)),
            (json!(-1), Some(0)),
            (json!(2_592_000_000_u64), Some(999_999_999)),
            (json!("20"), Some(20)),
            (json!(null), None),
            (json!(true), None),
            (json!({}), None),
        ] {
            let failure = read(json!({"type": "failure", "message": "x", "retry_after_ms": given}));
            assert_eq!((failure.retryable, failure.retry_after_ms), (true, taken));
        }
        let failure = read(json!({"type": "failure", "code": 503, "retryable": null}));
        assert_eq!(
            (failure.code.as_deref(), failure.message.as_str()),
            (Some("503"), "the handler gave no message")
        );
        assert!(failure.retryable);
        assert!(
            read(json!({"type": "failure", "retryable": "no"})).retryable,
            "only false is false"
        );
    }

    #[test]
    fn a_failure_is_retryable_unless_it_says_otherwise() {
        let outcome: StepOutcome =
            serde_json::from_value(json!({"type": "failure", "message": "x"})).unwrap();
        assert_eq!(outcome, StepOutcome::retryable("x"));
    }
}
