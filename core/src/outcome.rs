//! What a step's handler returns, in the one JSON form every language shares.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The outcome of one execution of a step: `{"type":"success","result":…}` or
/// `{"type":"failure","message":…,"retryable":…,"code":…,"retry_after_ms":…}`.
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
    /// Milliseconds to wait before the next attempt, instead of the template's backoff.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

fn yes() -> bool {
    true
}

impl StepOutcome {
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
    fn a_failure_is_retryable_unless_it_says_otherwise() {
        let outcome: StepOutcome =
            serde_json::from_value(json!({"type": "failure", "message": "x"})).unwrap();
        assert_eq!(outcome, StepOutcome::retryable("x"));
    }
}
