//! Publishers: code of the application that has the last word on an event before it leaves the
//! step.

use crate::StepContext;
use pgtasker_core::event_pattern::EventPattern;
use serde_json::Value;
use std::sync::Arc;

/// An event that is about to be published.
#[derive(Debug, Clone, PartialEq)]
pub struct Publication {
    /// The event's name; a publisher cannot change it.
    name: Arc<str>,
    /// What it tells: by default the step's result, or of a failure
    /// `{"message","code","retryable","attempt"}`.
    pub payload: Value,
    /// Travels with the event, beside its payload; null: nothing.
    pub metadata: Value,
}

impl Publication {
    pub(crate) fn new(name: &str, payload: Value) -> Self {
        Self { name: name.into(), payload, metadata: Value::Null }
    }

    /// The event's name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Changes an event of a step before its payload is checked against its schema, or keeps it back.
/// Closures are publishers. It must be quick and not block: the step's result waits for it. A panic
/// makes the event a dead letter.
pub trait EventPublisher: Send + Sync + 'static {
    /// What is to be published. None: nothing.
    fn publish(&self, publication: Publication, ctx: &StepContext) -> Option<Publication>;
}

impl<F> EventPublisher for F
where
    F: Fn(Publication, &StepContext) -> Option<Publication> + Send + Sync + 'static,
{
    fn publish(&self, publication: Publication, ctx: &StepContext) -> Option<Publication> {
        self(publication, ctx)
    }
}

/// By pattern; the first that matches is asked.
pub(crate) type Publishers = Vec<(EventPattern, Box<dyn EventPublisher>)>;
