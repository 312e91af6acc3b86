//! Publishers: code of the application that has the last word on an event before it leaves the
//! step.

use super::publication::Publication;
use crate::StepContext;
use pgtasker_core::event_pattern::EventPattern;

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
