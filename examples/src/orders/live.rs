//! Figures that are kept as things happen, from fast events: gone with the process, and no step
//! waits for them.

use super::books::add;
use pgtasker_worker::{BuildError, DomainEvent, EventSubscription, Worker};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::task::JoinSet;
use uuid::Uuid;

/// What has been heard of one run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// Pieces of each item.
    pub reserved: BTreeMap<String, i64>,
    /// Cents in each currency.
    pub paid: BTreeMap<String, i64>,
    /// Cards.
    pub refused: i64,
    /// Events that came faster than they were taken.
    pub lost: u64,
}

impl Figures {
    fn note(&mut self, event: &DomainEvent) {
        let (payload, text) =
            (&event.payload, |key: &str| event.payload[key].as_str().unwrap_or_default());
        let number = |key: &str| payload[key].as_i64().unwrap_or_default();
        match event.name.as_str() {
            "stock.reserved" => add(&mut self.reserved, text("item"), number("quantity")),
            "payment.processed" => add(&mut self.paid, text("currency"), number("amount")),
            "payment.failed" => self.refused += 1,
            _ => {}
        }
    }
}

/// Subscribers of a worker in this process.
#[derive(Debug)]
pub struct Live {
    figures: Arc<Mutex<Figures>>,
    subscribers: JoinSet<()>,
}

impl Live {
    /// Follows what this worker's steps announce of stock and payments of the run, and hands each
    /// to `tell` as well.
    ///
    /// # Errors
    /// None: both patterns are good.
    pub fn follow(
        worker: &Worker,
        run: Uuid,
        tell: impl Fn(&DomainEvent) + Clone + Send + Sync + 'static,
    ) -> Result<Self, BuildError> {
        let mut live = Self { figures: Arc::default(), subscribers: JoinSet::new() };
        for pattern in ["stock.*", "payment.*"] {
            let (events, figures) = (worker.subscribe(pattern)?, Arc::clone(&live.figures));
            live.subscribers.spawn(keep(events, run, figures, tell.clone()));
        }
        Ok(live)
    }

    /// As of now.
    pub fn figures(&self) -> Figures {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The last ones, once the worker has ended.
    pub async fn ended(mut self) -> Figures {
        while self.subscribers.join_next().await.is_some() {}
        self.figures()
    }
}

async fn keep(
    mut events: EventSubscription,
    run: Uuid,
    figures: Arc<Mutex<Figures>>,
    tell: impl Fn(&DomainEvent),
) {
    while let Some(event) = events.next().await {
        // The worker takes whatever waits in its namespace, also what others have enqueued.
        if event.correlation_id == Some(run) {
            tell(&event);
            figures.lock().unwrap_or_else(PoisonError::into_inner).note(&event);
        }
    }
    figures.lock().unwrap_or_else(PoisonError::into_inner).lost += events.lost();
}
