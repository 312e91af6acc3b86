//! What the listening task and those who wait have in common.

use crate::names::channel;
use metrics::gauge;
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::Notify;

/// What the listening task and the waiters have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    /// By channel name.
    pub(crate) queues: HashMap<String, Arc<Notify>>,
    pub(crate) alive: Arc<AtomicBool>,
}

impl Shared {
    pub(crate) fn new(queues: &[String]) -> Self {
        let queues = queues.iter().map(|queue| (channel(queue), Arc::default())).collect();
        Self { queues, alive: Arc::default() }
    }

    pub(crate) fn channels(&self) -> impl Iterator<Item = &str> {
        self.queues.keys().map(String::as_str)
    }

    pub(crate) fn wake(&self, channel: &str) {
        if let Some(notify) = self.queues.get(channel) {
            notify.notify_one();
        }
    }

    pub(crate) fn wake_all(&self) {
        self.queues.values().for_each(|notify| notify.notify_one());
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.alive.load(Ordering::Relaxed)
    }

    pub(crate) fn set_alive(&self, alive: bool) {
        gauge!("tasker_push_alive").set(if alive { 1.0 } else { 0.0 });
        self.alive.store(alive, Ordering::Relaxed);
    }
}
