//! Publishers: code of the application that has the last word on an event before it leaves the
//! step.

use super::publication::Publication;
use crate::{StepContext, StepError};
use pgtasker_core::event_pattern::EventPattern;
use std::pin::Pin;

/// What a publisher's call becomes: a boxed future.
pub type PublisherFuture =
    Pin<Box<dyn Future<Output = Result<Option<Publication>, StepError>> + Send>>;

/// Changes an event of a step before its payload is checked against its schema, or keeps it back.
/// Every `Fn(Publication, StepContext) -> impl Future<Output = Result<Option<Publication>,
/// StepError>>` is one: an `async fn`, or a closure that returns an `async move` block.
///
/// The step's result waits for it: the publishers of one result have ten seconds together. An
/// error, a panic, or more time makes the event a dead letter, never fails the step.
pub trait EventPublisher: Send + Sync + 'static {
    /// What is to be published. None: nothing.
    fn publish(&self, publication: Publication, ctx: StepContext) -> PublisherFuture;
}

impl<F, Fut> EventPublisher for F
where
    F: Fn(Publication, StepContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Option<Publication>, StepError>> + Send + 'static,
{
    fn publish(&self, publication: Publication, ctx: StepContext) -> PublisherFuture {
        Box::pin(self(publication, ctx))
    }
}

/// By pattern; the first that matches is asked.
pub(crate) type Publishers = Vec<(EventPattern, Box<dyn EventPublisher>)>;
