//! Plain YAML scalars to JSON, by the core schema of YAML 1.2 (so `yes` and `on` are strings).
//! A number keeps its digits; what JSON or PostgreSQL's jsonb cannot hold is an error.

use crate::json::is_storable;
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
        if radix == 10 {
            return number(text, digits, "", "");
        }
        return u128::from_str_radix(digits, radix)
            .map_err(|_| {
                format!("{text} does not fit 128 bits: write it in decimal digits, or quote it")
            })
            .and_then(|integer| number(text, &integer.to_string(), "", ""));
    }
    if is_float(unsigned) {
        let (mantissa, exponent) = text.split_at(text.find(['e', 'E']).unwrap_or(text.len()));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        return number(text, whole, fraction, exponent);
    }
    Ok(Value::String(text.to_owned()))
}

/// The number that YAML's `text` means, written as JSON does: a digit before the point, and no
/// zeros before that one.
fn number(text: &str, whole: &str, fraction: &str, exponent: &str) -> Result<Value, String> {
    let sign = if whole.starts_with('-') { "-" } else { "" };
    let whole = whole.trim_start_matches(['-', '+']).trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let fraction = if fraction.is_empty() { String::new() } else { format!(".{fraction}") };
    let json: Option<Number> = format!("{sign}{whole}{fraction}{exponent}").parse().ok();
    json.filter(is_storable).map(Value::Number).ok_or_else(|| {
        let text: String = text.chars().take(50).collect();
        format!(
            "{text} has more digits than PostgreSQL's jsonb holds: quote it to make it a string"
        )
    })
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
        for (text, json) in [
            ("1e3", "1e+3"),
            ("+.5E-7", "0.5e-7"),
            ("-007.250", "-7.250"),
            ("5.", "5"),
            ("00", "0"),
            ("1e400", "1e+400"),
            ("9223372036854775808", "9223372036854775808"),
            ("-123456789012345678901234567890", "-123456789012345678901234567890"),
            ("3.14159265358979323846264338327950288", "3.14159265358979323846264338327950288"),
            ("0xFFFFFFFFFFFFFFFF", "18446744073709551615"),
        ] {
            assert_eq!(resolve(text).map(|value| value.to_string()), Ok(json.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_json_cannot_hold_is_refused() {
        for text in [".nan", "-.inf", "1e131072", "0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF", "1e-16384"]
        {
            assert!(resolve(text).is_err(), "{text}");
        }
    }
}
