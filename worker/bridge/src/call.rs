//! A call of a handler in another language, from its place in the queue until the language has
//! returned, which may be after the step has ended.

use crate::{
    item::{Item, Step},
    reply::Reply,
};
use pgtasker_worker::{Prepared, StepContext, StepError, StepSlot};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};
use tokio::sync::{Notify, oneshot};

/// See the module.
pub(crate) struct Call {
    pub(crate) id: u64,
    pub(crate) ctx: StepContext,
    state: Mutex<State>,
    polled: Notify,
    /// Freed when the language has returned.
    _slot: StepSlot,
}

#[derive(Default)]
struct State {
    /// None: the language has returned, or nobody waits for it any more.
    reply: Option<oneshot::Sender<Reply>>,
    polled: Option<Instant>,
    /// The end of the step in a transaction of the language's own.
    prepared: Option<Prepared>,
    has_committed: bool,
    /// What the handler was told of its step, as it may come back as its failure.
    told: Option<StepError>,
}

impl Call {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The item of this step, which now runs.
    pub(crate) fn take(&self) -> String {
        let now = Instant::now();
        self.lock().polled = Some(now);
        self.polled.notify_one();
        Step::new(&self.ctx).item(self.id)
    }

    /// Waits until it has been polled, and says when.
    pub(crate) async fn polled(&self) -> Instant {
        loop {
            let polled = self.polled.notified();
            if let Some(since) = self.lock().polled {
                return since;
            }
            polled.await;
        }
    }

    /// Since when the language has it.
    pub(crate) fn since(&self) -> Instant {
        self.lock().polled.unwrap_or_else(Instant::now)
    }

    /// False: nobody waits for it any more.
    pub(crate) fn answer(&self, reply: Reply) -> bool {
        let sender = self.lock().reply.take();
        sender.is_some_and(|sender| sender.send(reply).is_ok())
    }

    pub(crate) fn set_prepared(&self, prepared: Prepared) {
        self.lock().prepared = Some(prepared);
    }

    /// The transaction is about to commit.
    pub(crate) fn commits(&self) {
        if let Some(prepared) = &self.lock().prepared {
            prepared.commits();
        }
    }

    /// It has committed. False: none was about to.
    pub(crate) fn committed(&self) -> bool {
        let mut state = self.lock();
        let Some(prepared) = state.prepared.take() else { return false };
        state.has_committed = true;
        drop(state);
        prepared.committed();
        true
    }

    pub(crate) fn take_prepared(&self) -> Option<Prepared> {
        self.lock().prepared.take()
    }

    /// Whether a transaction of its own has ended the step.
    pub(crate) fn has_committed(&self) -> bool {
        self.lock().has_committed
    }

    pub(crate) fn tell(&self, error: StepError) {
        self.lock().told = Some(error);
    }

    pub(crate) fn told(&self) -> Option<StepError> {
        self.lock().told.take()
    }
}

/// What the language works on, by the ids that it knows.
#[derive(Default)]
pub(crate) struct Calls {
    next: AtomicU64,
    steps: Mutex<HashMap<u64, Arc<Call>>>,
    /// Publications and domain events: no more than their senders.
    others: Mutex<HashMap<u64, oneshot::Sender<String>>>,
}

impl Calls {
    /// Never 0.
    pub(crate) fn id(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn step(&self, ctx: StepContext) -> (Arc<Call>, oneshot::Receiver<Reply>) {
        let (sender, receiver) = oneshot::channel();
        let state = Mutex::new(State { reply: Some(sender), ..State::default() });
        let slot = ctx.hold_slot();
        let call = Call { id: self.id(), ctx, state, polled: Notify::new(), _slot: slot };
        let call = Arc::new(call);
        self.lock().insert(call.id, Arc::clone(&call));
        (call, receiver)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Call>>> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, id: u64) -> Option<Arc<Call>> {
        self.lock().get(&id).cloned()
    }

    /// The language has returned, or never had it.
    pub(crate) fn remove(&self, id: u64) -> Option<Arc<Call>> {
        self.lock().remove(&id)
    }

    /// Something else that the language is asked; the answer is dropped with the id.
    pub(crate) fn other(&self) -> (u64, oneshot::Receiver<String>) {
        let (id, (sender, receiver)) = (self.id(), oneshot::channel());
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody waits for these any more.
        others.retain(|_, sender| !sender.is_closed());
        others.insert(id, sender);
        (id, receiver)
    }

    /// False: nobody waits for it.
    pub(crate) fn answer_other(&self, id: u64, text: String) -> bool {
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        others.remove(&id).is_some_and(|sender| sender.send(text).is_ok())
    }
}

/// The item that asks the language to stop.
pub(crate) fn cancel(id: u64, why: &'static str) -> String {
    Item::Cancel { id, why }.text()
}
