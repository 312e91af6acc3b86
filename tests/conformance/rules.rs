//! The rules by which parts of an answer are left out of the comparison.

use crate::scenario::{MessageRule, ResultRule, Rules};
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::Value;

/// As much of a message as counts.
pub fn message(rules: &Rules, text: &str) -> String {
    match rules.message {
        None => text.to_owned(),
        Some(MessageRule::NamesThePlace) => place(text),
        Some(MessageRule::Says) => {
            let said = rules.says.iter().filter(|word| text.contains(*word));
            format!(
                "(says) {}",
                said.map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ")
            )
        }
    }
}

/// `context.lines[0].sku` of `context.lines[0].sku: …` and of ``context.lines[0]: missing field
/// `sku` ``, and `/a/0` of `…, at /a/0`.
fn place(text: &str) -> String {
    if let Some((_, place)) = text.rsplit_once(", at ") {
        return format!("(place) {place}");
    }
    let (place, rest) = text.split_once(": ").unwrap_or((text, ""));
    let field = rest.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`'));
    match field {
        Some(field) => format!("(place) {place}.{field}"),
        None => format!("(place) {place}"),
    }
}

/// As much of a result as counts.
pub fn result(rules: &Rules, text: &str) -> String {
    match rules.results {
        None => text.to_owned(),
        Some(ResultRule::SameInstants) => {
            let mut value: Value = serde_json::from_str(text).unwrap();
            instants(&mut value);
            value.to_string()
        }
    }
}

fn instants(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Ok(time) = DateTime::parse_from_rfc3339(text) {
                *text = time.with_timezone(&Utc).to_rfc3339_opts(SecondsFormat::Micros, true);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(instants),
        Value::Object(members) => members.values_mut().for_each(instants),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// JSON at the end of a note, however it is spaced and its keys are ordered.
pub fn note(text: &str) -> String {
    let Some(start) = text.find(['{', '[']) else { return text.to_owned() };
    match serde_json::from_str::<Value>(&text[start..]) {
        Ok(value) => format!("{}{value}", &text[..start]),
        Err(_) => text.to_owned(),
    }
}
