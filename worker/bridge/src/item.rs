//! The items of a poll, as JSON.

use crate::exact;
use pgtasker_worker::{Api, DomainEvent, StepContext};
use serde::Serialize;
use serde_json::{Value, value::RawValue};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Everything but steps.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Item<'a> {
    /// The step's handler should stop: `cancelled` (its task was cancelled, or its claim lost),
    /// `timeout`, `stopping`.
    Cancel { id: u64, why: &'static str },
    /// The answer to [`crate::Bridge::ask_later`].
    Reply { id: u64, value: &'a RawValue },
    /// A publisher is asked about an event of a step that has ended its handler.
    Publication {
        id: u64,
        pattern: &'a str,
        name: &'a str,
        payload: &'a Value,
        metadata: &'a Value,
        step: Box<Step<'a>>,
    },
    /// An event of a subscription.
    Event { pattern: &'a str, event: &'a DomainEvent },
    /// An event of the queue; it is answered like a step.
    DomainEvent { id: u64, event: &'a DomainEvent },
    /// The worker has ended; `error` says why, if it was not asked to.
    Stopped { error: Option<&'a str> },
}

impl Item<'_> {
    pub(crate) fn text(&self) -> String {
        text(self)
    }
}

/// A step to be run, or of which an event is about to be published.
#[derive(Serialize)]
pub(crate) struct Step<'a> {
    /// This and the id: of an item of its own only.
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    /// Before all that is long: it is looked for without reading the rest.
    handler: &'a str,
    task_id: Uuid,
    step: &'a str,
    attempt: i32,
    claim_no: i32,
    correlation_id: Option<Uuid>,
    traceparent: Option<&'a str>,
    timeout_ms: u64,
    idempotency_key: String,
    is_batch_instance: bool,
    is_paged: bool,
    context: &'a RawValue,
    config: &'a RawValue,
    inputs: &'a RawValue,
    parents: &'a BTreeMap<String, Box<RawValue>>,
    checkpoint: &'a RawValue,
    /// JSON Pointers to numbers that a double does not hold, in the five documents.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    inexact: Vec<String>,
}

impl<'a> Step<'a> {
    /// With an id: the item of a step to be run.
    pub(crate) fn new(id: Option<u64>, ctx: &'a StepContext) -> Self {
        let documents = [
            ("context", ctx.context_json()),
            ("config", ctx.config_json()),
            ("inputs", ctx.inputs_json()),
            ("checkpoint", ctx.checkpoint_json()),
        ];
        let mut inexact = Vec::new();
        for (name, text) in documents {
            exact::find(|| format!("/{name}"), text.get(), &mut inexact);
        }
        for (name, text) in ctx.parents() {
            let place = || format!("/parents/{}", name.replace('~', "~0").replace('/', "~1"));
            exact::find(place, text.get(), &mut inexact);
        }
        Self {
            r#type: id.map(|_| "step"),
            id,
            handler: ctx.handler(),
            task_id: ctx.task_id(),
            step: ctx.step(),
            attempt: ctx.attempt(),
            claim_no: ctx.claim_no(),
            correlation_id: ctx.correlation_id(),
            traceparent: ctx.traceparent(),
            timeout_ms: ctx.timeout().as_millis().try_into().unwrap_or(u64::MAX),
            idempotency_key: ctx.idempotency_key(),
            is_batch_instance: ctx.is_batch_instance(),
            is_paged: ctx.is_paged(),
            context: ctx.context_json(),
            config: ctx.config_json(),
            inputs: ctx.inputs_json(),
            parents: ctx.parents(),
            checkpoint: ctx.checkpoint_json(),
            inexact,
        }
    }
}

/// None of these has a form that is no JSON: maps have keys of text.
pub(crate) fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
