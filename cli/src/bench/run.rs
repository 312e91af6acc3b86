//! One run of a benchmark and what the database says about it.

use super::{BenchError, cpu::Cpu, processes::Processes, workflow::Workflow};
use crate::steps::error_text;
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Between two looks at tasks that take a while.
pub const LOOK: Duration = Duration::from_millis(10);

/// What is run, and where.
pub struct Bench<'a> {
    /// The benchmark's own connections.
    pub pool: &'a PgPool,
    /// A namespace of its own.
    pub namespace: &'a str,
    pub workflow: Workflow,
    /// The template with this graph.
    pub template: String,
    /// Tasks a run.
    pub tasks: u32,
}

/// Percentiles, in milliseconds.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Percentiles {
    pub p50: f64,
    /// 95 of 100 are below.
    pub p95: f64,
    /// 99 of 100 are below.
    pub p99: f64,
}

/// The figures of one run.
#[derive(Debug, Clone)]
pub struct Figures {
    /// From the commit of the enqueueing to the last task's completion.
    pub excluding_enqueue: Duration,
    /// From the start of the enqueueing.
    pub including_enqueue: Duration,
    pub steps: f64,
    pub tasks: f64,
    /// From enqueue to completion.
    pub task_latency: Percentiles,
    /// From a parent's stored result to its child's claim.
    pub handover: Percentiles,
    /// Statements sent to the server; none where pg_stat_statements is not there.
    pub statements: Option<f64>,
    pub commits: f64,
    /// Bytes of write-ahead log.
    pub wal_bytes: f64,
    /// Rows inserted, updated, and deleted.
    pub rows: f64,
    pub cpu: Cpu,
}

impl Figures {
    /// Without the time it took to enqueue.
    pub fn steps_per_second(&self) -> f64 {
        self.steps / self.excluding_enqueue.as_secs_f64()
    }
}

/// The server's counters at one moment.
struct Counters {
    statements: Option<f64>,
    commits: f64,
    rows: f64,
    used: Used,
}

/// What is exact at once, and of what a run uses.
#[derive(Debug, Clone, Copy)]
pub struct Used {
    wal_bytes: f64,
    cpu: Cpu,
}

impl Used {
    /// Until now.
    pub async fn now(pool: &PgPool, processes: &Processes) -> Result<Self, BenchError> {
        let wal_bytes = sqlx::query_scalar("select (pg_current_wal_insert_lsn() - '0/0')::float8");
        Ok(Self { wal_bytes: wal_bytes.fetch_one(pool).await?, cpu: processes.cpu() })
    }

    /// WAL bytes, and CPU seconds, used since then.
    pub async fn until_now(
        &self,
        pool: &PgPool,
        processes: &Processes,
    ) -> Result<(f64, Cpu), BenchError> {
        let now = Self::now(pool, processes).await?;
        Ok((now.wal_bytes - self.wal_bytes, now.cpu.since(&self.cpu, 1.0)))
    }
}

impl Bench<'_> {
    /// Runs a few hundred tasks unmeasured.
    pub async fn warm_up(&self, processes: &mut Processes) -> Result<(), BenchError> {
        let ids = self.enqueue(self.tasks.min(300)).await?;
        let mut connection = self.pool.acquire().await?;
        self.wait_for(&ids, LOOK, &mut connection, processes).await
    }

    /// All tasks at once: throughput.
    pub async fn all_at_once(&self, processes: &mut Processes) -> Result<Figures, BenchError> {
        let before = self.counters(processes).await?;
        let started = Instant::now();
        let ids = self.enqueue(self.tasks).await?;
        let enqueued = Instant::now();
        let mut connection = self.pool.acquire().await?;
        self.wait_for(&ids, LOOK, &mut connection, processes).await?;
        let (excluding, including) = (enqueued.elapsed(), started.elapsed());
        let latencies = sqlx::query_scalar(
            "select (extract(epoch from completed_at - created_at) * 1000)::float8 from \
             tasker.tasks where task_id = any ($1)",
        )
        .bind(&ids)
        .fetch_all(self.pool)
        .await?;
        self.figures(before, &ids, [excluding, including], latencies, processes).await
    }

    /// One task at a time: latency, as the caller sees it.
    pub async fn one_at_a_time(&self, processes: &mut Processes) -> Result<Figures, BenchError> {
        let before = self.counters(processes).await?;
        let (mut ids, mut latencies, mut enqueueing) = (Vec::new(), Vec::new(), Duration::ZERO);
        let mut connection = self.pool.acquire().await?;
        let started = Instant::now();
        let mut shortest = Duration::MAX;
        for _ in 0..self.tasks {
            let begun = Instant::now();
            let id: Uuid = sqlx::query_scalar("select tasker.enqueue_task($1, $2, $3)")
                .bind(self.namespace)
                .bind(&self.template)
                .bind(json!({}))
                .fetch_one(&mut *connection)
                .await?;
            enqueueing += begun.elapsed();
            // Looking all the time would take one of two cores from what is measured; none takes
            // less than half of the shortest so far.
            if shortest < Duration::MAX {
                tokio::time::sleep((shortest / 2).saturating_sub(begun.elapsed())).await;
            }
            // No pause: a timer's step is a millisecond, a look takes a fifth of that.
            self.wait_for(&[id], Duration::ZERO, &mut connection, processes).await?;
            let latency = begun.elapsed();
            shortest = shortest.min(latency);
            latencies.push(latency.as_secs_f64() * 1000.0);
            ids.push(id);
        }
        let including = started.elapsed();
        self.figures(before, &ids, [including - enqueueing, including], latencies, processes).await
    }

    async fn enqueue(&self, tasks: u32) -> Result<Vec<Uuid>, BenchError> {
        let contexts = vec![json!({}); tasks as usize];
        let mut ids: Vec<Uuid> = Vec::with_capacity(contexts.len());
        // In parts: a call takes no more than max_contexts of tasker.settings.
        for contexts in contexts.chunks(10_000) {
            let some: Vec<Uuid> = sqlx::query_scalar("select tasker.enqueue_tasks($1, $2, $3)")
                .bind(self.namespace)
                .bind(&self.template)
                .bind(contexts)
                .fetch_all(self.pool)
                .await?;
            ids.extend(some);
        }
        Ok(ids)
    }

    /// Waits until all have completed. Looks from the last one on, which in all likelihood is the
    /// last to finish, with a pause between two looks.
    pub async fn wait_for(
        &self,
        ids: &[Uuid],
        pause: Duration,
        connection: &mut PgConnection,
        processes: &mut Processes,
    ) -> Result<(), BenchError> {
        let mut checked = Instant::now();
        for id in ids.iter().rev() {
            loop {
                let (state, error): (String, Option<Value>) = sqlx::query_as(
                    "select state::text, error from tasker.tasks where task_id = $1",
                )
                .bind(id)
                .fetch_one(&mut *connection)
                .await?;
                match state.as_str() {
                    "complete" => break,
                    "error" | "cancelled" | "blocked_by_failures" | "resolved_manually" => {
                        let why = error
                            .map(|error| format!(": {}", error_text(&error)))
                            .unwrap_or_default();
                        return Err(format!("task {id} ended in state {state}{why}").into());
                    }
                    _ if pause.is_zero() => {}
                    _ => tokio::time::sleep(pause).await,
                }
                if checked.elapsed() > Duration::from_secs(1) {
                    processes.check()?;
                    checked = Instant::now();
                }
            }
            if ids.len() > 1 && self.all_complete(ids).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn all_complete(&self, ids: &[Uuid]) -> Result<bool, BenchError> {
        Ok(sqlx::query_scalar(
            "select not exists (select from tasker.tasks where task_id = any ($1) and \
             completed_at is null)",
        )
        .bind(ids)
        .fetch_one(self.pool)
        .await?)
    }

    async fn figures(
        &self,
        before: Counters,
        ids: &[Uuid],
        [excluding_enqueue, including_enqueue]: [Duration; 2],
        latencies: Vec<f64>,
        processes: &Processes,
    ) -> Result<Figures, BenchError> {
        let (wal_bytes, cpu) = before.used.until_now(self.pool, processes).await?;
        // A backend reports its other counters at most once a second.
        tokio::time::sleep(Duration::from_millis(2_200)).await;
        let after = self.counters(processes).await?;
        Ok(Figures {
            excluding_enqueue,
            including_enqueue,
            steps: ids.len() as f64 * f64::from(self.workflow.steps()),
            tasks: ids.len() as f64,
            task_latency: percentiles(latencies),
            handover: percentiles(self.handovers(ids).await?),
            statements: after.statements.zip(before.statements).map(|(a, b)| a - b),
            commits: after.commits - before.commits,
            wal_bytes,
            rows: after.rows - before.rows,
            cpu,
        })
    }

    async fn handovers(&self, ids: &[Uuid]) -> Result<Vec<f64>, BenchError> {
        Ok(sqlx::query_scalar(
            "with hops as materialized (select task_id, name, to_state, at from \
             tasker.step_transitions
                                         where task_id = any ($1) and to_state in \
                                         ('enqueued_for_orchestration', 'in_progress'))
             select (extract(epoch from c.at - max(p.at)) * 1000)::float8
               from hops c
               join tasker.tasks t on t.task_id = c.task_id
               join tasker.template_edges e on e.template_id = t.template_id and e.child = c.name
               join hops p on p.task_id = c.task_id and p.name = e.parent and p.to_state = \
               'enqueued_for_orchestration'
              where c.to_state = 'in_progress'
              group by c.task_id, c.name, c.at",
        )
        .bind(ids)
        .fetch_all(self.pool)
        .await?)
    }

    async fn counters(&self, processes: &Processes) -> Result<Counters, BenchError> {
        let (commits, rows): (f64, f64) = sqlx::query_as(
            "select xact_commit::float8, (tup_inserted + tup_updated + tup_deleted)::float8
               from pg_stat_database where datname = current_database()",
        )
        .fetch_one(self.pool)
        .await?;
        // Counts what the processes sent, not what functions did inside.
        let statements = sqlx::query_scalar(
            "select sum(calls)::float8 from pg_stat_statements(false) where toplevel
                and dbid = (select oid from pg_database where datname = current_database())",
        )
        .fetch_one(self.pool)
        .await
        .ok();
        let used = Used::now(self.pool, processes).await?;
        Ok(Counters { statements, commits, rows, used })
    }
}

/// Percentiles by nearest rank.
fn percentiles(mut values: Vec<f64>) -> Percentiles {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let rank = (share * values.len() as f64).ceil() as usize;
        values.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    };
    Percentiles { p50: at(0.50), p95: at(0.95), p99: at(0.99) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let values = (1..=100).rev().map(f64::from).collect();
        let p = percentiles(values);
        assert_eq!((p.p50, p.p95, p.p99), (50.0, 95.0, 99.0));
    }
}
