//! The sweep that writes dead letters for tasks that stand still, and the gauges of all dead
//! letters. It changes no task.

use crate::meters::read_now;
use pgtasker_core::{
    DeadLetterReason, Result, connection::OwnConnection, failpoint, pooler::DbConnection,
};

/// Tasks looked at in one call; it reads them and locks none.
const MAX_TASKS: i32 = 2_000;
/// Calls in one interval: with very many unfinished tasks, a round takes several intervals.
const MAX_CALLS: usize = 5;
/// One round over the unfinished tasks, or a part of it.
pub(crate) async fn sweep(connection: &mut OwnConnection) -> Result<()> {
    for _ in 0..MAX_CALLS {
        let (stale, lacking, more): (i32, i32, bool) = connection.call(call).await?;
        failpoint::reach("staleness.after_sweep");
        for (reason, added) in [("staleness_timeout", stale), ("worker_unavailable", lacking)] {
            if added > 0 {
                tracing::warn!(added, reason, "new dead letters: tasker dead-letter list");
            }
            let added = u64::try_from(added).unwrap_or(0);
            metrics::counter!("tasker_dead_letters_swept_total", "reason" => reason)
                .increment(added);
        }
        if !more {
            break;
        }
    }
    gauges(connection).await
}

async fn call(connection: &mut DbConnection<'_>) -> sqlx::Result<(i32, i32, bool)> {
    sqlx::query_as("select staleness_timeout, worker_unavailable, more from tasker.sweep_stale($1)")
        .bind(MAX_TASKS)
        .fetch_one(connection)
        .await
}

async fn gauges(connection: &mut OwnConnection) -> Result<()> {
    let counts: Vec<(String, i64)> = connection
        .call(async |connection| {
            sqlx::query_as(
                "select reason, entries from tasker.dead_letter_counts where status = 'pending'",
            )
            .fetch_all(connection)
            .await
        })
        .await?;
    // Every reason, so that a gauge goes back to zero.
    for reason in DeadLetterReason::NAMES {
        let pending =
            counts.iter().find(|(of, _)| of == *reason).map_or(0, |(_, entries)| *entries);
        metrics::gauge!("tasker_dead_letters_pending", "reason" => *reason).set(pending as f64);
    }
    read_now("dead_letters");
    Ok(())
}
