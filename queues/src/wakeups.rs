//! Wake-ups: one LISTEN connection per process for all its queues, and the waiting on top of it. A
//! notification only shortens a wait; waiters also poll, so a lost one costs time, not work.

use crate::{listen::Listener, names::channel, shared::Shared};
use metrics::{describe_gauge, gauge};
use pgtasker_core::{Result, breaker::Breaker};
use sqlx::PgPool;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};

/// How long a wait lasts at most while notifications do not arrive: an idle process then asks the
/// database this often.
pub const POLL_WITHOUT_PUSH: Duration = Duration::from_millis(250);

/// Whether a process listens for notifications.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Push {
    /// Holds one connection that listens; polls too, and oftener while that connection is dead.
    #[default]
    Listen,
    /// Never listens: for poolers in transaction mode, where LISTEN cannot work.
    PollOnly,
}

/// The wake-ups of one process. Dropping it closes the LISTEN connection; its waiters then poll.
#[derive(Debug)]
pub struct Wakeups {
    shared: Arc<Shared>,
    _stop: DropGuard,
}

impl Wakeups {
    /// Listens for `queues` on a connection of its own, opened with the options of `pool`, and
    /// tests whether a notification sent through `pool` arrives (at most two seconds). Says so in
    /// the log and in the gauge `tasker_push_alive`. A lost connection is opened again until
    /// `shutdown`, once the circuit is closed.
    ///
    /// # Errors
    /// The database refuses the LISTEN connection for good (a transient failure is tried again).
    pub async fn start(
        pool: &PgPool,
        breaker: &Breaker,
        queues: &[String],
        push: Push,
        shutdown: CancellationToken,
    ) -> Result<Self> {
        describe_gauge!(
            "tasker_push_wanted",
            "1: the process listens for notifications; 0: it only polls"
        );
        describe_gauge!(
            "tasker_push_alive",
            "1: notifications arrive; 0: they do not, work is found by polling"
        );
        gauge!("tasker_push_wanted").set(f64::from(u8::from(push == Push::Listen)));
        let shared = Arc::new(Shared::new(queues));
        shared.set_alive(false);
        let stop = shutdown.child_token();
        match push {
            Push::PollOnly => {
                tracing::info!(every = ?POLL_WITHOUT_PUSH, "not listening for notifications: poll \
                    only")
            }
            Push::Listen => {
                let mut listener = Listener::new(pool, breaker.clone(), Arc::clone(&shared));
                listener.first().await?;
                tokio::spawn(listener.run(stop.clone()));
            }
        }
        Ok(Self { shared, _stop: stop.drop_guard() })
    }

    /// Waits on behalf of the one consumer that this process has for `queue`. A queue that was not
    /// named at the start is polled.
    pub fn waiter(&self, queue: &str) -> Waiter {
        match self.shared.queues.get(&channel(queue)) {
            Some(notify) => {
                Waiter { notify: Arc::clone(notify), push: Arc::clone(&self.shared.alive) }
            }
            None => Waiter::polling(),
        }
    }

    /// Whether notifications arrive at present.
    pub fn push_alive(&self) -> bool {
        self.shared.is_alive()
    }
}

/// Waits for work in one queue. Clones share their wake-ups: each wakes one of them.
#[derive(Debug, Clone)]
pub struct Waiter {
    notify: Arc<Notify>,
    push: Arc<AtomicBool>,
}

impl Waiter {
    /// A waiter that no notification reaches: it is woken by [`Waiter::wake`] and polls.
    pub fn polling() -> Self {
        Self { notify: Arc::default(), push: Arc::default() }
    }

    /// Returns on a notification, on [`Waiter::wake`], or after `at_most`; after
    /// [`POLL_WITHOUT_PUSH`] if that is shorter and notifications do not arrive. Returns at once if
    /// one came since the last wait. May be cancelled without losing one.
    pub async fn wait(&self, at_most: Duration) {
        let push = self.push.load(Ordering::Relaxed);
        let limit = if push { at_most } else { at_most.min(POLL_WITHOUT_PUSH) };
        tokio::time::timeout(limit, self.notify.notified()).await.ok();
    }

    /// Whether a consumer that found less than it asked for may wait, because later messages are
    /// announced. Without push, it may wait only after finding nothing.
    pub fn may_wait_after(&self, found: usize, asked: usize) -> bool {
        found == 0 || (found < asked && self.push.load(Ordering::Relaxed))
    }

    /// Ends the present wait or, without one, the next.
    pub fn wake(&self) {
        self.notify.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn wakeups(queues: &[&str]) -> Wakeups {
        let queues: Vec<String> = queues.iter().map(|q| (*q).to_owned()).collect();
        Wakeups {
            shared: Arc::new(Shared::new(&queues)),
            _stop: CancellationToken::new().drop_guard(),
        }
    }

    async fn waited(waiter: &Waiter, at_most: Duration) -> Duration {
        let started = Instant::now();
        waiter.wait(at_most).await;
        started.elapsed()
    }

    const LONG: Duration = Duration::from_secs(30);
    const SHORT: Duration = Duration::from_millis(100);

    #[tokio::test]
    async fn a_wake_up_that_came_before_the_wait_is_not_lost() {
        let wakeups = wakeups(&["a"]);
        wakeups.shared.set_alive(true);
        let waiter = wakeups.waiter("a");
        waiter.wake();
        waiter.wake();
        assert!(waited(&waiter, LONG).await < SHORT);
        let second = waited(&waiter, SHORT).await;
        assert!(second >= SHORT, "two wake-ups before a wait count as one, waited {second:?}");
    }

    #[tokio::test]
    async fn a_notification_wakes_only_its_queue() {
        let wakeups = wakeups(&["a", "b"]);
        wakeups.shared.set_alive(true);
        wakeups.shared.wake("tasker_a");
        wakeups.shared.wake("tasker_unknown");
        assert!(waited(&wakeups.waiter("a"), LONG).await < SHORT);
        assert!(waited(&wakeups.waiter("b"), SHORT).await >= SHORT);
    }

    #[tokio::test]
    async fn a_reconnect_wakes_everyone_once() {
        let wakeups = wakeups(&["a", "b"]);
        wakeups.shared.set_alive(true);
        wakeups.shared.wake_all();
        for queue in ["a", "b"] {
            assert!(waited(&wakeups.waiter(queue), LONG).await < SHORT);
            assert!(waited(&wakeups.waiter(queue), SHORT).await >= SHORT);
        }
    }

    #[tokio::test]
    async fn waits_are_cut_to_the_poll_interval_while_push_is_dead() {
        let wakeups = wakeups(&["a"]);
        let waiter = wakeups.waiter("a");
        assert!(!wakeups.push_alive());
        assert!(waited(&waiter, LONG).await < POLL_WITHOUT_PUSH * 4);
        assert!(waited(&waiter, SHORT).await < POLL_WITHOUT_PUSH, "a shorter wait stays short");
        assert!(waited(&wakeups.waiter("unknown"), LONG).await < POLL_WITHOUT_PUSH * 4);
    }

    #[tokio::test]
    async fn a_wait_ends_when_another_task_wakes_it() {
        let wakeups = wakeups(&["a"]);
        wakeups.shared.set_alive(true);
        let waiter = wakeups.waiter("a");
        let other = waiter.clone();
        let (waited, ()) = tokio::join!(waited(&waiter, LONG), async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            other.wake();
        });
        assert!(waited < Duration::from_secs(5));
    }
}
