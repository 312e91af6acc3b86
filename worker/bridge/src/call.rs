//! A call of a handler in another language, from its place in the queue until the language has
//! returned, which may be after the step has ended.

use crate::{
    item::{Item, Step, text},
    queue::Queue,
};
use ::metrics::{Histogram, histogram};
use pgtasker_worker::{Prepared, StepContext, StepError, StepSlot};
use std::{
    any::Any,
    collections::HashMap,
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::oneshot;
use tracing::Span;

/// A step that waits longer for a poll is worth a warning: the language is busy with something
/// else.
const LONG_WAIT: Duration = Duration::from_secs(1);
/// How long a step waits until the language takes it.
pub(crate) const WAIT: &str = "tasker_bridge_wait_seconds";
/// Looked up once: the process has its recorder before it has a bridge.
static WAITED: LazyLock<Histogram> = LazyLock::new(|| histogram!(WAIT));

/// See the module.
pub(crate) struct Call {
    pub(crate) id: u64,
    pub(crate) ctx: StepContext,
    /// Since when it waits for a poll.
    pub(crate) began: Instant,
    /// In which everything about the step is logged.
    span: Span,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// None: the language has returned, or nobody waits for it any more.
    reply: Option<oneshot::Sender<String>>,
    polled: Option<Instant>,
    /// Freed when the language has returned.
    slot: Option<StepSlot>,
    /// The end of the step in a transaction of the language's own.
    prepared: Option<Prepared>,
    /// That was about to commit.
    commits: bool,
    has_committed: bool,
    /// What the handler was told of its step, as it may come back as its failure.
    told: Option<StepError>,
}

impl Call {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The language takes it now. The step's task need not know until its time is over.
    pub(crate) fn take(&self) {
        self.lock().polled = Some(Instant::now());
    }

    /// The item of this step, which has been taken.
    pub(crate) fn item(&self) -> String {
        let waited = self.since().saturating_duration_since(self.began);
        WAITED.record(waited);
        if waited > LONG_WAIT {
            let _within = self.span.enter();
            tracing::warn!(?waited, "a step waited for a poll: is a handler blocking?");
        }
        text(&Step::new(Some(self.id), &self.ctx))
    }

    /// Bytes of its documents, but for those of its parents one by one.
    pub(crate) fn bytes(&self) -> usize {
        let ctx = &self.ctx;
        let parents = ctx.parents().values().map(|result| result.get().len()).sum::<usize>();
        let own = [ctx.context_json(), ctx.config_json(), ctx.inputs_json(), ctx.checkpoint_json()];
        parents + own.iter().map(|text| text.get().len()).sum::<usize>()
    }

    /// Since when the language has it; None: it waits for a poll.
    pub(crate) fn polled(&self) -> Option<Instant> {
        self.lock().polled
    }

    /// Since when the language has it.
    pub(crate) fn since(&self) -> Instant {
        self.polled().unwrap_or_else(Instant::now)
    }

    /// Whether somebody waits for the answer.
    pub(crate) fn is_awaited(&self) -> bool {
        self.lock().reply.as_ref().is_some_and(|reply| !reply.is_closed())
    }

    /// The language has returned.
    pub(crate) fn answer(&self, text: String) {
        let mut state = self.lock();
        let (sender, slot) = (state.reply.take(), state.slot.take());
        drop(state);
        drop(slot);
        sender.map(|sender| sender.send(text));
    }

    pub(crate) fn set_prepared(&self, prepared: Prepared) {
        let mut state = self.lock();
        state.prepared = Some(prepared);
        state.commits = false;
    }

    /// The transaction is about to commit. False: none has been prepared.
    pub(crate) fn commits(&self) -> bool {
        let mut state = self.lock();
        state.commits = state.prepared.as_ref().inspect(|prepared| prepared.commits()).is_some();
        state.commits
    }

    /// It has committed. False: none was about to.
    pub(crate) fn committed(&self) -> bool {
        let mut state = self.lock();
        if !std::mem::take(&mut state.commits) {
            return false;
        }
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
    /// Publications and domain events.
    others: Mutex<HashMap<u64, Other>>,
}

/// Something else than a step that the language is asked.
struct Other {
    answer: oneshot::Sender<String>,
    /// Dropped when the language has returned: a place of a consumer, or that of the step whose
    /// publisher is asked.
    _place: Box<dyn Any + Send>,
}

impl Calls {
    /// Never 0.
    pub(crate) fn id(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn step(&self, ctx: StepContext) -> (Arc<Call>, oneshot::Receiver<String>) {
        let (sender, receiver) = oneshot::channel();
        let slot = Some(ctx.hold_slot());
        let state = Mutex::new(State { reply: Some(sender), slot, ..State::default() });
        let (began, span) = (Instant::now(), Span::current());
        let call = Arc::new(Call { id: self.id(), ctx, began, span, state });
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

    fn others(&self) -> MutexGuard<'_, HashMap<u64, Other>> {
        self.others.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// False: nobody waits for it.
    pub(crate) fn answer_other(&self, id: u64, text: String) -> bool {
        let other = self.others().remove(&id);
        other.is_some_and(|other| other.answer.send(text).is_ok())
    }

    /// The bridge is gone, and nobody answers any more.
    pub(crate) fn forget(&self) {
        // Dropped outside of the locks: a context may be the last to hold its worker.
        let steps = std::mem::take(&mut *self.lock());
        let others = std::mem::take(&mut *self.others());
        drop((steps, others));
    }
}

/// A question to the language. Dropped before its answer has come, it is taken back where nobody
/// has polled it; else the language is asked to stop, and keeps the place until it has returned.
pub(crate) struct Question {
    pub(crate) id: u64,
    answer: oneshot::Receiver<String>,
    calls: Arc<Calls>,
    queue: Arc<Queue>,
    is_answered: bool,
}

impl Question {
    /// Asks by this item.
    pub(crate) fn ask(
        calls: &Arc<Calls>,
        queue: &Arc<Queue>,
        place: impl Send + 'static,
        item: impl FnOnce(u64) -> String,
    ) -> Self {
        let (id, (sender, answer)) = (calls.id(), oneshot::channel());
        calls.others().insert(id, Other { answer: sender, _place: Box::new(place) });
        queue.question(id, item(id));
        let (calls, queue) = (Arc::clone(calls), Arc::clone(queue));
        Self { id, answer, calls, queue, is_answered: false }
    }

    /// None: the bridge is gone.
    pub(crate) async fn answer(mut self) -> Option<String> {
        let answer = (&mut self.answer).await.ok();
        self.is_answered = true;
        answer
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        if self.is_answered {
            return;
        }
        if self.queue.withdraw(self.id) {
            drop(self.calls.others().remove(&self.id));
        } else {
            self.queue.urgent(cancel(self.id, "timeout"));
        }
    }
}

/// The item that asks the language to stop.
pub(crate) fn cancel(id: u64, why: &'static str) -> String {
    Item::Cancel { id, why }.text()
}
