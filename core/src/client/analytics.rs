//! What lately was slow, how much was done, and what failed: from the newest tasks only, so that
//! the cost of asking is bounded.

use super::unwrapped;
use crate::Result;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgExecutor;
use std::time::Duration;

const SLOWEST_STEPS: &str =
    "select to_jsonb(r) from tasker.slowest_steps($1, $2, make_interval(secs => $3), $4, $5) r";
const THROUGHPUT: &str = "select to_jsonb(r) from tasker.throughput($1, $2, make_interval(secs => \
    $3), make_interval(secs => $4), $5) r";
const FAILURE_RATES: &str =
    "select to_jsonb(r) from tasker.failure_rates($1, $2, make_interval(secs => $3), $4, $5) r";

/// Which tasks analytics are made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Only of this namespace.
    pub namespace: Option<String>,
    /// Only of templates with this name.
    pub name: Option<String>,
    /// Enqueued so long ago at most.
    pub since: Duration,
    /// The newest so many of them, from 1 to 100,000.
    pub max_tasks: i32,
}

impl Default for Sample {
    /// All of the last hour, at most 10,000.
    fn default() -> Self {
        Self { namespace: None, name: None, since: Duration::from_secs(3600), max_tasks: 10_000 }
    }
}

/// A row of `tasker.slowest_steps`; durations in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SlowStep {
    /// Of its template.
    pub namespace: String,
    /// Of its template.
    pub name: String,
    /// The step of the template.
    pub step: String,
    /// The code it runs.
    pub handler: String,
    /// Completed executions.
    pub runs: i64,
    /// Steps in error.
    pub failed: i64,
    /// Attempts beyond the first.
    pub retries: i64,
    /// What the handler took on average.
    pub avg_ms: f64,
    /// Half of them took no longer.
    pub p50_ms: f64,
    /// 95 % of them took no longer.
    pub p95_ms: f64,
    /// The longest.
    pub max_ms: f64,
    /// In the queue, on average.
    pub avg_wait_ms: Option<f64>,
}

/// A row of `tasker.throughput`: what happened in one bucket of time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Throughput {
    /// When the bucket begins.
    pub at: DateTime<Utc>,
    /// Tasks enqueued.
    pub enqueued: i64,
    /// Tasks complete or resolved by hand.
    pub complete: i64,
    /// Tasks in error.
    pub failed: i64,
    /// Tasks cancelled.
    pub cancelled: i64,
    /// Milliseconds from enqueueing to completion, on average.
    pub avg_ms: Option<f64>,
}

/// A row of `tasker.failure_rates`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FailureRate {
    /// Of the template.
    pub namespace: String,
    /// Of the template.
    pub name: String,
    /// Of the template.
    pub version: String,
    /// All in the sample.
    pub tasks: i64,
    /// Complete or resolved by hand.
    pub complete: i64,
    /// In error.
    pub failed: i64,
    /// Blocked by failures.
    pub blocked: i64,
    /// Cancelled.
    pub cancelled: i64,
    /// Still on their way.
    pub unfinished: i64,
    /// Failed and blocked, as a share of these and the complete ones: 0 to 1.
    pub failure_rate: f64,
}

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
