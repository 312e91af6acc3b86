//! Reads JSON into a type of the handler's choice and, when it does not fit, says which field.
//! serde names a wrong type but not where it stands, so a failure is looked for a second time in text.

use crate::StepError;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// `value` as a `T`; `what` starts the path in the message, as in `context.customer.name: …`.
pub(crate) fn typed<T: DeserializeOwned>(what: &str, value: &Value) -> Result<T, StepError> {
    T::deserialize(value).map_err(|error| {
        let path = path_of_failure::<T>(value).unwrap_or_default();
        StepError::permanent(format!("{what}{path}: {error}")).code("invalid_input")
    })
}

/// The path to the value that `T` refuses: serde_json tells the line only when it reads text, and
/// pretty-printed text has one value a line.
fn path_of_failure<T: DeserializeOwned>(value: &Value) -> Option<String> {
    let text = serde_json::to_string_pretty(value).ok()?;
    let line = serde_json::from_str::<T>(&text).err()?.line();
    let lines: Vec<&str> = text.lines().take(line).collect();
    let depth = |i: usize| lines[i].len() - lines[i].trim_start().len();
    let closes = |i: usize| lines[i].trim_start().starts_with(['}', ']']);
    let mut at = lines.len().checked_sub(1)?;
    if closes(at) {
        // Found wrong at its end: a missing field. The line that opened it names it.
        at = (0..at).rev().find(|&i| depth(i) == depth(at))?;
    }
    let mut path = Vec::new();
    while depth(at) > 0 {
        let parent = (0..at).rev().find(|&i| depth(i) < depth(at))?;
        path.push(if lines[parent].ends_with('{') {
            format!(".{}", key(lines[at])?)
        } else {
            format!("[{}]", (parent + 1..at).filter(|&i| depth(i) == depth(at) && !closes(i)).count())
        });
        at = parent;
    }
    path.reverse();
    Some(path.concat())
}

/// The key that stands at the start of a line.
fn key(line: &str) -> Option<String> {
    serde_json::Deserializer::from_str(line).into_iter::<String>().next()?.ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::json;

    #[derive(Debug, Deserialize)]
    #[allow(dead_code, reason = "only deserialized")]
    struct Order {
        order_id: i64,
        lines: Vec<Line>,
    }

    #[derive(Debug, Deserialize)]
    #[allow(dead_code, reason = "only deserialized")]
    struct Line {
        sku: String,
        counts: Vec<u32>,
    }

    fn refusal(value: Value) -> String {
        let error = typed::<Order>("context", &value).unwrap_err();
        assert!(!error.is_retryable());
        error.message().to_owned()
    }

    #[test]
    fn a_missing_field_is_named() {
        assert_eq!(refusal(json!({"lines": []})), "context: missing field `order_id`");
        assert_eq!(refusal(json!({})), "context: missing field `order_id`");
        let nested =
            json!({"order_id": 1, "lines": [{"sku": "a", "counts": [1]}, {"sku": "b", "more": {"x": [1]}}]});
        assert_eq!(refusal(nested), "context.lines[1]: missing field `counts`");
    }

    #[test]
    fn a_wrong_type_is_located() {
        let text = refusal(json!({"order_id": "x", "lines": []}));
        assert_eq!(text, "context.order_id: invalid type: string \"x\", expected i64");
        let deep =
            json!({"order_id": 1, "lines": [{"sku": "a", "counts": []}, {"counts": [1, 2, -3], "sku": "b"}]});
        assert!(refusal(deep).starts_with("context.lines[1].counts[2]: invalid value: integer `-3`"));
        assert!(refusal(Value::Null).starts_with("context: invalid type: null"));
    }
}
