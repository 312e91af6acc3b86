//! Failed logins are logged and slowed. The memory for it does not grow with their number.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How long a failure counts.
const WINDOW: Duration = Duration::from_secs(60);
/// What each failure of the last minute adds to the wait for the next one.
const STEP: Duration = Duration::from_millis(20);
/// A wait is not longer.
const LONGEST: Duration = Duration::from_secs(2);
/// The least time between two lines in the log.
const LINE: Duration = Duration::from_secs(1);

/// The failures of late, counted together: behind a proxy all have one address, and one attacker
/// may have many.
#[derive(Debug, Default)]
pub struct Failures(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// In this window and the one before.
    recent: (u32, u32),
    began: Option<Instant>,
    /// Since the last line.
    untold: u32,
    told: Option<Instant>,
}

impl Failures {
    /// Counts and logs one; returns how long its answer must wait. A caller with a valid key never
    /// waits.
    pub fn add(&self, method: &str, path: &str, why: &str) -> Duration {
        let (now, mut counts) =
            (Instant::now(), self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let age = counts.began.map_or(Duration::MAX, |began| now - began);
        if age >= WINDOW {
            counts.recent = if age < 2 * WINDOW { (0, counts.recent.0) } else { (0, 0) };
            counts.began = Some(now);
        }
        counts.recent.0 = counts.recent.0.saturating_add(1);
        counts.untold = counts.untold.saturating_add(1);
        if counts.told.is_none_or(|told| now - told >= LINE) {
            tracing::warn!(method, path, failures = counts.untold, "a login failed: {why}");
            (counts.told, counts.untold) = (Some(now), 0);
        }
        (STEP * counts.recent.0.saturating_add(counts.recent.1).min(1000)).min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_waits_longer_up_to_a_limit() {
        let failures = Failures::default();
        let waits: Vec<Duration> =
            (0..300).map(|_| failures.add("GET", "/v1/tasks", "no")).collect();
        assert!(waits[0] <= STEP && waits[1] > waits[0] && waits[299] == LONGEST, "{waits:?}");
    }
}
