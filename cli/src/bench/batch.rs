//! `--workflow batch`: one task with a batch of N no-op instances, next to the linear benchmark in
//! the same run. What a worker cannot do by a no-op, give N cursors, is a function in a schema of
//! the benchmark's own, run by the built-in `sql` handler.

use super::{
    BenchArgs, BenchError,
    batch_report::Report,
    common::{self, COMING_UP, progress},
    cpu::Cpu,
    processes::Processes,
    run::{Bench, LOOK, Used},
    workflow::Workflow,
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;

/// Instances of the task that is not measured.
pub const WARM_UP: u32 = 500;

/// What one task with a batch has shown.
#[derive(Debug, Clone, Copy)]
pub struct Figures {
    /// Milliseconds from the batchable's stored result to the first claim of an instance. All are
    /// created in one commit, and none can be claimed before it: nothing that is part of creating
    /// them is left out.
    pub created_ms: f64,
    /// Steps a second, from that claim to the last instance's completion.
    pub steps_per_second: f64,
    /// Milliseconds from enqueueing the task to its completion.
    pub task_ms: f64,
    /// How often the convergence was run.
    pub convergences: i64,
    /// Bytes of write-ahead log by instance.
    pub wal_bytes: f64,
    /// CPU seconds by instance.
    pub cpu: Cpu,
}

/// One run: the linear benchmark's steps a second, and the figures for each number of instances.
pub struct Run {
    /// Steps a second.
    pub linear: f64,
    /// In the order of the numbers.
    pub batches: Vec<Figures>,
}

/// Makes the function that gives the cursors.
pub async fn prepare(pool: &PgPool, namespace: &str) -> Result<(), BenchError> {
    let sql = format!(
        "create schema {namespace};
         create function {namespace}.cut(p jsonb) returns jsonb language sql as $$
             select jsonb_build_object('$tasker', jsonb_build_object('type', 'batches', 'cursors',
                        (select jsonb_agg(jsonb_build_object('start', n - 1, 'end', n) order by n)
                           from generate_series(1, (p -> 'context' ->> 'instances')::int) n)))
         $$;"
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await?;
    Ok(())
}

/// Removes it, where it was made.
pub async fn clean(pool: &PgPool, namespace: &str) -> Result<(), BenchError> {
    let sql = format!("drop schema if exists {namespace} cascade");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await?;
    Ok(())
}

/// The template: a batchable, its instances, one convergence.
pub fn definition(namespace: &str) -> Value {
    let cut = json!({"callable": "sql", "config": {"function": format!("{namespace}.cut")}});
    let noop = json!({"callable": "noop"});
    json!({"namespace": namespace, "name": Workflow::Batch.name(), "version": "1", "steps": [
        {"name": "cut", "type": "batchable", "handler": cut},
        {"name": "item", "type": "batch_worker", "dependencies": ["cut"], "handler": noop},
        {"name": "total", "dependencies": ["item"], "handler": noop},
    ]})
}

/// Measures, in each run the linear benchmark first.
pub async fn measure(
    args: &BenchArgs,
    pool: &PgPool,
    namespace: &str,
    processes: &mut Processes,
) -> Result<Report, BenchError> {
    processes.wait_until_ready(pool, namespace, COMING_UP).await?;
    let workflow = Workflow::Linear;
    let linear = Bench {
        pool,
        namespace,
        workflow,
        template: workflow.name().to_owned(),
        tasks: args.task_count(),
    };
    let sizes = args.sizes();
    let bar = progress(u64::from(args.run_count()) * (1 + sizes.len() as u64));
    linear.warm_up(processes).await?;
    batch(&linear, WARM_UP, processes).await?;
    let mut runs = Vec::new();
    for _ in 0..args.run_count() {
        let figures = linear.all_at_once(processes).await?;
        bar.inc(1);
        let mut run = Run { linear: figures.steps_per_second(), batches: Vec::new() };
        for &instances in &sizes {
            run.batches.push(batch(&linear, instances, processes).await?);
            bar.inc(1);
        }
        runs.push(run);
    }
    bar.finish_and_clear();
    let server = common::server_version(pool).await?;
    Ok(Report::new(args, linear.tasks, server, &runs, processes.peak_rss()?))
}

/// Runs one task with this many instances.
pub async fn batch(
    bench: &Bench<'_>,
    instances: u32,
    processes: &mut Processes,
) -> Result<Figures, BenchError> {
    let before = Used::now(bench.pool, processes).await?;
    let mut connection = bench.pool.acquire().await?;
    let id: Uuid = sqlx::query_scalar("select tasker.enqueue_task($1, $2, $3)")
        .bind(bench.namespace)
        .bind(Workflow::Batch.name())
        .bind(json!({"instances": instances}))
        .fetch_one(&mut *connection)
        .await?;
    bench.wait_for(&[id], LOOK, &mut connection, processes).await?;
    let (wal_bytes, cpu) = before.until_now(bench.pool, processes).await?;
    let (complete, created_ms, run_seconds, task_ms, convergences): (i64, f64, f64, f64, i64) =
        sqlx::query_as(
            "with i as materialized (
             select count(*) filter (where state = 'complete') as complete, min(started_at) as \
             first, max(completed_at) as last
               from tasker.steps where task_id = $1 and instance is not null),
         h as materialized (
             select max(at) filter (where name = 'cut' and to_state = \
             'enqueued_for_orchestration') as stored,
                    count(*) filter (where name = 'total' and to_state = 'in_progress') as \
                    convergences
               from tasker.step_transitions where task_id = $1)
         select i.complete, (extract(epoch from i.first - h.stored) * 1000)::float8, \
         extract(epoch from i.last - i.first)::float8,
                (extract(epoch from t.completed_at - t.created_at) * 1000)::float8, h.convergences
           from tasker.tasks t, i, h where t.task_id = $1",
        )
        .bind(id)
        .fetch_one(&mut *connection)
        .await?;
    if complete != i64::from(instances) {
        return Err(
            format!("task {id} is complete with {complete} of {instances} instances").into()
        );
    }
    let instances = f64::from(instances);
    Ok(Figures {
        created_ms,
        steps_per_second: instances / run_seconds,
        task_ms,
        convergences,
        wal_bytes: wal_bytes / instances,
        cpu: cpu.since(&Cpu::NOTHING, instances),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_has_a_batch_between_its_source_and_its_convergence() {
        let definition = definition("bench_1");
        let types: Vec<_> =
            definition["steps"].as_array().unwrap().iter().map(|step| &step["type"]).collect();
        assert_eq!(types, [&json!("batchable"), &json!("batch_worker"), &Value::Null]);
        assert_eq!(definition["steps"][0]["handler"]["config"]["function"], "bench_1.cut");
    }
}
