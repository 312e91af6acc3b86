//! What waits to be polled: one stream for everything, bounded by what may wait of each kind.

use crate::{call::Call, log};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::Notify, time::timeout};

/// Bytes after which a poll's items are enough.
const MAX_BYTES: usize = 16 << 20;
/// Events of subscriptions that wait; then those who deliver them wait, and lose the oldest.
const MAX_EVENTS: usize = 1_024;

/// See the module.
#[derive(Default)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    /// Something is there.
    ready: Notify,
    /// An event was taken.
    room: Notify,
}

#[derive(Default)]
struct Waiting {
    /// Cancels, replies, publications, and domain events: a few for each that runs. Those that
    /// may be taken back have an id.
    urgent: VecDeque<(Option<u64>, String)>,
    /// As many as the worker's concurrency, since each has a permit.
    steps: VecDeque<Arc<Call>>,
    events: VecDeque<String>,
    /// The last item, given again and again.
    stopped: Option<String>,
}

impl Waiting {
    /// None: nothing waits.
    fn take(&mut self, max: usize) -> Option<Vec<Taken>> {
        let (mut items, mut bytes) = (Vec::new(), 0);
        while items.len() < max.max(1) && bytes < MAX_BYTES {
            let item = if let Some((_, item)) = self.urgent.pop_front() {
                Taken::Text(item)
            } else if let Some(call) = self.steps.pop_front() {
                call.take();
                Taken::Step(call)
            } else if let Some(item) = self.events.pop_front().or_else(log::next) {
                Taken::Text(item)
            } else {
                break;
            };
            bytes += item.bytes();
            items.push(item);
        }
        if items.is_empty() {
            items.extend(self.stopped.clone().map(Taken::Text));
        }
        (!items.is_empty()).then_some(items)
    }
}

/// What a poll has taken. Steps become texts when nobody waits for the lock any more.
enum Taken {
    Text(String),
    Step(Arc<Call>),
}

impl Taken {
    fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Step(call) => call.bytes(),
        }
    }

    fn text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Step(call) => call.item(),
        }
    }
}

/// Dropped, it wakes a poll for the steps that have gathered.
pub(crate) struct First(Arc<Queue>);

impl Drop for First {
    fn drop(&mut self) {
        self.0.ready.notify_one();
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn urgent(&self, item: String) {
        self.lock().urgent.push_back((None, item));
        self.ready.notify_one();
    }

    /// An item that may be taken back.
    pub(crate) fn question(&self, id: u64, item: String) {
        self.lock().urgent.push_back((Some(id), item));
        self.ready.notify_one();
    }

    /// The first step of those that wait has to tell the poll of them all, by dropping what this
    /// returns; none: another has to.
    pub(crate) fn step(self: &Arc<Self>, call: Arc<Call>) -> Option<First> {
        let steps = &mut self.lock().steps;
        steps.push_back(call);
        (steps.len() == 1).then(|| First(Arc::clone(self)))
    }

    /// Takes a step or a question back that nobody has polled. False: somebody has.
    pub(crate) fn withdraw(&self, id: u64) -> bool {
        let mut waiting = self.lock();
        let before = waiting.steps.len() + waiting.urgent.len();
        waiting.steps.retain(|call| call.id != id);
        waiting.urgent.retain(|(question, _)| *question != Some(id));
        waiting.steps.len() + waiting.urgent.len() < before
    }

    /// Waits for room.
    pub(crate) async fn event(&self, item: String) {
        loop {
            let room = self.room.notified();
            if self.lock().events.len() < MAX_EVENTS {
                self.lock().events.push_back(item);
                self.ready.notify_one();
                return;
            }
            room.await;
        }
    }

    pub(crate) fn stopped(&self, item: String) {
        self.lock().stopped = Some(item);
        self.ready.notify_waiters();
        self.ready.notify_one();
    }

    /// Waits for the first, and takes what is there. Empty: nothing came in time.
    pub(crate) async fn poll(&self, max: usize, wait: Duration) -> Vec<String> {
        let first = async {
            loop {
                let (ready, logged) = (self.ready.notified(), log::READY.notified());
                if let Some(items) = self.lock().take(max) {
                    return items;
                }
                tokio::select! {
                    () = ready => {}
                    () = logged => {}
                }
            }
        };
        let items = timeout(wait, first).await.unwrap_or_default();
        let items: Vec<_> = items.into_iter().map(Taken::text).collect();
        self.room.notify_waiters();
        // Another poller may have been woken for what this one left.
        if !items.is_empty() {
            self.ready.notify_one();
        }
        items
    }
}
