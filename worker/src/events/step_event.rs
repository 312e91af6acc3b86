//! An event on its way with its step's result.

use super::declared::Delivery;
use pgtasker_core::DomainEvent;
use serde::{Serialize, Serializer};
use serde_json::Value;
use std::sync::Arc;
use uuid::Uuid;

/// One event on its way with its step's result.
#[derive(Debug)]
pub(crate) struct StepEvent {
    pub(crate) event: Arc<DomainEvent>,
    /// None: the step does not declare it, which makes it a dead letter.
    pub(crate) delivery: Option<Delivery>,
    /// Why it becomes a dead letter.
    pub(crate) problem: Option<String>,
}

impl StepEvent {
    /// It becomes a dead letter, without what may be why.
    pub(crate) fn withhold(&mut self, why: &str) {
        let event = Arc::make_mut(&mut self.event);
        (event.payload, event.metadata) = (Value::Null, Value::Null);
        self.problem = Some(why.replace('\0', "\u{fffd}"));
    }
}

/// The rest of the event the database knows.
#[derive(Serialize)]
struct Element<'a> {
    id: Uuid,
    name: &'a str,
    payload: &'a Value,
    #[serde(skip_serializing_if = "Value::is_null")]
    metadata: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<&'a str>,
}

impl Serialize for StepEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let DomainEvent { id, name, payload, metadata, traceparent, .. } = &*self.event;
        let (traceparent, problem) = (traceparent.as_deref(), self.problem.as_deref());
        Element { id: *id, name, payload, metadata, traceparent, problem }.serialize(serializer)
    }
}
