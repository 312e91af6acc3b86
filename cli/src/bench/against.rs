//! `--against BINARY`, `--language L`: this build and another one, or a worker in a language and
//! the Rust worker, by turns on one server, each on a database of its own that its build has
//! migrated. Another build may be older: it is used by `migrate`, `orchestrator`, and `worker`
//! alone.

use super::{
    BenchArgs, BenchError,
    batch::{self, WARM_UP},
    common::{self, COMING_UP, apply, progress},
    comparison::{Better, Figure, Report},
    events,
    language::Language,
    processes::{self, Processes},
    run::{self, Bench},
    workflow::Workflow,
};
use pgtasker_core::db::{self, DbOptions};
use sqlx::{AssertSqlSafe, PgPool};
use std::path::PathBuf;

/// A build, its worker's language where that is not Rust, and its database.
struct Side {
    program: PathBuf,
    language: Option<Language>,
    database: String,
    url: String,
}

/// Compares; see [`clean`].
pub async fn sides(
    args: &BenchArgs,
    admin: &PgPool,
    namespace: &str,
    url: &str,
) -> Result<Report, BenchError> {
    if let Some(language) = args.language {
        language.check().await?;
    }
    let side = |program: PathBuf, language: Option<Language>, name: &str| {
        let database = format!("tasker_{namespace}_{name}");
        let url = with_database(url, &database);
        Side { program, language, database, url }
    };
    let this = std::env::current_exe()?;
    let other = args.against.as_ref().unwrap_or(&this);
    let sides = [
        side(this.clone(), args.language, "this"),
        side(std::path::absolute(other)?, None, "other"),
    ];
    compare(args, &sides, admin, namespace).await
}

/// Drops what an interrupted comparison has left as well.
pub async fn clean(admin: &PgPool, namespace: &str) -> Result<(), BenchError> {
    for name in ["this", "other"] {
        let sql = format!("drop database if exists tasker_{namespace}_{name} with (force)");
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(admin).await?;
    }
    Ok(())
}

async fn compare(
    args: &BenchArgs,
    sides: &[Side; 2],
    admin: &PgPool,
    namespace: &str,
) -> Result<Report, BenchError> {
    let mut pools = Vec::new();
    for side in sides {
        pools.push(side.prepare(args, admin, namespace).await?);
    }
    let bar = progress(2 * u64::from(args.run_count()));
    let mut pairs = Vec::new();
    for number in 0..usize::from(args.run_count()) {
        let mut pair = [Vec::new(), Vec::new()];
        for turn in 0..2 {
            // By turns the one and the other begins: neither always has the warmer machine.
            let which = (number + turn) % 2;
            // A checkpoint must not burden the run that it happens to meet. Only some roles may ask
            // for one.
            if let Err(error) = sqlx::raw_sql("checkpoint").execute(admin).await {
                tracing::debug!(%error, "no checkpoint before the run");
            }
            pair[which] = sides[which].measure(args, &pools[which], namespace).await?;
            bar.inc(1);
        }
        pairs.push(pair);
    }
    bar.finish_and_clear();
    for pool in pools {
        pool.close().await;
    }
    let server = common::server_version(admin).await?;
    let against = match args.language {
        Some(_) => "the Rust worker of this build".to_owned(),
        None => sides[1].program.display().to_string(),
    };
    Ok(Report::new(args, against, server, &pairs))
}

impl Side {
    /// Makes the database, its schema, and the templates.
    async fn prepare(
        &self,
        args: &BenchArgs,
        admin: &PgPool,
        namespace: &str,
    ) -> Result<PgPool, BenchError> {
        let create = format!("create database {}", self.database);
        sqlx::raw_sql(AssertSqlSafe(create)).execute(admin).await.map_err(|error| {
            format!(
                "--against cannot create its two databases on this server: {error}; name a server \
                 where you may (createdb), or leave the database out to start one"
            )
        })?;
        let migrated = processes::command(&self.program, &self.url, &["migrate"]).status().await;
        let program = self.program.display();
        match migrated {
            Ok(status) if status.success() => {}
            Ok(status) => return Err(format!("`{program} migrate` ended with {status}").into()),
            Err(error) => return Err(format!("{program} cannot be run: {error}").into()),
        }
        let pool = db::connect(&DbOptions::new(&self.url, "tasker bench")).await?;
        // As in a measurement of one build: without it one figure is missing.
        if let Err(error) =
            sqlx::raw_sql("create extension if not exists pg_stat_statements").execute(&pool).await
        {
            tracing::debug!(%error, "statements are not counted");
        }
        let definition = match args.workflow {
            Workflow::Batch => {
                batch::prepare(&pool, namespace).await?;
                batch::definition(namespace)
            }
            workflow if args.events => events::definition(workflow, namespace),
            workflow => workflow.definition(namespace),
        };
        let definition = match self.language {
            Some(_) => Language::calls(definition),
            None => definition,
        };
        apply(&pool, definition).await?;
        Ok(pool)
    }

    /// One run, by processes of its own: no other is there meanwhile.
    async fn measure(
        &self,
        args: &BenchArgs,
        pool: &PgPool,
        namespace: &str,
    ) -> Result<Vec<Figure>, BenchError> {
        let mut processes =
            Processes::start(&self.program, &self.url, namespace, args, self.language)?;
        let measured = self.figures(args, pool, namespace, &mut processes).await;
        let stopped = processes.stop().await;
        let measured = measured.map_err(|error| format!("{}: {error}", self.program.display()))?;
        stopped?;
        Ok(measured)
    }

    async fn figures(
        &self,
        args: &BenchArgs,
        pool: &PgPool,
        namespace: &str,
        processes: &mut Processes,
    ) -> Result<Vec<Figure>, BenchError> {
        processes.wait_until_ready(pool, namespace, COMING_UP).await?;
        let workflow = args.workflow;
        let template =
            if args.events { events::template(workflow) } else { workflow.name().to_owned() };
        let bench = Bench { pool, namespace, workflow, template, tasks: args.task_count() };
        let mut figures = if workflow == Workflow::Batch {
            of_batches(args, &bench, processes).await?
        } else {
            bench.warm_up(processes).await?;
            of_tasks(&match args.latency {
                true => bench.one_at_a_time(processes).await?,
                false => bench.all_at_once(processes).await?,
            })
        };
        if args.events {
            events::clean(pool, namespace).await?;
        }
        for peak in processes.peak_rss()? {
            let name = format!("peak memory, MB, {}", peak.process);
            figures.push(Figure::new(name, peak.bytes as f64 / 1e6, Better::Lower));
        }
        Ok(figures)
    }
}

fn of_tasks(run: &run::Figures) -> Vec<Figure> {
    let lower = |name: &str, value: f64| Figure::new(name, value, Better::Lower);
    let mut figures = vec![
        Figure::new("steps/s", run.steps_per_second(), Better::Higher),
        lower("task latency p50, ms", run.task_latency.p50),
        lower("task latency p95, ms", run.task_latency.p95),
        lower("hand-over p50, ms", run.handover.p50),
        lower("commits/step", run.commits / run.steps),
        lower("rows written/step", run.rows / run.steps),
        lower("WAL bytes/step", run.wal_bytes / run.steps),
    ];
    figures
        .extend(run.statements.map(|statements| lower("statements/step", statements / run.steps)));
    let cpu = [
        ("PostgreSQL", run.cpu.postgresql),
        ("orchestrator", run.cpu.orchestrator),
        ("workers", run.cpu.workers),
        ("all", run.cpu.total()),
    ];
    for (name, seconds) in cpu {
        let micros = seconds
            .map(|seconds| lower(&format!("CPU µs/step, {name}"), seconds / run.steps * 1e6));
        figures.extend(micros);
    }
    figures
}

async fn of_batches(
    args: &BenchArgs,
    bench: &Bench<'_>,
    processes: &mut Processes,
) -> Result<Vec<Figure>, BenchError> {
    batch::batch(bench, WARM_UP, processes).await?;
    let mut figures = Vec::new();
    for instances in args.sizes() {
        let run = batch::batch(bench, instances, processes).await?;
        let mut figure = |name: &str, value: f64, better| {
            figures.push(Figure::new(format!("{name}, {instances} instances"), value, better));
        };
        figure("steps/s", run.steps_per_second, Better::Higher);
        figure("created, ms", run.created_ms, Better::Lower);
        figure("task, ms", run.task_ms, Better::Lower);
        figure("WAL bytes/step", run.wal_bytes, Better::Lower);
        if let Some(seconds) = run.cpu.total() {
            figure("CPU µs/step", seconds * 1e6, Better::Lower);
        }
    }
    Ok(figures)
}

/// The same server, another database.
fn with_database(url: &str, database: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        // libpq's other form: the last word of a name counts.
        return format!("{url} dbname={database}");
    };
    let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (host, _) = address.split_once('/').unwrap_or((address, ""));
    let query: Vec<&str> =
        query.split('&').filter(|word| !word.is_empty() && !word.starts_with("dbname=")).collect();
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{scheme}://{host}/{database}{mark}{}", query.join("&"))
}

#[cfg(test)]
mod tests {
    use super::with_database;

    #[test]
    fn every_form_of_an_address_gets_the_other_database() {
        for (url, expected) in [
            ("postgres://a:b@h:1/x?sslmode=disable", "postgres://a:b@h:1/y?sslmode=disable"),
            ("postgresql://a@%2Ftmp?dbname=x&port=2", "postgresql://a@%2Ftmp/y?port=2"),
            ("postgres://h", "postgres://h/y"),
            ("host=h dbname=x", "host=h dbname=x dbname=y"),
        ] {
            assert_eq!(with_database(url, "y"), expected);
        }
    }
}
