//! A template's `input_schema`: JSON Schema, compiled once, checked for each task's context.
//! Nothing outside the schema is ever read: no network, no files.

use crate::template::escape;
use jsonschema::{Retrieve, Uri, ValidationError, Validator, error::ValidationErrorKind};
use serde_json::Value;

/// Violations a message lists before it only counts them.
const LISTED: usize = 5;
/// Characters of one violation: it quotes the value, which may be large.
const LONGEST: usize = 200;

/// A compiled JSON Schema, draft 2020-12 unless `$schema` says otherwise.
#[derive(Debug)]
pub struct InputSchema(Validator);

/// Why a context does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SchemaViolation {
    /// For people; names each failing field, at most five.
    pub message: String,
    /// The JSON Pointer of the first failing field; empty for the context itself.
    pub field: String,
}

/// Why a schema does not compile.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct InvalidSchema {
    /// The JSON Pointer of the offending part within the schema.
    pub(crate) path: String,
    message: String,
}

impl InputSchema {
    /// Compiles a schema.
    ///
    /// # Errors
    /// What is wrong with it; a `$ref` to anything outside the schema is.
    pub fn compile(schema: &Value) -> Result<Self, String> {
        Self::build(schema).map_err(|error| format!("input_schema is not a valid JSON Schema: {error}"))
    }

    /// [`InputSchema::compile`] with the position of the problem.
    pub(crate) fn build(schema: &Value) -> Result<Self, InvalidSchema> {
        jsonschema::options().with_retriever(Refuse).build(schema).map(Self).map_err(|error| {
            let message = match error.kind() {
                ValidationErrorKind::Referencing(jsonschema::ReferencingError::Unretrievable {
                    uri, ..
                }) => {
                    format!("{uri} is outside of it and never fetched: put that schema under $defs")
                }
                _ => shorten(&error.to_string()),
            };
            InvalidSchema { path: error.instance_path().to_string(), message }
        })
    }

    /// Checks a context.
    ///
    /// # Errors
    /// Which fields do not fit, and why.
    pub fn check(&self, context: &Value) -> Result<(), SchemaViolation> {
        let Some((field, text)) = self.violation(context) else { return Ok(()) };
        let message = format!("context does not fit the template's input_schema: {text}");
        Err(SchemaViolation { message, field })
    }

    /// The JSON Pointer of the first part of a value that does not fit, and what is wrong with it and others.
    pub fn violation(&self, value: &Value) -> Option<(String, String)> {
        let mut errors = self.0.iter_errors(value);
        let (field, mut text) = describe(&errors.next()?);
        let mut rest = 0_usize;
        for error in errors {
            rest += 1;
            if rest < LISTED {
                text = format!("{text}; {}", describe(&error).1);
            }
        }
        if rest >= LISTED {
            text = format!("{text}; and {} more", rest + 1 - LISTED);
        }
        Some((field, text))
    }
}

/// The failing field and a sentence that names it.
fn describe(error: &ValidationError<'_>) -> (String, String) {
    let path = error.instance_path().to_string();
    if let ValidationErrorKind::Required { property } = error.kind() {
        // The crate reports the object that lacks it.
        let field = format!("{path}/{}", escape(property.as_str().unwrap_or_default()));
        let text = format!("{field}: is required");
        return (field, text);
    }
    let reason = shorten(&error.to_string());
    let text = if path.is_empty() { reason } else { format!("{path}: {reason}") };
    (path, text)
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Refuses every reference that leads out of the schema.
struct Refuse;

impl Retrieve for Refuse {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        Err(format!("{uri} is not fetched").into())
    }
}
