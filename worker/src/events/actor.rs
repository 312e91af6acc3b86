//! DomainEventActor: hands the fast events of accepted results to the subscribers of this process.
//! It has no task and no mailbox of its own: handing over never waits, so that nothing stands
//! between a result and the next.

use metrics::{Counter, Unit, counter, describe_counter};
use pgtasker_core::{DomainEvent, event_pattern::EventPattern};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::broadcast::{self, error::RecvError};

/// The subscribers of one worker.
pub(crate) struct DomainEventActor {
    lost: Counter,
    subscribers: Mutex<Vec<(EventPattern, broadcast::Sender<Arc<DomainEvent>>)>>,
}

impl DomainEventActor {
    pub(crate) fn new() -> Self {
        describe_counter!(LOST, Unit::Count, "Fast events that a slow subscriber has lost");
        Self { lost: counter!(LOST), subscribers: Mutex::default() }
    }

    /// What this subscriber does not take in time is lost, from the oldest, once `capacity` events
    /// wait.
    pub(crate) fn subscribe(&self, pattern: EventPattern, capacity: usize) -> EventSubscription {
        let (sender, receiver) = broadcast::channel(capacity);
        self.subscribers.lock().unwrap_or_else(PoisonError::into_inner).push((pattern, sender));
        EventSubscription { receiver, lost: 0, counter: self.lost.clone() }
    }

    /// Never waits.
    pub(crate) fn deliver(&self, event: &Arc<DomainEvent>) {
        let mut subscribers = self.subscribers.lock().unwrap_or_else(PoisonError::into_inner);
        // A send fails where the subscriber is gone.
        subscribers.retain(|(pattern, sender)| {
            !pattern.matches(&event.name) && sender.receiver_count() > 0
                || sender.send(Arc::clone(event)).is_ok()
        });
    }
}

const LOST: &str = "tasker_events_lost_total";

/// The fast events of a worker that match a pattern, from the moment of
/// [`crate::Worker::subscribe`] on.
pub struct EventSubscription {
    receiver: broadcast::Receiver<Arc<DomainEvent>>,
    lost: u64,
    counter: Counter,
}

impl EventSubscription {
    /// The next event; None when the worker has ended. Safe to drop while it waits.
    pub async fn next(&mut self) -> Option<Arc<DomainEvent>> {
        loop {
            match self.receiver.recv().await {
                Ok(event) => return Some(event),
                Err(RecvError::Lagged(events)) => {
                    self.lost += events;
                    self.counter.increment(events);
                }
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// How many events this subscriber was too slow for.
    pub fn lost(&self) -> u64 {
        self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::Utc;
    use serde_json::{Value, json};
    use uuid::Uuid;

    fn event(name: &str, payload: Value) -> Arc<DomainEvent> {
        Arc::new(DomainEvent {
            id: Uuid::now_v7(),
            name: name.to_owned(),
            version: "1.0".to_owned(),
            namespace: "shop".to_owned(),
            template: "pay".to_owned(),
            task_id: Uuid::now_v7(),
            step: "charge".to_owned(),
            claim_no: 1,
            correlation_id: None,
            traceparent: None,
            time: Utc::now(),
            payload,
            metadata: Value::Null,
        })
    }

    #[tokio::test]
    async fn a_slow_subscriber_loses_the_oldest_and_nobody_waits_for_it() {
        let actor = DomainEventActor::new();
        let mut slow = actor.subscribe("a.*".parse().unwrap(), 4);
        let mut other = actor.subscribe("b".parse().unwrap(), 4);
        for n in 0..10 {
            actor.deliver(&event("a.x", json!(n)));
        }
        actor.deliver(&event("b", json!(10)));
        drop(actor);
        let mut got = Vec::new();
        while let Some(event) = slow.next().await {
            got.push(event.payload.as_i64().unwrap());
        }
        assert_eq!((got, slow.lost()), (vec![6, 7, 8, 9], 6));
        assert_eq!(other.next().await.unwrap().payload, 10);
        assert_eq!((other.next().await, other.lost()), (None, 0));
    }

    #[tokio::test]
    async fn who_is_gone_is_forgotten() {
        let actor = DomainEventActor::new();
        drop(actor.subscribe("*".parse().unwrap(), 4));
        drop(actor.subscribe("other".parse().unwrap(), 4));
        actor.deliver(&event("a", json!(1)));
        assert_eq!(actor.subscribers.lock().unwrap().len(), 0);
    }
}
