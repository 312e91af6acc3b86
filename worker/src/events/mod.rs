//! Domain events: what steps announce, how a worker finds out what to announce with a result, who
//! in its own process hears of it, and the consumer of those that are queued.

mod actor;
mod consumer;
mod declared;
mod outgoing;
mod publication;
mod publisher;
mod step_event;

pub(crate) use actor::DomainEventActor;
pub use actor::EventSubscription;
pub use consumer::{ConsumerBuildError, EventConsumer, EventConsumerBuilder, EventSlot};
pub(crate) use declared::{Declared, Delivery, EventRow};
pub(crate) use outgoing::outgoing;
pub use publication::Publication;
pub(crate) use publisher::Publishers;
pub use publisher::{EventPublisher, PublisherFuture};
pub(crate) use step_event::StepEvent;
