//! Builds an event consumer. Everything that is wrong shows here, before it runs.

use super::{
    EventConsumer,
    shared::{EventHandler, EventSlot, Settings},
};
use crate::{StepError, handler::is_name, shared::MAX_NAMESPACE};
use futures_util::FutureExt;
use pgtasker_core::{
    DomainEvent,
    bounds::{CONCURRENCY, GRACE, OutOfBounds, POLL_INTERVAL, VISIBLE},
    breaker::Breaker,
};
use sqlx::PgPool;
use std::{sync::Arc, time::Duration};

/// Events that one call of the database gives.
const MAX_BATCH: usize = 10_000;

/// Why an event consumer cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConsumerBuildError {
    /// No namespace was given.
    #[error("a consumer reads the events of one namespace: name it")]
    NoNamespace,
    /// A namespace that cannot exist.
    #[error("namespace {0:?} is not valid: [a-z][a-z0-9_]*, at most {MAX_NAMESPACE} characters")]
    InvalidNamespace(String),
    /// No handler was given.
    #[error("a consumer needs to know what to do with an event: call .handler(…)")]
    NoHandler,
    /// A limit or a time that cannot be set.
    #[error(transparent)]
    OutOfBounds(#[from] OutOfBounds),
    /// A batch of nothing, or a larger one than the database gives.
    #[error("the batch is {0}: it must be from 1 to {MAX_BATCH}")]
    Batch(usize),
    /// No attempt at all.
    #[error("max_attempts is 0: the first attempt counts")]
    MaxAttempts,
    /// The first delay is longer than the longest.
    #[error("the backoff begins with {0:?}, which is more than its longest delay, {1:?}")]
    Backoff(Duration, Duration),
}

/// Collects what an [`EventConsumer`] needs; made by [`EventConsumer::builder`].
pub struct EventConsumerBuilder {
    pool: PgPool,
    breaker: Option<Breaker>,
    namespace: Option<String>,
    handler: Option<EventHandler>,
    settings: Settings,
}

impl EventConsumerBuilder {
    pub(super) fn new(pool: PgPool) -> Self {
        Self { pool, breaker: None, namespace: None, handler: None, settings: Settings::default() }
    }

    /// The namespace whose events are read. A program that reads those of several runs a consumer
    /// for each.
    pub fn namespace(mut self, name: impl Into<String>) -> Self {
        self.namespace = Some(name.into());
        self
    }

    /// The async function or closure that is called with each event, whatever its name. See
    /// [`EventConsumer`] for what its answer means.
    pub fn handler<F, Fut>(self, handler: F) -> Self
    where
        F: Fn(DomainEvent) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), StepError>> + Send + 'static,
    {
        self.slot_handler(move |event, _| handler(event))
    }

    /// As `handler`, for code that may go on when its time is up, such as a thread: no other event
    /// has its place until it drops the slot.
    pub fn slot_handler<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(DomainEvent, EventSlot) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), StepError>> + Send + 'static,
    {
        self.handler = Some(Arc::new(move |event, slot| handler(event, slot).boxed()));
        self
    }

    /// The most events that one call of the database reads; 100 by default. It never reads more
    /// than can be handled at once.
    pub fn batch(mut self, events: usize) -> Self {
        self.settings.batch = events;
        self
    }

    /// How many events are handled at once; 16 by default. With 1, one after the other.
    pub fn concurrency(mut self, events: usize) -> Self {
        self.settings.concurrency = events;
        self
    }

    /// How long an event that was read is kept from other consumers; a minute by default, from a
    /// second to a day. A handler may take three quarters of it: then it is dropped, and the event
    /// tried again.
    pub fn visible(mut self, visible: Duration) -> Self {
        // PostgreSQL's intervals have microseconds.
        self.settings.visible =
            Duration::from_micros(visible.as_micros().try_into().unwrap_or(u64::MAX));
        self
    }

    /// How often an event is read before a failure makes it a dead letter; 10 by default. A read
    /// that nothing came of counts too: its consumer died, or was shut down in its midst.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.settings.max_attempts = attempts;
        self
    }

    /// The delay after the first failure, by default a second, and the longest, five minutes.
    /// Delays grow by half each time, give or take half at random, and are rounded up to whole
    /// seconds.
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.settings.backoff = (first, longest);
        self
    }

    /// How often an idle queue is looked at when no notification comes, and so how late a retry may
    /// be; 1 s by default.
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.settings.poll_interval = interval;
        self
    }

    /// True: never LISTEN, only poll; for transaction-mode poolers. False by default.
    pub fn poll_only(mut self, poll_only: bool) -> Self {
        self.settings.poll_only = poll_only;
        self
    }

    /// How long running handlers may take to finish after shutdown was asked for; 10 s by default.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.settings.grace = grace;
        self
    }

    /// Shares the circuit breaker, and the health, of others in this process on the same database;
    /// its own by default.
    pub fn breaker(mut self, breaker: Breaker) -> Self {
        self.breaker = Some(breaker);
        self
    }

    /// Checks everything and builds the consumer. Touches no database.
    ///
    /// # Errors
    /// The first problem found, see [`ConsumerBuildError`].
    pub fn build(self) -> Result<EventConsumer, ConsumerBuildError> {
        let Settings {
            batch,
            concurrency,
            visible,
            max_attempts,
            backoff: (first, longest),
            poll_interval,
            grace,
            ..
        } = self.settings;
        let namespace = self.namespace.ok_or(ConsumerBuildError::NoNamespace)?;
        if !is_name(&namespace) || namespace.len() > MAX_NAMESPACE {
            return Err(ConsumerBuildError::InvalidNamespace(namespace));
        }
        let handler = self.handler.ok_or(ConsumerBuildError::NoHandler)?;
        CONCURRENCY.check_count(concurrency)?;
        POLL_INTERVAL.check(poll_interval)?;
        GRACE.check(grace)?;
        if !(1..=MAX_BATCH).contains(&batch) {
            return Err(ConsumerBuildError::Batch(batch));
        }
        VISIBLE.check(visible)?;
        if max_attempts == 0 {
            return Err(ConsumerBuildError::MaxAttempts);
        }
        if first > longest {
            return Err(ConsumerBuildError::Backoff(first, longest));
        }
        Ok(EventConsumer::new(self.pool, self.breaker, namespace, handler, self.settings))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn builder() -> EventConsumerBuilder {
        EventConsumer::builder(PgPool::connect_lazy("postgres://nobody@localhost/none").unwrap())
    }

    fn error(builder: EventConsumerBuilder) -> String {
        builder.build().map(|_| ()).unwrap_err().to_string()
    }

    #[tokio::test]
    async fn what_is_wrong_shows_when_building() {
        let named = || builder().namespace("orders");
        let one = || named().handler(|_| async { Ok(()) });
        assert!(one().build().is_ok());
        assert!(error(builder()).contains("one namespace"));
        assert!(error(builder().namespace("Orders")).contains("\"Orders\""));
        assert!(error(builder().namespace("n".repeat(34))).contains("33"));
        assert!(error(named()).contains(".handler"));
        assert!(error(one().concurrency(0)).contains("concurrency is 0"));
        assert!(error(one().batch(100_000)).contains("the batch is 100000"));
        assert!(error(one().visible(Duration::from_millis(999))).contains("from 1s to 1d"));
        assert!(error(one().max_attempts(0)).contains("the first attempt counts"));
        let second = Duration::from_secs(1);
        assert!(error(one().backoff(second * 2, second)).contains("begins with 2s"));
    }

    #[test]
    fn a_handler_has_less_time_than_the_event_is_kept_from_others() {
        let settings = Settings { visible: Duration::from_secs(20), ..Settings::default() };
        assert_eq!(settings.timeout(), Duration::from_secs(15));
    }
}
