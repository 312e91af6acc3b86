//! What jsonb cannot hold, or a Rust worker not read again, becomes a clear error of its step
//! before it is sent: refused by the database it would cost its whole batch a second round.

use crate::StepError;
use pgtasker_core::{StepOutcome, json::is_storable};
use serde::Serialize;
use serde_json::Value;

/// The children's workers read 128 levels, of which the parents' names take one; the rest is for
/// what other languages put around it.
const MAX_DEPTH: usize = 100;
const NUMBER: &str = "a number has more than 131,072 digits before its point, or 16,383 behind it";
const NUL: &str = "a string holds the character NUL (\\u0000)";

/// How long a value is as JSON.
pub(crate) fn json_bytes(value: &impl Serialize) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // What has no form in JSON is not sent either: the call itself says so.
    serde_json::to_writer(&mut count, value).unwrap_or_default();
    count.0
}

/// The outcome, or what takes its place: a permanent failure for what cannot be stored.
pub(crate) fn storable(outcome: StepOutcome) -> StepOutcome {
    checked(outcome).unwrap_or_else(|error| StepOutcome::Failure(error.into()))
}

/// The outcome, or why it cannot be stored. A failure's own texts are only cleaned, so that the
/// failure is not lost.
pub(crate) fn checked(outcome: StepOutcome) -> Result<StepOutcome, StepError> {
    let mut outcome = trimmed(outcome);
    let refused = match &mut outcome {
        StepOutcome::Failure(failure) => {
            for text in std::iter::once(&mut failure.message).chain(&mut failure.code) {
                if text.contains('\0') {
                    *text = text.replace('\0', "\u{fffd}");
                }
            }
            None
        }
        StepOutcome::Success { result } => refusal("result", result),
        StepOutcome::Decision { create_steps, result } => create_steps
            .iter()
            .find_map(|step| refused_name("create_steps", step))
            .or_else(|| refusal("result", result)),
        StepOutcome::Batches { worker_step, cursors, result } => worker_step
            .as_ref()
            .and_then(|step| refused_name("worker_step", step))
            .or_else(|| {
                cursors.iter().enumerate().find_map(|(n, c)| refusal(&format!("cursors/{n}"), c))
            })
            .or_else(|| refusal("result", result)),
        StepOutcome::Checkpoint { cursor, items_processed: _, accumulated } => {
            refusal("cursor", cursor).or_else(|| refusal("accumulated", accumulated))
        }
        StepOutcome::Skip {} => None,
    };
    refused.map_or(Ok(outcome), Err)
}

/// Cuts off what is nested so deep that it is refused anyway. Dropped as it is, or gone through by
/// recursion, such a value would overflow the stack, which ends the process and every other step in
/// it.
pub(crate) fn trim(value: &mut Value) {
    let mut rest = vec![(value, 0)];
    while let Some((value, depth)) = rest.pop() {
        match value {
            Value::Array(_) | Value::Object(_) if depth > MAX_DEPTH + 1 => dismantle(value.take()),
            Value::Array(items) => rest.extend(items.iter_mut().map(|item| (item, depth + 1))),
            Value::Object(members) => {
                rest.extend(members.values_mut().map(|member| (member, depth + 1)))
            }
            _ => {}
        }
    }
}

/// The same for every part of an outcome.
pub(crate) fn trimmed(mut outcome: StepOutcome) -> StepOutcome {
    match &mut outcome {
        StepOutcome::Failure(_) | StepOutcome::Skip {} => {}
        StepOutcome::Success { result } | StepOutcome::Decision { result, .. } => trim(result),
        StepOutcome::Batches { cursors, result, .. } => {
            cursors.iter_mut().for_each(trim);
            trim(result);
        }
        StepOutcome::Checkpoint { cursor, accumulated, .. } => {
            trim(cursor);
            trim(accumulated);
        }
    }
    outcome
}

/// Drops a value level by level.
fn dismantle(value: Value) {
    let mut rest = vec![value];
    while let Some(value) = rest.pop() {
        match value {
            Value::Array(items) => rest.extend(items),
            Value::Object(members) => rest.extend(members.into_iter().map(|(_, member)| member)),
            _ => {}
        }
    }
}

/// Why a step cannot have this name.
fn refused_name(what: &str, name: &str) -> Option<StepError> {
    name.contains('\0')
        .then(|| invalid(what, NUL, &format!("{:?}", name.replace('\0', "\u{fffd}"))))
}

/// Why a part of an outcome cannot be stored, and where: a JSON Pointer into it.
pub(crate) fn refusal(what: &str, value: &Value) -> Option<StepError> {
    let mut path = Vec::new();
    let problem = problem(value, &mut path)?;
    let mut place: String = path.iter().map(|key| format!("/{}", key.escaped())).collect();
    if path.len() > 10 {
        // The way into a deep value says little, and its text could be as large as the value.
        place =
            path[..10].iter().map(|key| format!("/{}", key.escaped())).collect::<String>() + "/…";
    }
    let place = if place.is_empty() { "the whole".to_owned() } else { place };
    Some(invalid(what, problem, &place))
}

fn invalid(what: &str, problem: &str, place: &str) -> StepError {
    StepError::permanent(format!("the step's {what} cannot be stored: {problem}, at {place}"))
        .code("invalid_result")
}

/// One part of a JSON Pointer.
enum Key<'a> {
    Name(&'a str),
    Index(usize),
}

impl Key<'_> {
    fn escaped(&self) -> String {
        match self {
            Self::Name(name) => {
                name.replace('~', "~0").replace('/', "~1").replace('\0', "\u{fffd}")
            }
            Self::Index(index) => index.to_string(),
        }
    }
}

/// The first problem; `path` leads to it.
fn problem<'a>(value: &'a Value, path: &mut Vec<Key<'a>>) -> Option<&'static str> {
    if path.len() > MAX_DEPTH {
        // Also what `trim` has left of it.
        return Some("it is nested more than 100 levels deep");
    }
    match value {
        Value::String(text) => text.contains('\0').then_some(NUL),
        Value::Number(number) => (!is_storable(number)).then_some(NUMBER),
        Value::Array(items) => items.iter().enumerate().find_map(|(index, item)| {
            path.push(Key::Index(index));
            let found = problem(item, path);
            if found.is_none() {
                path.pop();
            }
            found
        }),
        Value::Object(members) => members.iter().find_map(|(name, member)| {
            path.push(Key::Name(name));
            let found = if name.contains('\0') { Some(NUL) } else { problem(member, path) };
            if found.is_none() {
                path.pop();
            }
            found
        }),
        Value::Null | Value::Bool(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgtasker_core::Failure;
    use serde_json::json;

    fn failure(outcome: StepOutcome) -> Failure {
        match storable(outcome) {
            StepOutcome::Failure(failure) => failure,
            stored => panic!("stored: {stored:?}"),
        }
    }

    #[test]
    fn a_nul_anywhere_is_a_permanent_error_that_names_its_place() {
        let result = json!({"a": [1, {"x/y~z": "b\0c"}]});
        let failure = failure(StepOutcome::success(result));
        assert_eq!((failure.retryable, failure.code.as_deref()), (false, Some("invalid_result")));
        assert_eq!(
            failure.message,
            "the step's result cannot be stored: a string holds the character NUL (\\u0000), at \
             /a/1/x~1y~0z"
        );
    }

    #[test]
    fn a_nul_in_a_name_or_alone_is_found_too() {
        assert!(
            failure(StepOutcome::success(json!({"n": {"a\0": 1}})))
                .message
                .ends_with("at /n/a\u{fffd}")
        );
        assert!(failure(StepOutcome::success("\0")).message.ends_with("at the whole"));
    }

    #[test]
    fn what_is_nested_too_deep_is_refused_before_it_is_sent() {
        let nested = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!([inner]));
        assert!(storable(StepOutcome::success(nested(100))) == StepOutcome::success(nested(100)));
        let failure = failure(StepOutcome::success(nested(101)));
        assert!(
            failure.message.contains("more than 100 levels deep, at /0/0/0/0/0/0/0/0/0/0/…"),
            "{failure:?}"
        );
    }

    /// A million levels overflow any stack.
    #[test]
    fn what_is_nested_beyond_any_stack_is_refused_and_dropped_level_by_level() {
        let nested =
            |inner: &dyn Fn(Value) -> Value| (0..1_000_000).fold(json!(1), |value, _| inner(value));
        let array = nested(&|value| Value::Array(vec![value]));
        let object =
            nested(&|value| Value::Object([("a".to_owned(), value)].into_iter().collect()));
        let message = failure(StepOutcome::success(array)).message;
        assert!(message.contains("more than 100 levels deep"), "{message}");
        let message = failure(StepOutcome::checkpoint(json!(1), 0, object)).message;
        assert!(message.contains("accumulated cannot be stored: it is nested"), "{message}");
    }

    #[test]
    fn everything_else_stays_and_only_numbers_that_jsonb_refuses_are_refused() {
        let result = json!({
            "max": u64::MAX,
            "min": i64::MIN,
            "large": 1e308,
            "emoji": "\u{1F600}",
            "none": null,
        });
        assert_eq!(storable(StepOutcome::success(result.clone())), StepOutcome::success(result));
        for digits in ["1e400", "123456789012345678901234567890", "0.12345678901234567890"] {
            let number: Value = serde_json::from_str(digits).unwrap();
            assert_eq!(
                storable(StepOutcome::success(number.clone())),
                StepOutcome::success(number)
            );
        }
        let beyond: Value = serde_json::from_str("[1, 1e131072]").unwrap();
        assert!(failure(StepOutcome::success(beyond)).message.ends_with("at /1"));
        // serde_json refuses lone surrogates when it reads them.
        assert!(serde_json::from_str::<Value>(r#""\ud800""#).is_err());
        assert_eq!(json!(f64::INFINITY), Value::Null);
    }

    #[test]
    fn every_part_of_an_outcome_is_looked_at_and_named() {
        let nul = || json!({"a": "\0"});
        let cases = [
            (StepOutcome::decision(["a", "b\0"]), "create_steps cannot be stored"),
            (StepOutcome::decision(["a"]).with_result(nul()), "result cannot be stored"),
            (
                StepOutcome::Batches {
                    worker_step: Some("\0".into()),
                    cursors: vec![],
                    result: Value::Null,
                },
                "worker_step",
            ),
            (StepOutcome::batches(vec![json!(1), nul()]), "cursors/1 cannot be stored"),
            (StepOutcome::batches(vec![json!(1)]).with_result(nul()), "result cannot be stored"),
            (StepOutcome::checkpoint(nul(), 1, json!(1)), "cursor cannot be stored"),
            (StepOutcome::checkpoint(json!(1), 1, nul()), "accumulated cannot be stored"),
        ];
        for (outcome, words) in cases {
            let failure = failure(outcome);
            assert_eq!(
                (failure.retryable, failure.code.as_deref()),
                (false, Some("invalid_result"))
            );
            assert!(failure.message.contains(words), "{words}: {}", failure.message);
        }
        let last = failure(StepOutcome::batches(vec![nul()]));
        assert!(last.message.ends_with("at /a"), "{}", last.message);
        for fine in [
            StepOutcome::decision(["a"]),
            StepOutcome::batches(vec![json!(1)]),
            StepOutcome::checkpoint(json!(1), 1, json!({})),
        ] {
            assert_eq!(storable(fine.clone()), fine);
        }
    }

    #[test]
    fn a_failure_keeps_its_texts_without_nul() {
        let outcome = StepOutcome::Failure(Failure {
            message: "a\0b".to_owned(),
            retryable: true,
            code: Some("c\0".to_owned()),
            retry_after_ms: None,
        });
        let failure = failure(outcome);
        assert_eq!(
            (failure.message.as_str(), failure.code.as_deref()),
            ("a\u{fffd}b", Some("c\u{fffd}"))
        );
        assert!(failure.retryable);
    }
}
