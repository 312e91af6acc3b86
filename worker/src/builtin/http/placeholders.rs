//! Texts of a template with places for values: `{name}` stands for a key of the step's inputs,
//! `{secret:NAME}` for a secret, `{{` and `}}` for braces. Places are looked for in the template
//! alone: a value that has braces itself stays what it is.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// All but the letters, digits, and signs that mean nothing anywhere in a URL or a form. What the
/// mask takes for the encoded form of a secret is the same.
const SPECIAL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What a text consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// As it is, its doubled braces single again.
    Text(String),
    /// The value of this key of the inputs.
    Input(String),
    /// The secret of this name.
    Secret(String),
}

/// The parts of a template's text; no two texts follow each other. The error says what to write.
pub(super) fn parts(template: &str) -> Result<Vec<Part>, String> {
    let (mut parts, mut text) = (Vec::new(), String::new());
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        text.push_str(&rest[..at]);
        let (brace, behind) = rest[at..].split_at(1);
        rest = if let Some(after) = behind.strip_prefix(brace) {
            text.push_str(brace);
            after
        } else {
            let place = behind.split_once('}').filter(|_| brace == "{");
            let (name, after) = place.ok_or_else(|| lone(brace))?;
            if !text.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut text)));
            }
            parts.push(part(name)?);
            after
        };
    }
    text.push_str(rest);
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    Ok(parts)
}

fn part(name: &str) -> Result<Part, String> {
    if let Some(secret) = name.strip_prefix("secret:") {
        return Ok(Part::Secret(secret.to_owned()));
    }
    let known = |c: u8| c.is_ascii_alphanumeric() || c == b'_' || c == b'-';
    let first = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if first && name.bytes().all(known) {
        return Ok(Part::Input(name.to_owned()));
    }
    let name: String = name.chars().take(40).collect();
    Err(format!("{{{}}} is no place for a value: {HINT}", name.escape_debug()))
}

const HINT: &str = "write {name} for a key of the step's inputs, a name of letters, digits, _, and \
                    -; {secret:NAME} for a secret; {{ and }} for braces";

fn lone(brace: &str) -> String {
    format!("a single {brace}: {HINT}")
}

/// The inputs of a step, as text of JSON, so that numbers keep their digits.
#[derive(Debug, Default)]
pub(super) struct Inputs(BTreeMap<String, Box<RawValue>>);

impl Inputs {
    /// The cursor of a batch may be no object: it has no keys then.
    pub(super) fn of(inputs: &RawValue) -> Self {
        Self(serde_json::from_str(inputs.get()).unwrap_or_default())
    }

    /// One of them, whatever it is.
    pub(super) fn json(&self, name: &str) -> Result<&RawValue, String> {
        let value = self.0.get(name);
        value.map(|value| &**value).ok_or_else(|| {
            format!("the step has no input {name}: add it to the inputs of the step")
        })
    }

    /// One of them as text: a string, a number, or a boolean.
    pub(super) fn text(&self, name: &str) -> Result<String, String> {
        let json = self.json(name)?.get();
        let kind = match json.as_bytes().first() {
            Some(b'"') => {
                return serde_json::from_str(json)
                    .map_err(|error| format!("input {name} cannot be read: {error}"));
            }
            Some(b'{') => "an object",
            Some(b'[') => "a list",
            Some(b'n') => "null",
            _ => return Ok(json.to_owned()),
        };
        Err(format!(
            "input {name} is {kind}, for which there is no text: only a string, a number, or a \
             boolean can stand here"
        ))
    }

    /// The text with its values. Only `secret` knows secrets.
    pub(super) fn fill(
        &self,
        parts: &[Part],
        mut value: impl FnMut(&str, String) -> Result<String, String>,
        mut secret: impl FnMut(&str) -> Result<String, String>,
    ) -> Result<String, String> {
        parts
            .iter()
            .map(|part| match part {
                Part::Text(text) => Ok(text.clone()),
                Part::Input(name) => value(name, self.text(name)?),
                Part::Secret(name) => secret(name),
            })
            .collect()
    }

    /// The text with its values as they are, where no secret may be.
    pub(super) fn fill_plainly(&self, template: &str) -> Result<String, String> {
        self.fill(&parts(template)?, |_, value| Ok(value), no_secret)
    }
}

/// For texts that may not have one.
pub(super) fn no_secret(name: &str) -> Result<String, String> {
    let name: String = name.chars().take(40).collect();
    Err(format!("{{secret:{}}}: secrets go into headers and query only", name.escape_debug()))
}

/// Encoded so that it is one value, wherever it stands in a URL or a form.
pub(super) fn encode(value: &str) -> String {
    utf8_percent_encode(value, SPECIAL).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(template: &str) -> Result<String, String> {
        let inputs = serde_json::value::to_raw_value(&serde_json::json!({
            "a": "1", "b": "{a}{secret:X}{{", "c-d_2": true, "null": null, "list": [], "map": {},
        }));
        Inputs::of(&inputs.unwrap()).fill_plainly(template)
    }

    #[test]
    fn places_are_found_once() {
        for (template, text) in [
            ("", ""),
            ("plain", "plain"),
            ("{a}", "1"),
            ("<{a}{a}>", "<11>"),
            ("{b}{a}", "{a}{secret:X}{{1"),
            ("{c-d_2}", "true"),
            ("{{a}}", "{a}"),
            ("{{{a}}}", "{1}"),
            ("{{{{a}}}}", "{{a}}"),
            ("{{secret:X}}", "{secret:X}"),
            ("\u{e4}{a}\u{e4}", "\u{e4}1\u{e4}"),
        ] {
            assert_eq!(filled(template).as_deref(), Ok(text), "{template}");
        }
    }

    #[test]
    fn what_is_no_place_or_has_no_value_is_refused() {
        for (template, words) in [
            ("{", "single {"),
            ("}", "single }"),
            ("a}b", "single }"),
            ("{a", "single {"),
            ("{}", "{} is no place"),
            ("{ a }", "{ a } is no place"),
            ("{a.b}", "no place"),
            ("{1}", "no place"),
            ("{a\n}", "no place"),
            ("{{a}", "single }"),
            ("{other}", "no input other"),
            ("{null}", "is null"),
            ("{list}", "is a list"),
            ("{map}", "is an object"),
            ("{secret:X}", "headers and query only"),
        ] {
            let error = filled(template).unwrap_err();
            assert!(error.contains(words), "{template}: {error}");
        }
        for scalar in ["null", "7", "[1]", "\"a\""] {
            let inputs = RawValue::from_string(scalar.to_owned()).unwrap();
            assert!(Inputs::of(&inputs).fill_plainly("{a}").is_err(), "{scalar}");
        }
    }
}
