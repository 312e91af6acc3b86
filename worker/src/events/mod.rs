//! Domain events: what steps announce, how a worker finds out what to announce with a result, and who in its own
//! process hears of it.

mod actor;
mod declared;
mod outgoing;
mod pattern;
mod publisher;

pub(crate) use actor::DomainEventActor;
pub use actor::EventSubscription;
pub(crate) use declared::{Declared, Delivery, EventRow};
pub(crate) use outgoing::{StepEvent, outgoing};
pub(crate) use pattern::Pattern;
pub(crate) use publisher::Publishers;
pub use publisher::{EventPublisher, Publication};
