//! One run over the whole file: prepare, enqueue, wait.

use super::{Strikes, TEMPLATE, register};
use crate::{Engine, Error, Result, runner::apply};
use pgtasker_client::calls;
use pgtasker_core::db::{DbOptions, connect};
use sqlx::PgPool;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How the handlers' connections are limited. More would not be faster: the database's processors
/// are what they wait for.
const TABLE_CONNECTIONS: u32 = 8;
/// Steps at once: enough that a handler that has its connection never waits for the next claim.
const CONCURRENCY: usize = 32;
/// Between two looks at the progress.
const PAUSE: Duration = Duration::from_millis(100);
/// Steps of the template.
const STEPS: u64 = 5;

/// What to type into psql for one more task.
pub const ENQUEUE_ONE: &str = "select tasker.enqueue_task('strikes', 'airport_year', \
     '{\"airport\": \"DALLAS/FORT WORTH INTL ARPT\", \"year\": 2001}')";

/// The tasks of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The correlation id of all of them.
    pub id: Uuid,
    /// One for each airport and year.
    pub tasks: Vec<Uuid>,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The run's tasks.
    pub tasks: u64,
    /// How many of them are done.
    pub tasks_done: u64,
    /// The run's steps.
    pub steps: u64,
    /// How many of them are done.
    pub steps_done: u64,
}

/// Creates the tables and applies the template; does nothing where they are there. The database
/// must have been migrated.
///
/// # Errors
/// A right is missing, or another template has this name and version.
pub async fn install(pool: &PgPool) -> Result<()> {
    sqlx::raw_sql(include_str!("sql/schema.sql")).execute(pool).await?;
    apply(pool, "strikes.yaml", TEMPLATE).await?;
    Ok(())
}

/// Starts an orchestrator and a worker with the handlers of this example in this process.
///
/// # Errors
/// As [`Engine::start`].
pub async fn start(url: &str) -> Result<Engine> {
    let tables =
        connect(&DbOptions::new(url, "strikes").max_connections(TABLE_CONNECTIONS)).await?;
    Engine::start(url, |builder| register(builder, tables).concurrency(CONCURRENCY)).await
}

/// Enqueues a task for each airport and year by the SQL function, in one transaction.
///
/// # Errors
/// `TK001` or `TK002` where [`install`] has not been called; the file cannot be read.
pub async fn enqueue(pool: &PgPool) -> Result<Run> {
    let id = Uuid::now_v7();
    let (airports, years): (Vec<&str>, Vec<i32>) = Strikes::all()?.keys().unzip();
    let tasks = sqlx::query_scalar(include_str!("sql/enqueue.sql"))
        .bind(airports)
        .bind(years)
        .bind(id)
        .fetch_all(pool)
        .await?;
    Ok(Run { id, tasks })
}

/// Waits until every task of the run is complete and tells the progress about ten times a second.
///
/// # Errors
/// [`Error::Task`] as soon as one of them has failed; [`Error::TimedOut`].
pub async fn wait(
    pool: &PgPool,
    run: &Run,
    timeout: Duration,
    mut on_progress: impl FnMut(Progress),
) -> Result<()> {
    let tasks = run.tasks.len() as u64;
    let started = Instant::now();
    loop {
        let (done, steps_done, failed): (i64, i64, Option<Uuid>) =
            sqlx::query_as(include_str!("sql/progress.sql"))
                .bind(&run.tasks)
                .fetch_one(pool)
                .await?;
        if let Some(task_id) = failed {
            let status = calls::task_status(pool, task_id).await?;
            let reason = status.error.map_or_else(String::new, |error| error.to_string());
            return Err(Error::Task { task_id, state: status.state.to_string(), reason });
        }
        let tasks_done = done.unsigned_abs();
        on_progress(Progress {
            tasks,
            tasks_done,
            steps: tasks * STEPS,
            steps_done: steps_done.unsigned_abs(),
        });
        if tasks_done == tasks {
            return Ok(());
        }
        if started.elapsed() >= timeout {
            return Err(Error::TimedOut { open: tasks - tasks_done, seconds: timeout.as_secs() });
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::{super::NAMESPACE, *};
    use pgtasker_core::template::TemplateFile;

    #[test]
    fn the_template_is_the_one_that_is_run() {
        let file = TemplateFile::parse("strikes.yaml", TEMPLATE).unwrap();
        assert_eq!(file.definition()["namespace"], NAMESPACE);
        assert_eq!(file.definition()["steps"].as_array().unwrap().len() as u64, STEPS);
        let name = file.definition()["name"].as_str().unwrap();
        for sql in [ENQUEUE_ONE, include_str!("sql/enqueue.sql")] {
            assert!(sql.contains(&format!("enqueue_task('{NAMESPACE}', '{name}'")), "{sql}");
        }
    }
}
