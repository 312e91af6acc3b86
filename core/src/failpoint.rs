//! Points at which a process can be made to die, so that tests show what a crash there leaves
//! behind. Only in builds with debug assertions: a release has none.

/// All points, in the order in which a task comes by. A test lets a process die at each.
pub const POINTS: &[&str] = &[
    "task_requests.before_start",
    "task_requests.after_start",
    "task_requests.after_check",
    "task_requests.after_initialize",
    "worker.before_claim",
    "worker.after_claim",
    "worker.before_handler",
    "worker.before_alone",
    "worker.after_handler",
    "worker.before_submit",
    "worker.after_submit",
    "worker.after_follow_up",
    "worker.before_release",
    "worker.after_release",
    "worker.before_extend",
    "worker.after_extend",
    "worker.after_heartbeat",
    "worker.before_sql_begin",
    "worker.before_sql_run",
    "worker.before_sql_commit",
    "worker.after_sql_commit",
    "worker.before_own_submit",
    "worker.before_own_commit",
    "worker.after_own_commit",
    "result_processor.before_call",
    "result_processor.after_call",
    "slow_results.after_call",
    "step_enqueuer.before_call",
    "step_enqueuer.after_call",
    "task_finalizer.before_call",
    "task_finalizer.after_call",
    "staleness.after_sweep",
    "pruner.after_call",
    "traces.after_call",
];

/// Dies at once, as by kill -9, if TASKER_FAILPOINT names this point; `name:3` at the third time.
#[inline]
pub fn reach(point: &str) {
    #[cfg(debug_assertions)]
    imp::reach(point);
    #[cfg(not(debug_assertions))]
    let _: &str = point;
}

#[cfg(debug_assertions)]
mod imp {
    use std::sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    };

    /// The point named by the environment, and how often it may still be passed.
    static ARMED: LazyLock<Option<(String, AtomicU32)>> = LazyLock::new(|| {
        let named = std::env::var("TASKER_FAILPOINT").ok()?;
        let (point, times) = named.split_once(':').unwrap_or((&named, "1"));
        let times = times.parse().unwrap_or(1);
        Some((point.to_owned(), AtomicU32::new(times)))
    });

    pub(super) fn reach(point: &str) {
        debug_assert!(super::POINTS.contains(&point), "{point} is missing in POINTS");
        if let Some((named, times)) = &*ARMED
            && named == point
            && times.fetch_sub(1, Ordering::SeqCst) == 1
        {
            // Not by a panic: nothing is to be cleaned up.
            std::process::abort();
        }
    }
}
