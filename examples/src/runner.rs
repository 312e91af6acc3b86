//! Runs one template from nothing to its results, for the examples and their tests.

use crate::{Engine, Error, Result, register};
use pgtasker_client::calls;
use pgtasker_core::{
    db::{DbOptions, connect},
    template::{self, TemplateFile},
};
use pgtasker_worker::WorkerBuilder;
use serde_json::Value;
use sqlx::PgPool;
use std::time::Duration;

/// How long the tasks of an example may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The value of DATABASE_URL.
///
/// # Errors
/// [`Error::NoDatabase`] where it is not set.
pub fn database_url() -> Result<String> {
    std::env::var("DATABASE_URL").ok().filter(|url| !url.is_empty()).ok_or(Error::NoDatabase)
}

/// Prepares the database, applies `template`, starts an orchestrator and a worker in this process,
/// enqueues a task for each context by the SQL function, waits, and returns their results (those of
/// `tasker.task_result`) in the same order.
///
/// # Errors
/// What [`Error`] lists; [`Error::Task`] for the first task that does not complete.
pub async fn run_one(
    url: &str,
    template: &str,
    contexts: &[Value],
    register: impl FnOnce(WorkerBuilder) -> WorkerBuilder,
) -> Result<Vec<Value>> {
    let pool = connect(&DbOptions::new(url, "tasker client")).await?;
    pgtasker_queues::migrate(&pool).await?;
    let file = apply(&pool, "template.yaml", template).await?;
    let name_of = |key: &str| file.definition()[key].as_str().unwrap_or_default().to_owned();
    let (namespace, name) = (name_of("namespace"), name_of("name"));
    let mut engine = Engine::start(url, |builder| register(builder.namespace(&namespace))).await?;
    let work = async {
        let mut results = Vec::new();
        for task_id in calls::enqueue_tasks(&pool, &namespace, &name, contexts).await? {
            results.push(result_of(&pool, task_id).await?);
        }
        Ok(results)
    };
    let results = engine.run(work).await?;
    engine.stop().await?;
    Ok(results)
}

/// The whole of an example program: runs the template on DATABASE_URL, prints each result, and
/// compares it with what plain Rust computes.
///
/// # Errors
/// As [`run_one`].
///
/// # Panics
/// When a result is not the expected one.
pub async fn run_example(
    template: &str,
    expected: fn(&Value) -> Value,
    contexts: &[Value],
) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let results = run_one(&database_url()?, template, contexts, register).await?;
    for (context, result) in contexts.iter().zip(&results) {
        println!("{context} → {result}");
        assert_eq!(
            *result,
            expected(context),
            "the workflow and plain Rust disagree about {context}"
        );
    }
    Ok(())
}

/// Applies a template file.
pub(crate) async fn apply(pool: &PgPool, name: &str, text: &str) -> Result<TemplateFile> {
    let file = TemplateFile::parse(name, text).map_err(Error::Template)?;
    template::apply_template(pool, file.definition(), None).await?;
    Ok(file)
}

async fn result_of(pool: &PgPool, task_id: uuid::Uuid) -> Result<Value> {
    let status = calls::wait(pool, task_id, PATIENCE).await?;
    if !status.is_settled() {
        return Err(Error::TimedOut { open: 1, seconds: PATIENCE.as_secs() });
    }
    match calls::task_result(pool, task_id).await? {
        Some(result) => Ok(result),
        None => Err(Error::Task {
            task_id,
            state: status.state.to_string(),
            reason: status.error.map_or_else(|| "no reason is given".to_owned(), |e| e.to_string()),
        }),
    }
}
