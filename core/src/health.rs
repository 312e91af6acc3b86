//! Whether a process can do its work: the metrics endpoint tells it, and the program itself can
//! ask.

use crate::bounds::STALLED_AFTER;
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::watch;
use uuid::Uuid;

/// The health of a process; clones tell and see the same.
#[derive(Debug, Clone)]
pub struct Health(Arc<Inner>);

/// Sets [`Problem::NotRunning`] when it is dropped.
#[derive(Debug)]
pub struct Stopped(Health);

impl Drop for Stopped {
    fn drop(&mut self) {
        self.0.set(Problem::NotRunning, "stopped");
    }
}

/// What there is to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HealthStatus {
    /// Whether the process can do its work.
    pub healthy: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when it has been healthy, or not.
    pub since: DateTime<Utc>,
}

/// What keeps a process from being healthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Problem {
    /// It does not run yet, or no more.
    NotRunning,
    /// The circuit to the database is not closed.
    Database,
    /// Something in the database keeps Tasker from working: see `tasker.installation_problems`.
    Installation,
    /// The leases of this worker's steps are running out.
    Leases(Uuid),
    /// Handlers that do not end have taken all places of this worker.
    Slots(Uuid),
    /// One of its actors does not get on, see [`crate::progress`].
    Stalled(u32),
}

#[derive(Debug)]
struct Inner {
    problems: Mutex<BTreeMap<Problem, String>>,
    status: watch::Sender<HealthStatus>,
    stalled_after_ms: AtomicU64,
}

impl Health {
    /// Not healthy until something runs.
    pub fn new() -> Self {
        let reason = "starting".to_owned();
        let status =
            HealthStatus { healthy: false, reason: Some(reason.clone()), since: Utc::now() };
        crate::meters::describe();
        metrics::gauge!("tasker_healthy").set(0.0);
        let problems = Mutex::new(BTreeMap::from([(Problem::NotRunning, reason)]));
        let health = Self(Arc::new(Inner {
            problems,
            status: watch::Sender::new(status),
            stalled_after_ms: AtomicU64::default(),
        }));
        health.set_stalled_after(STALLED_AFTER.default);
        health
    }

    /// How long an actor that has work may be without success, see [`crate::progress`].
    pub fn stalled_after(&self) -> Duration {
        Duration::from_millis(self.0.stalled_after_ms.load(Ordering::Relaxed))
    }

    /// Sets [`Health::stalled_after`], which is the default of [`STALLED_AFTER`] otherwise.
    pub fn set_stalled_after(&self, limit: Duration) {
        let limit = limit.as_millis().try_into().unwrap_or(u64::MAX);
        self.0.stalled_after_ms.store(limit, Ordering::Relaxed);
    }

    /// Whether the process can do its work.
    pub fn is_healthy(&self) -> bool {
        self.0.status.borrow().healthy
    }

    /// The health now.
    pub fn status(&self) -> HealthStatus {
        self.0.status.borrow().clone()
    }

    /// Sees every change.
    pub fn subscribe(&self) -> watch::Receiver<HealthStatus> {
        self.0.status.subscribe()
    }

    /// There is this problem.
    pub fn set(&self, problem: Problem, reason: impl Into<String>) {
        let mut problems = self.lock();
        problems.insert(problem, reason.into());
        self.tell(&problems);
    }

    /// Not running from the moment the guard is dropped, however that comes about.
    pub fn stopped_on_drop(&self) -> Stopped {
        Stopped(self.clone())
    }

    /// There is this problem no more.
    pub fn clear(&self, problem: Problem) {
        let mut problems = self.lock();
        if problems.remove(&problem).is_some() {
            self.tell(&problems);
        }
    }

    fn tell(&self, problems: &BTreeMap<Problem, String>) {
        let reasons: Vec<&str> = problems.values().map(String::as_str).collect();
        let reason = Some(reasons.join("; ")).filter(|_| !reasons.is_empty());
        let healthy = reason.is_none();
        self.0.status.send_if_modified(|status| {
            if status.healthy != healthy {
                status.since = Utc::now();
                metrics::gauge!("tasker_healthy").set(if healthy { 1.0 } else { 0.0 });
            }
            let changed = status.reason != reason;
            (status.healthy, status.reason) = (healthy, reason);
            changed
        });
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Problem, String>> {
        self.0.problems.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_healthy_when_no_problem_is_left_and_names_all_there_are() {
        let health = Health::new();
        assert_eq!(health.status().reason.as_deref(), Some("starting"));
        let seen = health.subscribe();
        health.clear(Problem::NotRunning);
        assert!(health.is_healthy() && seen.has_changed().unwrap());
        let (worker, since) = (Uuid::now_v7(), health.status().since);
        health.set(Problem::Leases(worker), "leases run out");
        health.clone().set(Problem::Database, "the database is away");
        let status = health.status();
        assert_eq!(status.reason.as_deref(), Some("the database is away; leases run out"));
        assert!(!status.healthy && status.since >= since);
        health.clear(Problem::Database);
        health.clear(Problem::Leases(Uuid::now_v7()));
        assert!(!health.is_healthy());
        health.clear(Problem::Leases(worker));
        assert!(health.is_healthy());
    }
}
