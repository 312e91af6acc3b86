//! The place of a running step among the worker's concurrency. It stays taken for as long as its
//! handler's code runs, which may be longer than the step: a thread cannot be ended.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};
use tokio::sync::OwnedSemaphorePermit;

/// See the module.
pub(crate) struct Slot {
    /// A step that runs alone has all of the worker's.
    permit: Mutex<OwnedSemaphorePermit>,
    /// The step has ended, the handler has not.
    is_overdue: AtomicBool,
    overdue: Arc<AtomicUsize>,
}

impl Slot {
    /// `overdue` counts those of the worker whose steps have ended.
    pub(crate) fn new(permit: OwnedSemaphorePermit, overdue: &Arc<AtomicUsize>) -> Self {
        let (permit, is_overdue) = (Mutex::new(permit), AtomicBool::new(false));
        Self { permit, is_overdue, overdue: Arc::clone(overdue) }
    }

    /// The step has ended. Free at once, unless somebody holds it: then it is one place.
    pub(crate) fn end(this: Arc<Self>) {
        if Arc::strong_count(&this) > 1 {
            let mut permit = this.permit.lock().unwrap_or_else(PoisonError::into_inner);
            let others = permit.num_permits().saturating_sub(1);
            drop(permit.split(others));
            drop(permit);
            this.is_overdue.store(true, Ordering::Relaxed);
            this.overdue.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.is_overdue.load(Ordering::Relaxed) {
            self.overdue.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Keeps the step's place among the worker's concurrency taken, made by
/// [`crate::StepContext::hold_slot`].
#[must_use = "dropped, it holds nothing"]
pub struct StepSlot {
    pub(crate) _slot: Option<Arc<Slot>>,
}

impl std::fmt::Debug for StepSlot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StepSlot").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::Semaphore;

    #[test]
    fn a_slot_is_free_when_the_last_of_step_and_handler_has_ended() {
        let (permits, overdue) = (Arc::new(Semaphore::new(1)), Arc::default());
        let slot = || {
            let permit = Arc::clone(&permits).try_acquire_owned().unwrap();
            Arc::new(Slot::new(permit, &overdue))
        };
        Slot::end(slot());
        assert_eq!((permits.available_permits(), overdue.load(Ordering::Relaxed)), (1, 0));

        let first = slot();
        let held = StepSlot { _slot: Some(Arc::clone(&first)) };
        Slot::end(first);
        assert_eq!((permits.available_permits(), overdue.load(Ordering::Relaxed)), (0, 1));
        drop(held);
        assert_eq!((permits.available_permits(), overdue.load(Ordering::Relaxed)), (1, 0));
    }

    #[test]
    fn a_step_that_ran_alone_and_goes_on_keeps_one_place_only() {
        let (permits, overdue) = (Arc::new(Semaphore::new(8)), Arc::default());
        let permit = Arc::clone(&permits).try_acquire_many_owned(8).unwrap();
        let slot = Arc::new(Slot::new(permit, &overdue));
        let held = StepSlot { _slot: Some(Arc::clone(&slot)) };
        Slot::end(slot);
        assert_eq!((permits.available_permits(), overdue.load(Ordering::Relaxed)), (7, 1));
        drop(held);
        assert_eq!((permits.available_permits(), overdue.load(Ordering::Relaxed)), (8, 0));
    }
}
