//! A template's `input_schema`: JSON Schema, compiled once, checked for each task's context.
//! Nothing outside the schema is ever read: no network, no files. No check takes long: each is
//! counted, and what cannot be told within its budget is a violation that says so.

mod cost;
mod counted;

use crate::template::escape;
use counted::{Counted, CountedNode, Exhausted, MOST_LOOKS, within};
use jsonschema::{
    PatternOptions, Retrieve, Uri, ValidationError, Validator, error::ValidationErrorKind,
};
use serde_json::Value;
use std::{cell::Cell, sync::Arc, thread};
use tokio::sync::{Semaphore, oneshot};

/// Violations a message lists before it only counts them.
const LISTED: usize = 5;
/// Characters of one violation: it quotes the value, which may be large.
const LONGEST: usize = 200;
/// Violations that are collected before their number is of no interest.
const COLLECTED: u32 = 1_000;
/// Bytes of all places of violations together.
const PLACES: usize = 16 << 20;
/// Bytes of one pattern's machine.
const PATTERN_BYTES: usize = 1 << 20;
/// States of a pattern that a byte may go through for one look more.
const STATES: usize = 200;
/// Steps back of one match, for the few patterns that need them.
const BACKTRACKS: usize = 100_000;
/// The stack of a thread that checks, and what of it, or of another thread's, a check may take.
const STACK: usize = 64 << 20;
const STACK_HERE: usize = 1 << 20;
/// What is checked in less time than a thread takes to start, and without one.
const FEW_LOOKS: u64 = 10_000;
const SMALL_STACK: usize = 128 << 10;
/// Checks at a time in this process: they need a processor, and it has other work.
const AT_A_TIME: usize = 2;

static TURNS: Semaphore = Semaphore::const_new(AT_A_TIME);

thread_local! {
    static STACK_LEFT: Cell<usize> = const { Cell::new(STACK_HERE) };
}

/// Runs checks on a thread of its own, which has the stack that they need: the caller's runtime
/// goes on meanwhile. `None`: no thread can be started.
pub async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let turn = TURNS.acquire().await.ok()?;
    let (send, receive) = oneshot::channel();
    let work = move || {
        STACK_LEFT.set(STACK / 4 * 3);
        // Nobody waits any more: the answer is of no use.
        drop(send.send(work()));
        drop(turn);
    };
    thread::Builder::new().name("schema checks".to_owned()).stack_size(STACK).spawn(work).ok()?;
    receive.await.ok()
}

/// A compiled JSON Schema, draft 2020-12 unless `$schema` says otherwise.
#[derive(Debug)]
pub struct InputSchema {
    validator: Validator<Counted>,
    /// What a byte of a string counts, see [`within`].
    per_byte: usize,
}

/// Why a context does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SchemaViolation {
    /// For people; names each failing field, at most five.
    pub message: String,
    /// The JSON Pointer of the first failing field; empty for the context itself.
    pub field: String,
}

impl From<(String, String)> for SchemaViolation {
    fn from((field, text): (String, String)) -> Self {
        Self { message: format!("context does not fit the template's input_schema: {text}"), field }
    }
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
    /// What is wrong with it; a `$ref` to anything outside the schema is, and so is one that costs
    /// too much.
    pub fn compile(schema: &Value) -> Result<Self, String> {
        Self::build(schema)
            .map_err(|error| format!("input_schema is not a valid JSON Schema: {error}"))
    }

    /// [`InputSchema::compile`] with the position of the problem.
    pub(crate) fn build(schema: &Value) -> Result<Self, InvalidSchema> {
        let per_byte = match cost::measure(schema) {
            Ok(states) => 1 + states / STATES,
            Err(message) => return Err(InvalidSchema { path: String::new(), message }),
        };
        let patterns =
            PatternOptions::fancy_regex().size_limit(PATTERN_BYTES).backtrack_limit(BACKTRACKS);
        let options = jsonschema::options_for::<Counted>()
            .with_retriever(Refuse)
            .with_pattern_options(patterns);
        options.build(schema).map(|validator| Self { validator, per_byte }).map_err(|error| {
            let message = match error.kind() {
                ValidationErrorKind::Referencing(jsonschema::ReferencingError::Unretrievable {
                    uri,
                    ..
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
        self.violation(context).map_or(Ok(()), |found| Err(found.into()))
    }

    /// [`InputSchema::check`] for an asynchronous caller.
    ///
    /// # Errors
    /// Which fields do not fit, and why.
    pub async fn check_apart(self: &Arc<Self>, context: Value) -> Result<(), SchemaViolation> {
        self.violation_apart(Arc::new(context)).await.map_or(Ok(()), |found| Err(found.into()))
    }

    /// [`InputSchema::violation`] for an asynchronous caller: what takes more than a moment runs on
    /// a thread of its own.
    pub async fn violation_apart(self: &Arc<Self>, value: Arc<Value>) -> Option<(String, String)> {
        let fits = within(FEW_LOOKS, self.per_byte, SMALL_STACK, u32::MAX, || {
            self.validator.is_valid(CountedNode(&value))
        });
        if fits == Ok(true) {
            return None;
        }
        let schema = Arc::clone(self);
        let no_thread = || Some((String::new(), NO_THREAD.to_owned()));
        apart(move || schema.violation(&value)).await.unwrap_or_else(no_thread)
    }

    /// The JSON Pointer of the first part of a value that does not fit, and what is wrong with it
    /// and others.
    pub fn violation(&self, value: &Value) -> Option<(String, String)> {
        let stack = STACK_LEFT.get();
        match within(MOST_LOOKS, self.per_byte, stack, u32::MAX, || {
            self.validator.is_valid(CountedNode(value))
        }) {
            Ok(true) => return None,
            Ok(false) => {}
            Err(Exhausted::Depth) => return Some((String::new(), NOT_THIS_DEEP.to_owned())),
            Err(Exhausted::Work | Exhausted::Violations) => {
                return Some((String::new(), too_much_work()));
            }
        }
        // What is wrong may take far more than that something is: a violation has all that led to
        // it.
        let longest = longest_place(value).max(1);
        let most = u32::try_from(PLACES / longest).unwrap_or(COLLECTED).min(COLLECTED);
        let listed = within(MOST_LOOKS, self.per_byte, stack, most, || {
            list(self.validator.iter_errors(CountedNode(value)))
        });
        let first = || {
            let first = within(MOST_LOOKS, self.per_byte, stack, most, || {
                self.validator.validate(CountedNode(value)).err().map(|error| describe(&error))
            });
            first.ok().flatten().map(|(field, text)| (field, format!("{text}; and many more")))
        };
        listed.ok().flatten().or_else(first).or_else(|| Some((String::new(), UNLISTED.to_owned())))
    }
}

const NOT_THIS_DEEP: &str = "it could not be checked: it is nested too deep for its schema";
const NO_THREAD: &str = "it could not be checked: the process can have no more threads";
const UNLISTED: &str = "it does not fit, in more ways than can be listed";

fn too_much_work() -> String {
    format!(
        "it could not be checked within {} comparisons and {} seconds: its schema leaves too many \
         ways to read it",
        MOST_LOOKS,
        counted::LONGEST.as_secs()
    )
}

/// The first violation's place; and all, as far as they are listed.
fn list<'a>(mut errors: impl Iterator<Item = ValidationError<'a>>) -> Option<(String, String)> {
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

/// Bytes of the longest JSON Pointer into a value, about.
fn longest_place(value: &Value) -> usize {
    match value {
        Value::Array(items) => 8 + items.iter().map(longest_place).max().unwrap_or(0),
        Value::Object(members) => members
            .iter()
            .map(|(name, member)| 2 * name.len() + 1 + longest_place(member))
            .max()
            .unwrap_or(0),
        _ => 0,
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
    fn retrieve(
        &self,
        uri: &Uri<String>,
    ) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        Err(format!("{uri} is not fetched").into())
    }
}
