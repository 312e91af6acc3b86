//! Domain events: what steps announce, how a worker finds out what to announce with a result, who
//! in its own process hears of it, and the consumer of those that are queued.

mod actor;
mod consumer;
mod declared;
mod outgoing;
mod publisher;

pub(crate) use actor::DomainEventActor;
pub use actor::EventSubscription;
pub use consumer::{ConsumerBuildError, EventConsumer, EventConsumerBuilder};
pub(crate) use declared::{Declared, Delivery, EventRow};
pub(crate) use outgoing::{StepEvent, outgoing};
pub(crate) use publisher::Publishers;
pub use publisher::{EventPublisher, Publication};
