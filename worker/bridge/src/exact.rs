//! Numbers that a double does not hold: a language whose numbers are doubles would round them, and
//! is told where they are.

use serde_json::Value;

/// As many digits as a double holds in any case.
const SAFE_DIGITS: usize = 15;
/// Those of one document that are named.
const MAX_NAMED: usize = 100;

/// Adds JSON Pointers to the numbers in a JSON text that change when they become doubles. Most
/// texts have none, which one look at their bytes shows.
pub(crate) fn find(place: impl FnOnce() -> String, text: &str, found: &mut Vec<String>) {
    if !is_suspicious(text.as_bytes()) {
        return;
    }
    match serde_json::from_str(text) {
        Ok(value) => walk(place(), &value, found),
        // Nested too deep to be read here: the language may read it, and looks itself.
        Err(_) => found.push(place()),
    }
}

/// Whether a number has many digits or an exponent. Digits in strings do no harm.
fn is_suspicious(text: &[u8]) -> bool {
    let mut digits = 0;
    text.iter().any(|byte| {
        match byte {
            b'0'..=b'9' => digits += 1,
            b'.' => {}
            b'e' | b'E' if digits > 0 => return true,
            _ => digits = 0,
        }
        digits > SAFE_DIGITS
    })
}

fn walk(place: String, value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Number(number) if found.len() < MAX_NAMED && !is_exact(number.as_str()) => {
            found.push(place);
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                walk(format!("{place}/{index}"), item, found);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                let name = name.replace('~', "~0").replace('/', "~1");
                walk(format!("{place}/{name}"), member, found);
            }
        }
        _ => {}
    }
}

/// Whether the number, read as a double and written again, is the same number.
fn is_exact(text: &str) -> bool {
    text.parse::<f64>()
        .is_ok_and(|double| double.is_finite() && parts(&format!("{double:e}")) == parts(text))
}

/// Sign, significant digits, and the power of ten of the last of them.
fn parts(text: &str) -> (bool, String, i64) {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (sign, mantissa) =
        mantissa.strip_prefix('-').map_or((false, mantissa), |rest| (true, rest));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let kept = digits.trim_end_matches('0');
    let exponent = exponent.parse::<i64>().unwrap_or(i64::MAX / 2);
    let power = exponent - fraction.len() as i64 + (digits.len() - kept.len()) as i64;
    let kept = kept.trim_start_matches('0');
    if kept.is_empty() { (false, String::new(), 0) } else { (sign, kept.to_owned(), power) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let mut found = Vec::new();
        find(String::new, text, &mut found);
        found
    }

    #[test]
    fn what_a_double_holds_is_not_named() {
        for exact in [
            "9007199254740992",
            "-0",
            "0.1",
            "1.10",
            "1e21",
            "1000000000000000000000",
            "123456.789",
            "0.0000000000000000001",
            r#""9007199254740993""#,
        ] {
            assert_eq!(found(exact), [""; 0], "{exact}");
        }
    }

    #[test]
    fn what_it_does_not_hold_is_named_with_its_place() {
        let text = r#"{"a/b": [1, 9007199254740993], "c": {"d": 0.1234567890123456789012345},
            "e": 1e400, "f": -123456789012345678901234567890}"#;
        assert_eq!(found(text), ["/a~1b/1", "/c/d", "/e", "/f"]);
        assert_eq!(found("9007199254740993"), [""]);
    }
}
