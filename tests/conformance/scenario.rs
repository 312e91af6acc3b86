//! The scenario files: what each scenario does, and what of its answer counts.

use crate::language::root;
use pgtasker_core::template::TemplateFile;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Read when it runs: changing one builds nothing.
const FILES: &[&str] = &["scenarios.yaml", "flows.yaml", "processes.yaml"];

/// One scenario.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    pub name: String,
    /// The steps of its template; those without `retry` are tried twice, 10 ms apart.
    pub steps: Vec<Map<String, Value>>,
    /// The task's input as JSON text, so that its numbers stay as they are written.
    pub context: Option<String>,
    /// The same of several tasks.
    #[serde(default)]
    pub contexts: Vec<String>,
    /// What else `enqueue_task` gets.
    #[serde(default)]
    pub with: With,
    /// Workers of its own instead of the one that all scenarios share.
    #[serde(default)]
    pub workers: BTreeMap<String, Worker>,
    /// What happens, in this order; see [`crate::script`].
    #[serde(default, rename = "do")]
    pub script: Vec<String>,
    #[serde(default)]
    pub rules: Rules,
    /// Lines that Rust's answer has, in this order; the whole answer, where Rust has no part in it.
    #[serde(default)]
    pub expect: String,
    /// What a language answers instead of what Rust does, and why that is right is said beside it.
    #[serde(default)]
    pub instead: BTreeMap<String, String>,
    /// Languages that can do this; none: all.
    #[serde(default)]
    pub only: Vec<String>,
    /// Its workers are of several languages.
    #[serde(default)]
    pub mixed: bool,
}

/// What else a task is enqueued with.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct With {
    pub traceparent: Option<String>,
    pub correlation_id: Option<String>,
}

/// A worker's process.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Worker {
    /// None: the language whose turn it is.
    pub language: Option<String>,
    /// Started by the script and not before.
    #[serde(default)]
    pub later: bool,
    /// It consumes events and runs no steps.
    #[serde(default)]
    pub consumer: bool,
    /// Variables of its environment.
    #[serde(flatten)]
    pub env: BTreeMap<String, String>,
}

/// What of an answer is not compared, each by a name.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    pub message: Option<MessageRule>,
    /// For [`MessageRule::Says`].
    #[serde(default)]
    pub says: Vec<String>,
    pub results: Option<ResultRule>,
    pub notes: Option<NoteRule>,
    pub exits: Option<ExitRule>,
    /// The step whose claims are at least this far apart.
    pub delay: Option<Delay>,
}

/// For messages that contain what belongs to a language: names of types, lines of a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageRule {
    /// The path that the message names counts, and not the words around it.
    NamesThePlace,
    /// Which of the words in `says` the message has.
    Says,
}

/// For results that languages write in their own way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResultRule {
    /// Texts that are times count as instants: `Z` and `+00:00` are one.
    SameInstants,
}

/// For handlers that run at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoteRule {
    /// The order in which handlers say something does not count.
    Sorted,
}

/// For processes that do not end in good order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitRule {
    /// That the process has ended counts, and not its code.
    Any,
}

/// See [`Rules::delay`].
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delay {
    pub step: String,
    pub ms: u32,
}

impl Scenario {
    /// All of the files.
    pub fn all() -> Result<Vec<Self>, String> {
        let files = FILES.iter().map(|name| Self::of_file(name));
        let all: Vec<Self> = files.collect::<Result<Vec<_>, _>>()?.concat();
        match all.iter().enumerate().find(|(n, one)| all[..*n].iter().any(|o| o.name == one.name)) {
            Some((_, twice)) => Err(format!("the scenario {} is there twice", twice.name)),
            None => Ok(all),
        }
    }

    fn of_file(name: &str) -> Result<Vec<Self>, String> {
        let text = std::fs::read_to_string(root().join("tests/conformance").join(name));
        let text = text.map_err(|error| format!("{name}: {error}"))?;
        let file = TemplateFile::parse(name, &text).map_err(|problems| {
            let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            lines.join("\n")
        })?;
        let items = file.definition().as_array().ok_or(format!("{name}: not a list"))?;
        let read = |item: &Value| {
            serde_json::from_value(item.clone()).map_err(|error| {
                format!("{name}: {}: {error}", item["name"].as_str().unwrap_or("no name"))
            })
        };
        items.iter().map(read).collect()
    }

    /// Its template in this namespace.
    pub fn template(&self, namespace: &str) -> Value {
        let retry = json!({"max_attempts": 2, "backoff_base_ms": 10, "jitter": false});
        let steps: Vec<Value> = self
            .steps
            .iter()
            .map(|step| {
                let mut step = step.clone();
                step.entry("retry").or_insert_with(|| retry.clone());
                Value::Object(step)
            })
            .collect();
        json!({"namespace": namespace, "name": "flow", "version": "1", "steps": steps})
    }

    /// The inputs of its tasks.
    pub fn inputs(&self) -> Vec<&str> {
        let one = self.context.as_deref();
        let all: Vec<&str> =
            one.into_iter().chain(self.contexts.iter().map(String::as_str)).collect();
        if all.is_empty() { vec!["{}"] } else { all }
    }

    /// Whether the worker that all scenarios share runs its steps.
    pub fn is_shared(&self) -> bool {
        self.workers.values().all(|worker| worker.consumer)
    }

    /// Whether a language has a part in it.
    pub fn is_for(&self, family: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|one| one == family)
    }
}
