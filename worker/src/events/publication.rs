//! An event that is about to be published, as handlers and publishers see it.

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
