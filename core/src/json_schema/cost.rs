//! What a schema costs before any value is checked: compiling one can take exponential time too, so
//! its size, its references, and its patterns are measured first.

use serde_json::Value;
use std::collections::HashSet;

/// Bytes of a schema as JSON.
const MOST_BYTES: usize = 1 << 20;
/// Schemas met by following every schema's references and combinations to their ends.
const MOST_EXPANDED: usize = 200_000;
/// How many of them one value may be checked by, one within the other.
const LONGEST_CHAIN: usize = 256;
/// States of all patterns together, as estimated.
const MOST_STATES: usize = 2_000_000;
/// What applies to the same value as the schema that holds it.
const IN_PLACE: &[&str] = &[
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "unevaluatedProperties",
    "unevaluatedItems",
];
/// The same, by a property's name each.
const BY_NAME: &[&str] = &["dependentSchemas", "dependencies"];
const REFERENCES: &[&str] = &["$ref", "$dynamicRef", "$recursiveRef"];

/// The states of the schema's largest pattern; an error: why it would cost too much.
pub(super) fn measure(schema: &Value) -> Result<usize, String> {
    if schema.to_string().len() > MOST_BYTES {
        return Err(format!("it has more than {MOST_BYTES} bytes"));
    }
    let mut found = Found::default();
    found.collect(schema, schema);
    if found.states > MOST_STATES {
        return Err(
            "its patterns are too large together: repeat fewer times, and use \\p sparingly"
                .to_owned(),
        );
    }
    let mut path = HashSet::new();
    let mut left = MOST_EXPANDED;
    let fits = found.schemas.iter().all(|&(of, base)| found.expand(of, base, &mut path, &mut left));
    if !fits {
        let text = "its references and combinations multiply, or lead through more than 256 \
            others: a value would be \
                    checked in too many ways";
        return Err(text.to_owned());
    }
    Ok(found.largest)
}

/// What stands in a schema.
#[derive(Default)]
struct Found<'a> {
    /// Every object, with the resource that its references are relative to.
    schemas: Vec<(&'a Value, &'a Value)>,
    /// Those that have an id or an anchor.
    named: Vec<(String, &'a Value)>,
    /// The sum over all patterns, and the largest.
    states: usize,
    largest: usize,
}

impl<'a> Found<'a> {
    fn collect(&mut self, value: &'a Value, base: &'a Value) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.collect(item, base)),
            Value::Object(members) => {
                let text = |key: &str| members.get(key).and_then(Value::as_str);
                let base = if text("$id").or(text("id")).is_some() { value } else { base };
                self.schemas.push((value, base));
                for key in ["$id", "id", "$anchor", "$dynamicAnchor"] {
                    self.named
                        .extend(text(key).map(|name| (name.trim_matches('#').to_owned(), value)));
                }
                let by_name = members.get("patternProperties").and_then(Value::as_object);
                let patterns =
                    by_name.into_iter().flat_map(|patterns| patterns.keys().map(String::as_str));
                for states in patterns.chain(text("pattern")).map(states) {
                    self.states = self.states.saturating_add(states);
                    self.largest = self.largest.max(states);
                }
                members.values().for_each(|member| self.collect(member, base));
            }
            _ => {}
        }
    }

    /// Counts what this schema applies to its own value. False: nothing is left to count with.
    fn expand(
        &self,
        schema: &'a Value,
        base: &'a Value,
        path: &mut HashSet<*const Value>,
        left: &mut usize,
    ) -> bool {
        let Some(rest) = left.checked_sub(1).filter(|_| path.len() < LONGEST_CHAIN) else {
            return false;
        };
        *left = rest;
        let Value::Object(members) = schema else { return true };
        if !path.insert(std::ptr::from_ref(schema)) {
            return true;
        }
        let base =
            if members.contains_key("$id") || members.contains_key("id") { schema } else { base };
        let in_place = IN_PLACE.iter().filter_map(|key| members.get(*key)).all(|part| match part {
            Value::Array(parts) => parts.iter().all(|part| self.expand(part, base, path, left)),
            Value::Object(_) => self.expand(part, base, path, left),
            _ => true,
        }) && BY_NAME
            .iter()
            .filter_map(|key| members.get(*key)?.as_object())
            .all(|parts| parts.values().all(|part| self.expand(part, base, path, left)));
        let fits = in_place
            && REFERENCES.iter().filter_map(|key| members.get(*key)?.as_str()).all(|reference| {
                self.targets(reference, base)
                    .into_iter()
                    .all(|to| self.expand(to, base, path, left))
            });
        path.remove(&std::ptr::from_ref(schema));
        fits
    }

    /// Where a reference leads; where that cannot be told, everywhere it may.
    fn targets(&self, reference: &str, base: &'a Value) -> Vec<&'a Value> {
        let (resource, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let named = |name: &str| -> Vec<&'a Value> {
            let end = name.rsplit('/').next().unwrap_or(name);
            let fits = |known: &str| known == name || known.rsplit('/').next() == Some(end);
            self.named.iter().filter(|(known, _)| fits(known)).map(|(_, schema)| *schema).collect()
        };
        let resources = if resource.is_empty() { vec![base] } else { named(resource) };
        if fragment.is_empty() {
            return resources;
        }
        if !fragment.starts_with('/') {
            return named(fragment);
        }
        let pointer = percent_decoded(fragment);
        let root = self.schemas.first().map(|(root, _)| *root);
        resources
            .into_iter()
            .chain(root)
            .filter_map(|schema| schema.pointer(&pointer))
            .take(1)
            .collect()
    }
}

/// `%24defs` is `$defs`.
fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        if let Some(byte) = code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            decoded.push(byte);
            at += 3;
        } else {
            decoded.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// How large a pattern's machine becomes, roughly: repetitions multiply, classes of Unicode are
/// large.
fn states(pattern: &str) -> usize {
    let repeated = pattern.split('{').skip(1).filter_map(|rest| {
        let range = rest.split('}').next()?;
        range.split(',').filter_map(|count| count.trim().parse::<usize>().ok()).max()
    });
    let unicode = if pattern.contains("\\p") || pattern.contains("\\P") { 100 } else { 1 };
    repeated.fold(pattern.len() * unicode, |states, times| states.saturating_mul(times.max(1)))
}
