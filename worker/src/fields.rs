//! Reads JSON into a type of the handler's choice and, when it does not fit, says which field.
//! serde names a wrong type but not where it stands, so a failure is looked for a second time in
//! text.

use crate::StepError;
use pgtasker_core::json::Decimal;
use serde::de::DeserializeOwned;
use serde_json::{Number, Value, value::RawValue};

/// The document `text` as a `T`; `what` starts the path in the message, as in
/// `context.customer.name: …`.
pub(crate) fn typed<T: DeserializeOwned>(what: &str, text: &RawValue) -> Result<T, StepError> {
    serde_json::from_str(text.get()).or_else(|error| {
        let value: Option<Value> = serde_json::from_str(text.get()).ok();
        if let Some(read) = value.clone().and_then(buffered) {
            return Ok(read);
        }
        let text = match value.map(failure::<T>) {
            Some(Some((path, error))) => format!("{what}{path}: {}", reason(&error)),
            Some(None) => format!("{what}: {}", reason(&error)),
            None => format!(
                "{what}: it is nested more than 127 levels deep: take it as a Box<RawValue>"
            ),
        };
        Err(StepError::permanent(text).code("invalid_input"))
    })
}

/// The error without line and column.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&place).unwrap_or(&text).to_owned()
}

/// Where `T` has `flatten`, `untagged`, or `tag`, serde takes a number in between as it is written,
/// of which it makes an `f64` only where that is written the same: 1.50 and 1e2 are not. So the
/// value again, with those numbers written as an `f64` is; none of another value.
fn buffered<T: DeserializeOwned>(mut value: Value) -> Option<T> {
    rewrite(&mut value).then(|| T::deserialize(value).ok()).flatten()
}

/// False: a number is beyond what an `f64` holds, which would be read as infinite.
fn rewrite(value: &mut Value) -> bool {
    match value {
        Value::Number(number) => {
            let Some(float) = number.as_f64() else { return false };
            // An integer is read as what it is.
            let fraction = number.as_str().contains(['.', 'e', 'E']);
            if let Some(written) = Number::from_f64(float)
                && fraction
                && Decimal::of(number.as_str()) == Decimal::of(written.as_str())
            {
                *number = written;
            }
            true
        }
        Value::Array(items) => items.iter_mut().all(rewrite),
        Value::Object(members) => members.values_mut().all(rewrite),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

/// The path to the value that `T` refuses, and why: serde_json tells the line only when it reads
/// text, and pretty-printed text has one value a line.
fn failure<T: DeserializeOwned>(value: Value) -> Option<(String, serde_json::Error)> {
    let text = serde_json::to_string_pretty(&value).ok()?;
    let error = serde_json::from_str::<T>(&text).err()?;
    Some((path(&text, error.line()).unwrap_or_default(), error))
}

/// The path to what stands on a line of pretty-printed text.
fn path(text: &str, line: usize) -> Option<String> {
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
            format!(
                "[{}]",
                (parent + 1..at).filter(|&i| depth(i) == depth(at) && !closes(i)).count()
            )
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
    use crate::fixtures::raw;
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
        let error = typed::<Order>("context", &raw(&value)).unwrap_err();
        assert!(!error.is_retryable());
        error.message().to_owned()
    }

    #[test]
    fn a_missing_field_is_named() {
        assert_eq!(refusal(json!({"lines": []})), "context: missing field `order_id`");
        assert_eq!(refusal(json!({})), "context: missing field `order_id`");
        let nested = json!({
            "order_id": 1,
            "lines": [{"sku": "a", "counts": [1]}, {"sku": "b", "more": {"x": [1]}}],
        });
        assert_eq!(refusal(nested), "context.lines[1]: missing field `counts`");
    }

    #[test]
    fn a_wrong_type_is_located() {
        let text = refusal(json!({"order_id": "x", "lines": []}));
        assert_eq!(text, "context.order_id: invalid type: string \"x\", expected i64");
        let deep = json!({
            "order_id": 1,
            "lines": [{"sku": "a", "counts": []}, {"counts": [1, 2, -3], "sku": "b"}],
        });
        assert!(
            refusal(deep).starts_with("context.lines[1].counts[2]: invalid value: integer `-3`")
        );
        assert!(refusal(Value::Null).starts_with("context: invalid type: null"));
    }

    fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
        let raw = RawValue::from_string(text.to_owned()).unwrap();
        typed("context", &raw).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn a_number_keeps_its_digits_or_is_refused_with_its_path() {
        let text =
            r#"{"d": 3.14159265358979323846264338327950288, "n": 123456789012345678901234567890}"#;
        assert_eq!(
            read::<Value>(text).unwrap().to_string(),
            text.replace(": ", ":").replace(", ", ",")
        );
        assert_eq!(read::<Box<RawValue>>(text).unwrap().get(), text);
        type Whole = std::collections::BTreeMap<String, u64>;
        for number in ["123456789012345678901234567890", "18446744073709551616", "-1", "1.5"] {
            let error = read::<Whole>(&format!(r#"{{"m": 1, "n": {number}}}"#)).unwrap_err();
            assert!(
                error.starts_with("context.n: invalid ") && error.ends_with("expected u64"),
                "{error}"
            );
        }
        let digits = format!("[1, 1{}]", "0".repeat(400));
        assert_eq!(read::<Vec<f64>>(&digits).unwrap_err(), "context[1]: number out of range");
        assert_eq!(read::<f64>("3.14159265358979323846264338327950288"), Ok(std::f64::consts::PI));
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Outer {
        #[serde(flatten)]
        inner: Inner,
        #[serde(flatten)]
        rest: std::collections::BTreeMap<String, Value>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Inner {
        price: f64,
    }

    #[test]
    fn a_flattened_float_is_read_however_it_is_written_and_its_neighbours_keep_their_digits() {
        for (written, price) in
            [("1.50", 1.5), ("100", 100.0), ("1e2", 100.0), ("0.00", 0.0), ("-2.5e-1", -0.25)]
        {
            let text = format!(r#"{{"price": {written}, "n": 0.12345678901234567890}}"#);
            let outer: Outer = read(&text).unwrap();
            assert_eq!(outer.inner.price, price, "{written}");
            assert_eq!(outer.rest["n"].to_string(), "0.12345678901234567890");
        }
        assert!(read::<Outer>(&format!(r#"{{"price": 1{}}}"#, "0".repeat(400))).is_err());
    }

    #[test]
    fn what_is_nested_too_deep_is_refused_but_as_text() {
        let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
        assert!(
            read::<Value>(&deep)
                .unwrap_err()
                .starts_with("context: it is nested more than 127 levels")
        );
        assert_eq!(read::<Box<RawValue>>(&deep).unwrap().get(), deep);
    }
}
