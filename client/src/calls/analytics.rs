//! What lately was slow, how much was done, and what failed: from the newest tasks only, so that
//! the cost of asking is bounded.

use super::unwrapped;
use crate::types::{FailureRate, Sample, SlowStep, Throughput};
use pgtasker_core::Result;
use sqlx::PgExecutor;
use std::time::Duration;

const SLOWEST_STEPS: &str =
    "select to_jsonb(r) from tasker.slowest_steps($1, $2, make_interval(secs => $3), $4, $5) r";
const THROUGHPUT: &str = "select to_jsonb(r) from tasker.throughput($1, $2, make_interval(secs => \
    $3), make_interval(secs => $4), $5) r";
const FAILURE_RATES: &str =
    "select to_jsonb(r) from tasker.failure_rates($1, $2, make_interval(secs => $3), $4, $5) r";

/// Steps by the 95th percentile of what their handlers took, the slowest first.
///
/// # Errors
/// `TK008` a number out of range.
pub async fn slowest_steps(
    executor: impl PgExecutor<'_>,
    sample: &Sample,
    limit: u32,
) -> Result<Vec<SlowStep>> {
    let rows = sqlx::query_scalar(SLOWEST_STEPS)
        .bind(&sample.namespace)
        .bind(&sample.name)
        .bind(sample.since.as_secs_f64())
        .bind(i32::try_from(limit).unwrap_or(i32::MAX))
        .bind(sample.max_tasks)
        .fetch_all(executor)
        .await?;
    Ok(unwrapped(rows))
}

/// Tasks enqueued and ended in each bucket of time, oldest first; empty buckets are left out.
///
/// # Errors
/// `TK008` a number out of range, or a bucket under a second.
pub async fn throughput(
    executor: impl PgExecutor<'_>,
    sample: &Sample,
    bucket: Duration,
) -> Result<Vec<Throughput>> {
    let rows = sqlx::query_scalar(THROUGHPUT)
        .bind(&sample.namespace)
        .bind(&sample.name)
        .bind(sample.since.as_secs_f64())
        .bind(bucket.as_secs_f64())
        .bind(sample.max_tasks)
        .fetch_all(executor)
        .await?;
    Ok(unwrapped(rows))
}

/// Templates by the share of their settled tasks that failed, the worst first.
///
/// # Errors
/// `TK008` a number out of range.
pub async fn failure_rates(
    executor: impl PgExecutor<'_>,
    sample: &Sample,
    limit: u32,
) -> Result<Vec<FailureRate>> {
    let rows = sqlx::query_scalar(FAILURE_RATES)
        .bind(&sample.namespace)
        .bind(&sample.name)
        .bind(sample.since.as_secs_f64())
        .bind(i32::try_from(limit).unwrap_or(i32::MAX))
        .bind(sample.max_tasks)
        .fetch_all(executor)
        .await?;
    Ok(unwrapped(rows))
}
