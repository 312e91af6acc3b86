//! Domain events: what steps announce to other systems.

mod consumer;

pub use consumer::{ConsumerBuildError, EventConsumer, EventConsumerBuilder};
