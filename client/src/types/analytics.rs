//! What lately was slow, how much was done, and what failed.

use chrono::{DateTime, Utc};
use pgtasker_core::bounds::{SAMPLED, SINCE};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Which tasks analytics are made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Only of this namespace.
    pub namespace: Option<String>,
    /// Only of templates with this name.
    pub name: Option<String>,
    /// Enqueued at most this long ago.
    pub since: Duration,
    /// The newest ones, up to this number: 1 to 100,000.
    pub max_tasks: i32,
}

impl Default for Sample {
    /// All of the last hour, at most 10,000.
    fn default() -> Self {
        let max_tasks = SAMPLED.default as i32;
        Self { namespace: None, name: None, since: SINCE, max_tasks }
    }
}

/// A row of `tasker.slowest_steps`; durations in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SlowStep {
    /// The template's namespace.
    pub namespace: String,
    /// The template's name.
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
    /// The template's namespace.
    pub namespace: String,
    /// The template's name.
    pub name: String,
    /// The template's version.
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
