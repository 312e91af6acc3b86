//! Plain YAML scalars to JSON, by the core schema of YAML 1.2 (so `yes` and `on` are strings).
//! What JSON or a 64-bit integer cannot hold is an error, never rounded silently.

use serde_json::{Number, Value};

/// The JSON value of a plain (unquoted) scalar.
///
/// # Errors
/// What is wrong and what to write instead.
pub(super) fn resolve(text: &str) -> Result<Value, String> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "true" | "True" | "TRUE" => return Ok(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Ok(Value::Bool(false)),
        _ => {}
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Err(format!("{text} has no place in JSON: write a finite number, or quote it"));
    }
    if let Some((digits, radix)) = integer_digits(text, unsigned) {
        return i64::from_str_radix(digits, radix)
            .map(Value::from)
            .map_err(|_| format!("{text} does not fit a 64-bit integer: quote it to make it a string"));
    }
    if is_float(unsigned) {
        return text
            .parse::<f64>()
            .ok()
            .and_then(Number::from_f64)
            .map(Value::Number)
            .ok_or_else(|| format!("{text} does not fit a 64-bit float: quote it to make it a string"));
    }
    Ok(Value::String(text.to_owned()))
}

/// The digits (with the sign, where decimal) and the radix, when `text` is written as an integer.
fn integer_digits<'a>(text: &'a str, unsigned: &'a str) -> Option<(&'a str, u32)> {
    let all = |digits: &str, radix| !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
    if let Some(digits) = text.strip_prefix("0x").filter(|d| all(d, 16)) {
        return Some((digits, 16));
    }
    if let Some(digits) = text.strip_prefix("0o").filter(|d| all(d, 8)) {
        return Some((digits, 8));
    }
    all(unsigned, 10).then_some((text, 10))
}

/// `(\.[0-9]+ | [0-9]+(\.[0-9]*)?) ([eE][-+]?[0-9]+)?`
fn is_float(unsigned: &str) -> bool {
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => {
            let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            (mantissa, !exponent.is_empty() && digits(exponent))
        }
        None => (unsigned, true),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    exponent && digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn scalars_follow_the_core_schema() {
        for (text, value) in [
            ("", json!(null)),
            ("~", json!(null)),
            ("True", json!(true)),
            ("no", json!("no")),
            ("42", json!(42)),
            ("-7", json!(-7)),
            ("+7", json!(7)),
            ("0x1F", json!(31)),
            ("0o17", json!(15)),
            ("1.0", json!(1.0)),
            (".5", json!(0.5)),
            ("1e3", json!(1000.0)),
            ("1.0.0", json!("1.0.0")),
            ("e5", json!("e5")),
            (".", json!(".")),
            ("-", json!("-")),
            ("1_000", json!("1_000")),
            ("9223372036854775807", json!(i64::MAX)),
            ("-9223372036854775808", json!(i64::MIN)),
        ] {
            assert_eq!(resolve(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn what_json_cannot_hold_is_refused() {
        for text in [".nan", "-.inf", "9223372036854775808", "0xFFFFFFFFFFFFFFFF", "1e999"] {
            assert!(resolve(text).is_err(), "{text}");
        }
    }
}
