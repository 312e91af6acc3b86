//! Whether an actor gets on: one that has not succeeded for a while although it tries makes its
//! process unhealthy, whatever keeps it from it: errors, silence, or waiting.

use crate::health::{Health, Problem};
use metrics::{Gauge, gauge};
use std::{
    fmt::Display,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// How often actors are looked at, at most.
const ROUND: Duration = Duration::from_secs(1);

/// How one actor gets on. It has work from [`Progress::begin`] until [`Progress::succeeded`]; in
/// between nothing but its end ends that, so that an actor which fails and tries again has had work
/// all the time.
#[derive(Debug)]
pub struct Progress(Arc<Watched>);

#[derive(Debug)]
struct Watched {
    actor: &'static str,
    health: Health,
    problem: Problem,
    stalled: Gauge,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Since when it has work and no success.
    since: Option<Instant>,
    /// The last failure since then.
    failure: Option<String>,
    /// Whether its health knows.
    told: bool,
}

impl Progress {
    /// For an actor without work so far. To be called within a runtime.
    pub fn new(actor: &'static str, health: &Health) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let stalled = gauge!("tasker_actor_stalled", "actor" => actor);
        // Several of a name in one process are added up.
        stalled.increment(0.0);
        let watched = Arc::new(Watched {
            actor,
            health: health.clone(),
            problem: Problem::Stalled(NUMBER.fetch_add(1, Ordering::Relaxed)),
            stalled,
            state: Mutex::default(),
        });
        tokio::spawn(watch(Arc::downgrade(&watched), health.clone()));
        Self(watched)
    }

    /// It has something to do.
    pub fn begin(&self) {
        self.0.lock().since.get_or_insert_with(Instant::now);
    }

    /// What it had to do is done.
    pub fn succeeded(&self) {
        self.0.over(&mut self.0.lock());
    }

    /// It will try again.
    pub fn failed(&self, error: &impl Display) {
        self.0.lock().failure = Some(error.to_string());
    }
}

impl Watched {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn over(&self, state: &mut State) {
        if std::mem::take(state).told {
            self.stalled.decrement(1.0);
            self.health.clear(self.problem);
            tracing::info!(actor = self.actor, "gets on again");
        }
    }

    fn look(&self, limit: Duration) {
        let mut state = self.lock();
        let Some(since) = state.since.filter(|since| since.elapsed() > limit) else { return };
        let why = state.failure.as_deref().unwrap_or("its call has no answer");
        let reason =
            format!("{} has not succeeded for {} s: {why}", self.actor, since.elapsed().as_secs());
        if !state.told {
            tracing::error!(actor = self.actor, "{reason}");
            self.stalled.increment(1.0);
        }
        self.health.set(self.problem, reason);
        state.told = true;
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let mut state =
            std::mem::take(self.state.get_mut().unwrap_or_else(PoisonError::into_inner));
        self.over(&mut state);
    }
}

/// Runs for as long as the actor has its [`Progress`].
async fn watch(watched: Weak<Watched>, health: Health) {
    loop {
        let limit = health.stalled_after();
        sleep((limit / 4).clamp(Duration::from_millis(10), ROUND)).await;
        let Some(watched) = watched.upgrade() else { return };
        watched.look(limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn until(health: &Health, healthy: bool) -> Option<String> {
        health
            .subscribe()
            .wait_for(|status| status.healthy == healthy)
            .await
            .unwrap()
            .reason
            .clone()
    }

    #[tokio::test]
    async fn an_actor_that_does_not_succeed_while_it_has_work_makes_its_process_unhealthy() {
        let health = Health::new();
        health.clear(Problem::NotRunning);
        health.set_stalled_after(Duration::from_millis(40));
        let (silent, failing) =
            (Progress::new("silent", &health), Progress::new("failing", &health));
        let idle = Progress::new("idle", &health);
        silent.begin();
        let reason = until(&health, false).await.unwrap();
        assert!(reason.starts_with("silent has not succeeded for"), "{reason}");
        silent.succeeded();
        assert_eq!(until(&health, true).await, None);
        // Trying again is no success.
        failing.begin();
        failing.failed(&"no such function");
        sleep(Duration::from_millis(50)).await;
        failing.begin();
        let reason = until(&health, false).await.unwrap();
        assert!(reason.contains("failing") && reason.ends_with("no such function"), "{reason}");
        // One that has ended has no work.
        drop((failing, idle));
        until(&health, true).await;
    }
}
