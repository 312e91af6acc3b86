//! What the orchestrator's metrics mean, and their beginning at zero: an alert on a rate sees the
//! first event too.

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use pgtasker_core::meters::{PoolMeters, SAMPLE, build_info};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio_util::sync::CancellationToken;

/// Counters without labels, and what they count.
const COUNTERS: &[(&str, &str)] = &[
    ("tasker_tasks_initialized_total", "Tasks whose steps this orchestrator has created"),
    (
        "tasker_tasks_refused_total",
        "Tasks that failed before they had steps: the context did not fit",
    ),
    ("tasker_steps_enqueued_total", "Steps that this orchestrator has sent to their queue"),
    ("tasker_results_processed_total", "Results of steps that this orchestrator has processed"),
    ("tasker_steps_retried_total", "Steps that failed and wait for another attempt"),
    ("tasker_steps_failed_total", "Steps that failed for good"),
    ("tasker_lease_expiries_total", LEASE_EXPIRIES),
    ("tasker_messages_resent_total", "Lost messages that were sent again"),
    ("tasker_tasks_pruned_total", "Tasks removed after their retention"),
    ("tasker_dead_letters_pruned_total", "Closed dead letters removed after their retention"),
];
/// As in the worker, which counts those that are claimed again.
const LEASE_EXPIRIES: &str = "Claims whose lease ran out before their result came";

/// Describes all metrics of the orchestrator, and begins those whose labels are known.
pub(crate) fn register() {
    build_info();
    pgtasker_queues::metrics::describe();
    for (name, what) in COUNTERS {
        describe_counter!(*name, Unit::Count, *what);
        counter!(*name).increment(0);
    }
    describe_counter!(
        "tasker_dead_letters_swept_total",
        Unit::Count,
        "Dead letters written by this orchestrator's sweeps"
    );
    for reason in ["staleness_timeout", "worker_unavailable"] {
        counter!("tasker_dead_letters_swept_total", "reason" => reason).increment(0);
    }
    describe_gauge!("tasker_dead_letters_pending", Unit::Count, "Pending dead letters");
    describe_gauge!(
        "tasker_workers",
        Unit::Count,
        "Workers of the namespace that sent a heartbeat within 30 seconds"
    );
    describe_gauge!(
        READ_AT,
        Unit::Seconds,
        "When the gauges of this kind were read last, as a Unix time"
    );
    describe_actors();
    describe_tasks();
}

fn describe_actors() {
    describe_counter!(
        "tasker_orchestrator_calls_total",
        Unit::Count,
        "Calls of the actor's SQL function"
    );
    describe_counter!(
        "tasker_orchestrator_errors_total",
        Unit::Count,
        "Calls that failed; transient: the cause may pass by itself"
    );
    describe_gauge!("tasker_orchestrator_failing", "1 while the actor's calls fail");
    describe_histogram!(
        "tasker_orchestrator_call_seconds",
        Unit::Seconds,
        "How long a call of the actor takes, until its commit"
    );
    describe_histogram!(
        "tasker_orchestrator_batch_size",
        Unit::Count,
        "Messages, steps, or tasks handled by a call that had any"
    );
}

/// Begins the metrics of one actor.
pub(crate) fn register_actor(actor: &'static str) {
    counter!("tasker_orchestrator_calls_total", "actor" => actor).increment(0);
    for kind in ["transient", "permanent"] {
        counter!("tasker_orchestrator_errors_total", "actor" => actor, "kind" => kind).increment(0);
    }
    gauge!("tasker_orchestrator_failing", "actor" => actor).set(0.0);
    drop(histogram!("tasker_orchestrator_call_seconds", "actor" => actor));
    drop(histogram!("tasker_orchestrator_batch_size", "actor" => actor));
}

fn describe_tasks() {
    describe_gauge!("tasker_tasks", Unit::Count, "Unfinished tasks");
    describe_gauge!(
        "tasker_task_oldest_move_seconds",
        Unit::Seconds,
        "Seconds since the last move of the unfinished task that moved longest ago"
    );
    describe_gauge!("tasker_steps", Unit::Count, "Steps of unfinished tasks that are not complete");
    describe_counter!(
        "tasker_tasks_finished_total",
        Unit::Count,
        "Finished tasks; each is counted by exactly one orchestrator"
    );
    describe_histogram!(
        "tasker_task_seconds",
        Unit::Seconds,
        "Time from a task's enqueueing or start time until it was complete"
    );
}

const READ_AT: &str = "tasker_gauges_read_timestamp_seconds";

/// The gauges of this kind say what is now.
pub(crate) fn read_now(kind: &'static str) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    gauge!(READ_AT, "kind" => kind).set(now);
}

/// Samples what changes all the time, until `stop`.
pub(crate) async fn sample(pool: PoolMeters, stop: CancellationToken) {
    loop {
        pool.sample();
        if stop.run_until_cancelled(tokio::time::sleep(SAMPLE)).await.is_none() {
            return;
        }
    }
}
