//! What a language answers.

use pgtasker_worker::{StepError, StepOutcome};
use serde::Deserialize;

/// What the language answers to a step.
pub(crate) enum Reply {
    Outcome(StepOutcome),
    /// It has no such handler.
    Release,
    /// A transaction of its own has ended the step.
    Submitted,
    /// This is not one of them.
    Invalid(String),
}

impl Reply {
    /// Reads an answer; each is a text of its own, so that one that cannot be read is a failure of
    /// its own step only.
    pub(crate) fn read(text: &str) -> Self {
        #[derive(Deserialize)]
        struct Kind<'a> {
            #[serde(borrow)]
            r#type: Option<std::borrow::Cow<'a, str>>,
        }
        // Nearly all are outcomes, and read once.
        let error = match serde_json::from_str(text) {
            Ok(outcome) => return Self::Outcome(outcome),
            Err(error) => error,
        };
        match serde_json::from_str(text) {
            Ok(Kind { r#type: Some(kind) }) if kind == "release" => Self::Release,
            Ok(Kind { r#type: Some(kind) }) if kind == "submitted" => Self::Submitted,
            _ => Self::Invalid(error.to_string()),
        }
    }

    /// The failure for an answer that says nothing.
    pub(crate) fn invalid(why: &str) -> StepError {
        StepError::permanent(format!("the handler's answer is no outcome: {why}"))
            .code("invalid_result")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_keep_every_digit() {
        let digits = r#"{"type":"success","result":[123456789012345678901234567890,1E+400]}"#;
        let Reply::Outcome(outcome) = Reply::read(digits) else { panic!("no outcome") };
        let text = serde_json::to_string(&outcome).unwrap();
        assert!(text.contains("123456789012345678901234567890"), "{text}");
    }

    #[test]
    fn what_is_no_answer_is_told() {
        for text in ["", "[", "{}", r#"{"type":"sucess"}"#, r#"{"type":"success","reslt":1}"#] {
            assert!(matches!(Reply::read(text), Reply::Invalid(_)), "{text}");
        }
        assert!(matches!(Reply::read(r#"{"type":"release"}"#), Reply::Release));
        assert!(matches!(Reply::read(r#"{"type":"submitted"}"#), Reply::Submitted));
    }
}
