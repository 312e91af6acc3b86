//! JSON as PostgreSQL's jsonb holds it: numbers of any length, and values nested deeper than
//! serde_json reads.

use serde::de::DeserializeOwned;
use serde_json::{Number, value::RawValue};
use sqlx::{
    Decode, Postgres, Type,
    error::BoxDynError,
    postgres::{PgTypeInfo, PgValueRef},
    types::Json,
};

/// Levels that are left of what is nested deeper than serde_json's 127: room for what answers put
/// around it.
const LEVELS: usize = 110;
/// What takes the place of anything below.
const HIDDEN: &str = r#"{"$hidden":"nested more than 110 levels deep: read it in SQL"}"#;
/// The digits that a `numeric` has before and behind its point.
const MAX_POWER: i64 = 131_072;
const MAX_SCALE: i64 = 16_383;
/// The limit of an exponent, zero's too.
const MAX_EXPONENT: i64 = 1 << 30;

/// Sign, digits without zeros at either end, and the power of ten of the first of them: equal for
/// texts that mean the same number.
#[derive(Debug, PartialEq, Eq)]
pub struct Decimal {
    negative: bool,
    digits: String,
    power: i64,
}

/// The parts of a number's text: sign, digits before the point, digits behind it, exponent.
fn parts(text: &str) -> (bool, &str, &str, i64) {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    // An exponent beyond 64 bits is beyond every limit.
    let beyond = if exponent.starts_with('-') { -i64::from(u32::MAX) } else { i64::from(u32::MAX) };
    let exponent =
        exponent.parse().unwrap_or(beyond).clamp(-i64::from(u32::MAX), i64::from(u32::MAX));
    (whole.starts_with('-'), whole.trim_start_matches('-'), fraction, exponent)
}

impl Decimal {
    /// What the text of a JSON number means.
    pub fn of(number: &str) -> Self {
        let (negative, whole, fraction, exponent) = parts(number);
        let digits = format!("{whole}{fraction}");
        let leading = digits.len() - digits.trim_start_matches('0').len();
        let digits = digits.trim_matches('0').to_owned();
        let zero = digits.is_empty();
        let power = if zero { 0 } else { whole.len() as i64 - leading as i64 + exponent };
        Self { negative: negative && !zero, digits, power }
    }
}

/// Whether jsonb holds this number: up to 131,072 digits before the point and 16,383 behind it.
pub fn is_storable(number: &Number) -> bool {
    let text = number.as_str();
    // Almost every number: no need to look at its digits.
    if text.len() < 1_000 && !text.contains(['e', 'E']) {
        return true;
    }
    let (_, _, fraction, exponent) = parts(text);
    exponent.abs() < MAX_EXPONENT
        && fraction.len() as i64 - exponent <= MAX_SCALE
        && Decimal::of(text).power <= MAX_POWER
}

/// Reads text that PostgreSQL wrote. What is nested deeper than serde_json reads is hidden from its
/// 111th level on, and the rest is read.
///
/// # Errors
/// The text is not a `T`.
pub fn from_text<T: DeserializeOwned>(text: &str) -> serde_json::Result<T> {
    serde_json::from_str(text).or_else(|error| match hide_deep(text) {
        Some(shallow) => serde_json::from_str(&shallow),
        None => Err(error),
    })
}

/// The text with a marker for every value below the last level; None: no value is.
fn hide_deep(text: &str) -> Option<String> {
    let (mut depth, mut string, mut escaped) = (0_usize, false, false);
    let (mut kept, mut from) = (String::new(), 0);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if string => escaped = true,
            b'"' => string = !string,
            _ if string => {}
            b'{' | b'[' => {
                if depth == LEVELS {
                    kept.push_str(&text[from..at]);
                    kept.push_str(HIDDEN);
                }
                depth += 1;
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == LEVELS {
                    from = at + 1;
                }
            }
            _ => {}
        }
    }
    (!kept.is_empty()).then(|| kept + &text[from..])
}

/// A column of JSON, read by [`from_text`].
#[derive(Debug)]
pub struct Document<T>(pub T);

impl<T> Type<Postgres> for Document<T> {
    fn type_info() -> PgTypeInfo {
        <Json<()> as Type<Postgres>>::type_info()
    }

    fn compatible(info: &PgTypeInfo) -> bool {
        <Json<()> as Type<Postgres>>::compatible(info)
    }
}

impl<'r, T: DeserializeOwned> Decode<'r, Postgres> for Document<T> {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        let Json(text) = <Json<&'r RawValue> as Decode<'r, Postgres>>::decode(value)?;
        Ok(Self(from_text(text.get())?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn a_number_is_storable_where_jsonb_takes_it() {
        // As PostgreSQL 15 answered for each of them.
        for (text, storable) in [
            ("1e131071", true),
            ("1e131072", false),
            ("9.9e131071", true),
            ("12e131071", false),
            ("1e-16383", true),
            ("1e-16384", false),
            ("1.5e-16383", false),
            ("0e200000", true),
            ("0e-20000", false),
            ("-0", true),
            ("0e99999999999", false),
            ("1e99999999999999999999", false),
            ("0.00001e131076", true),
            ("123456789012345678901234567890", true),
        ] {
            assert_eq!(is_storable(&text.parse().unwrap()), storable, "{text}");
        }
        assert!(is_storable(&"9".repeat(131_072).parse().unwrap()));
        assert!(!is_storable(&"9".repeat(131_073).parse().unwrap()));
        assert!(!is_storable(&format!("0.{}", "1".repeat(16_384)).parse().unwrap()));
    }

    #[test]
    fn texts_that_mean_one_number_are_one_decimal() {
        for (text, other) in [
            ("1.50", "1.5"),
            ("1e2", "100.0"),
            ("-0.0", "0"),
            ("-2.5E-1", "-0.25"),
            ("0.010", "1e-2"),
        ] {
            assert_eq!(Decimal::of(text), Decimal::of(other), "{text}");
        }
        for (text, other) in [("1.5", "-1.5"), ("1e2", "1e3"), ("0.1", "0.10000000000000000001")] {
            assert_ne!(Decimal::of(text), Decimal::of(other), "{text}");
        }
    }

    #[test]
    fn only_what_is_too_deep_is_hidden() {
        let deep = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        let text = format!(
            r#"{{"a": "}}]\"{{", "deep": {}, "n": 1e400, "more": [{}, 2]}}"#,
            deep(300),
            deep(126)
        );
        assert!(serde_json::from_str::<Value>(&text).is_err());
        let value: Value = from_text(&text).unwrap();
        assert_eq!((&value["a"], &value["more"][1]), (&Value::from("}]\"{"), &Value::from(2)));
        assert_eq!(value["n"].to_string(), "1e+400");
        let mut inner = &value["deep"];
        let mut levels = 1;
        while inner.is_array() {
            (inner, levels) = (&inner[0], levels + 1);
        }
        assert_eq!(levels, LEVELS);
        assert!(inner["$hidden"].as_str().unwrap().contains("110 levels"), "{inner}");
        assert!(from_text::<Value>("[1").unwrap_err().is_eof());
        let whole: Value = from_text(&deep(127)).unwrap();
        assert_eq!(whole.to_string(), deep(127));
    }
}
