//! The loop that every actor runs in: call while there is work, else wait; on an error wait longer.
//! Work that arrives during one call is the next call's batch; no timer gathers it.

use crate::meters::register_actor;
use pgtasker_core::{Error, Result, db::Retry};
use pgtasker_queues::Waiter;
use std::{future::Future, time::Duration};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Waits between failing calls: from the first to the longest.
const DELAYS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// One of the orchestrator's actors.
pub(crate) trait Actor: Send {
    /// The label in logs and metrics.
    const NAME: &'static str;

    /// One batch: what is there now, at most the batch size. Never cancelled half-way.
    fn call(&mut self) -> impl Future<Output = Result<Called>> + Send;

    /// Until there may be work again. May be cancelled.
    fn wait(&mut self) -> impl Future<Output = ()> + Send;
}

/// What a call did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Called {
    /// Messages, steps, or tasks that were handled.
    pub(crate) handled: u64,
    /// Whether to call again at once.
    pub(crate) more: bool,
}

impl Called {
    /// A call that did something is followed by another; one that found nothing by a wait.
    pub(crate) fn handled(handled: u64) -> Self {
        Self { handled, more: handled > 0 }
    }

    /// As many messages of a queue as there were, up to `batch`: less than that has emptied it.
    pub(crate) fn of_queue(handled: u64, batch: i32, waiter: &Waiter) -> Self {
        let (found, asked) = (handled.try_into().unwrap_or(0), batch.try_into().unwrap_or(0));
        Self { handled, more: !waiter.may_wait_after(found, asked) }
    }
}

/// How many messages to ask for: half as many each time that was too much for PostgreSQL's limits,
/// twice as many after each success, up to the batch size.
#[derive(Debug)]
pub(crate) struct BatchSize {
    most: i32,
    now: i32,
}

impl BatchSize {
    pub(crate) fn new(most: i32) -> Self {
        Self { most, now: most }
    }

    pub(crate) fn now(&self) -> i32 {
        self.now
    }

    /// What came of a call with this size.
    pub(crate) fn adapt<T>(&mut self, result: &Result<T>) {
        self.now = match result {
            Ok(_) => self.now.saturating_mul(2).min(self.most),
            Err(error) if is_too_much(error) || is_silence(error) => (self.now / 2).max(1),
            Err(_) => self.now,
        };
    }
}

/// Whether a smaller batch may succeed: it took longer than statement_timeout, or is over a limit
/// of PostgreSQL.
pub(crate) fn is_too_much(error: &Error) -> bool {
    error.sqlstate().is_some_and(|code| code == "57014" || code.starts_with("54"))
}

/// Whether there was no answer in time, as when a batch takes long on a slow server.
fn is_silence(error: &Error) -> bool {
    let Error::Database(sqlx::Error::Io(error)) = error else { return false };
    error.kind() == std::io::ErrorKind::TimedOut
}

/// Runs `actor` until `stop`; a call that has begun is finished. Errors never end it.
pub(crate) async fn drive<A: Actor>(mut actor: A, stop: CancellationToken) {
    register_actor(A::NAME);
    let mut failures = Failures::new(A::NAME);
    while !stop.is_cancelled() {
        let started = Instant::now();
        let called = actor.call().await;
        record::<A>(&called, started.elapsed());
        match called {
            Ok(called) => {
                failures.over();
                if !called.more {
                    stop.run_until_cancelled(actor.wait()).await;
                }
            }
            // Asked to stop while it waited for a connection.
            Err(error) if stop.is_cancelled() => {
                tracing::debug!(actor = A::NAME, %error, "the last call failed");
            }
            Err(error) => {
                let delay = failures.another(&error);
                stop.run_until_cancelled(tokio::time::sleep(delay)).await;
            }
        }
    }
    tracing::debug!(actor = A::NAME, "actor stopped");
}

fn record<A: Actor>(called: &Result<Called>, took: Duration) {
    metrics::counter!("tasker_orchestrator_calls_total", "actor" => A::NAME).increment(1);
    metrics::histogram!("tasker_orchestrator_call_seconds", "actor" => A::NAME)
        .record(took.as_secs_f64());
    if let Ok(Called { handled: handled @ 1.., .. }) = called {
        metrics::histogram!("tasker_orchestrator_batch_size", "actor" => A::NAME)
            .record(*handled as f64);
        tracing::debug!(actor = A::NAME, handled, ?took, "batch");
    }
}

/// An unbroken row of failing calls.
struct Failures {
    actor: &'static str,
    since: Option<Instant>,
    /// Whether the failures have been logged.
    told: bool,
    retry: Retry,
}

impl Failures {
    fn new(actor: &'static str) -> Self {
        Self { actor, since: None, told: false, retry: Retry::new(DELAYS.0, DELAYS.1) }
    }

    /// Logs, counts, and says how long to wait.
    fn another(&mut self, error: &Error) -> Duration {
        let (actor, transient) = (self.actor, error.is_transient());
        let kind = if transient { "transient" } else { "permanent" };
        metrics::counter!("tasker_orchestrator_errors_total", "actor" => actor, "kind" => kind)
            .increment(1);
        metrics::gauge!("tasker_orchestrator_failing", "actor" => actor).set(1.0);
        self.since.get_or_insert_with(Instant::now);
        let sqlstate = error.sqlstate().unwrap_or_default();
        let (delay, tell) = self.retry.failed(error);
        self.told |= tell;
        match (tell, transient) {
            (true, false) => {
                tracing::error!(actor, sqlstate, %error, "a call failed for a reason that will \
                    not go away by itself; trying again");
            }
            (true, true) => {
                tracing::warn!(actor, sqlstate, %error, "a call keeps failing; trying again")
            }
            (false, _) => tracing::debug!(actor, sqlstate, %error, "a call failed; trying again"),
        }
        delay
    }

    fn over(&mut self) {
        let Some(since) = self.since.take() else { return };
        metrics::gauge!("tasker_orchestrator_failing", "actor" => self.actor).set(0.0);
        if std::mem::take(&mut self.told) {
            tracing::info!(actor = self.actor, after = ?since.elapsed(), "works again");
        }
        self.retry.over();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    /// Plays back results, then asks to stop.
    struct Scripted {
        script: VecDeque<Result<Called>>,
        waits: tokio::sync::watch::Sender<u32>,
        stop: CancellationToken,
    }

    impl Actor for Scripted {
        const NAME: &'static str = "scripted";

        async fn call(&mut self) -> Result<Called> {
            let next = self.script.pop_front().unwrap_or(Ok(Called::handled(0)));
            if self.script.is_empty() {
                self.stop.cancel();
            }
            next
        }

        async fn wait(&mut self) {
            self.waits.send_modify(|waits| *waits += 1);
        }
    }

    async fn waits_in(script: Vec<Result<Called>>) -> u32 {
        let (waits, seen) = tokio::sync::watch::channel(0);
        let stop = CancellationToken::new();
        drive(Scripted { script: script.into(), waits, stop: stop.clone() }, stop).await;
        *seen.borrow()
    }

    fn failure(transient: bool) -> Result<Called> {
        let error = if transient { sqlx::Error::PoolTimedOut } else { sqlx::Error::RowNotFound };
        Err(Error::Database(error))
    }

    #[tokio::test]
    async fn an_actor_drains_before_it_waits() {
        let done = |n| Ok(Called::handled(n));
        assert_eq!(waits_in(vec![done(5), done(3), done(0), done(1), done(0), done(1)]).await, 2);
    }

    #[tokio::test]
    async fn errors_are_backed_off_and_never_end_an_actor() {
        let started = Instant::now();
        let script = vec![failure(true), failure(false), failure(true), Ok(Called::handled(1))];
        assert_eq!(waits_in(script).await, 0);
        let took = started.elapsed();
        assert!(
            took >= Duration::from_millis(75),
            "three errors were followed by waits, took {took:?}"
        );
        assert!(took < Duration::from_secs(3), "short ones at first, took {took:?}");
    }

    #[test]
    fn a_batch_that_is_too_much_is_halved_and_grows_again() {
        let mut size = BatchSize::new(500);
        let too_much =
            Err(Error::Refused { code: "57014".into(), message: String::new(), hint: None });
        for expected in [250, 125, 62, 31, 15, 7, 3, 1, 1] {
            size.adapt::<()>(&too_much);
            assert_eq!(size.now(), expected);
        }
        for expected in [2, 4, 8] {
            size.adapt(&Ok(()));
            assert_eq!(size.now(), expected);
        }
        size.adapt::<()>(&failure(true).map(drop));
        assert_eq!(size.now(), 8, "an outage says nothing about the size");
        for _ in 0..10 {
            size.adapt(&Ok(()));
        }
        assert_eq!(size.now(), 500);
    }

    #[tokio::test]
    async fn delays_grow_to_a_limit_and_start_over_after_a_success() {
        let mut failures = Failures::new("test");
        let error = Error::Database(sqlx::Error::PoolTimedOut);
        let longest = (0..30).map(|_| failures.another(&error)).max().unwrap();
        assert!(longest > Duration::from_secs(2) && longest < DELAYS.1 * 2, "{longest:?}");
        failures.over();
        assert!(failures.another(&error) < Duration::from_millis(200));
    }
}
