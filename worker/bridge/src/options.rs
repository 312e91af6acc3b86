//! What a language starts a worker or a consumer with, as JSON. What is left out is as for
//! `tasker worker`, whose variables go before all of it but the database.

use pgtasker_worker::{EventConsumerBuilder, WorkerBuilder};
use serde::Deserialize;
use std::time::Duration;

/// A worker.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Has precedence over DATABASE_URL.
    pub database_url: Option<String>,
    /// Those that it serves.
    #[serde(default)]
    pub namespaces: Vec<String>,
    /// The names of the handlers that the language has.
    #[serde(default)]
    pub handlers: Vec<String>,
    /// Those of them that read the results of their parents by pages.
    #[serde(default)]
    pub paged_handlers: Vec<String>,
    /// Whether it may have others, which it says step by step.
    #[serde(default)]
    pub resolver: bool,
    /// Patterns of events whose publishers it has; of several that match the first is asked.
    #[serde(default)]
    pub publishers: Vec<String>,
    /// Patterns of events that it subscribes to.
    #[serde(default)]
    pub subscriptions: Vec<String>,
    /// Steps at once.
    pub concurrency: Option<usize>,
    /// Milliseconds.
    pub lease_ms: Option<u64>,
    /// Milliseconds that running steps have to end in after [`crate::Bridge::shutdown`].
    pub grace_ms: Option<u64>,
    /// Never LISTEN.
    pub poll_only: Option<bool>,
    /// Milliseconds.
    pub poll_interval_ms: Option<u64>,
    /// What is logged, in the form of RUST_LOG, which has precedence.
    pub log: Option<String>,
}

impl Options {
    /// The settings of the worker itself.
    pub(crate) fn configure(&self, mut builder: WorkerBuilder) -> WorkerBuilder {
        builder = builder.namespaces(self.namespaces.iter().map(String::as_str));
        if let Some(steps) = self.concurrency {
            builder = builder.concurrency(steps);
        }
        if let Some(lease) = self.lease_ms {
            builder = builder.lease(Duration::from_millis(lease));
        }
        if let Some(grace) = self.grace_ms {
            builder = builder.grace(Duration::from_millis(grace));
        }
        if let Some(poll_only) = self.poll_only {
            builder = builder.poll_only(poll_only);
        }
        if let Some(interval) = self.poll_interval_ms {
            builder = builder.poll_interval(Duration::from_millis(interval));
        }
        builder
    }
}

/// A consumer of a namespace's domain events.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsumerOptions {
    /// Has precedence over DATABASE_URL.
    pub database_url: Option<String>,
    /// Whose events it reads.
    pub namespace: String,
    /// Events at once.
    pub concurrency: Option<usize>,
    /// Milliseconds for which an event is kept from others, and its handler may take.
    pub visible_ms: Option<u64>,
    /// Attempts until an event becomes a dead letter.
    pub max_attempts: Option<u32>,
    /// Milliseconds that running handlers have to end in after [`crate::Bridge::shutdown`].
    pub grace_ms: Option<u64>,
    /// Never LISTEN.
    pub poll_only: Option<bool>,
    /// What is logged, in the form of RUST_LOG, which has precedence.
    pub log: Option<String>,
}

impl ConsumerOptions {
    pub(crate) fn configure(&self, mut builder: EventConsumerBuilder) -> EventConsumerBuilder {
        builder = builder.namespace(&self.namespace);
        if let Some(events) = self.concurrency {
            builder = builder.concurrency(events);
        }
        if let Some(visible) = self.visible_ms {
            builder = builder.visible(Duration::from_millis(visible));
        }
        if let Some(attempts) = self.max_attempts {
            builder = builder.max_attempts(attempts);
        }
        if let Some(grace) = self.grace_ms {
            builder = builder.grace(Duration::from_millis(grace));
        }
        if let Some(poll_only) = self.poll_only {
            builder = builder.poll_only(poll_only);
        }
        builder
    }
}
