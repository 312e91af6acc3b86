//! One task with all there is to know about it. A task may have a hundred thousand instances of a
//! batch, so its graph can be had with few of them.

use super::{
    unwrapped,
    views::{
        self, BatchOverview, DagRow, StepOverview, StepTransition, TaskDetails, TaskOverview,
        TaskTransition,
    },
};
use crate::{Error, Result, json::Document, pooler::Limited};
use serde::{Deserialize, Serialize};
use sqlx::PgExecutor;
use uuid::Uuid;

/// Which instances of batches [`task_graph`] gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instances {
    /// All.
    All,
    /// All of a batch of at most so many, and the first so many in error of a larger one.
    Few(u32),
}

/// The graph of a task: steps, dependencies, and batches, all roots first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TaskGraph {
    /// The steps that exist, and the instances asked for.
    pub steps: Vec<StepOverview>,
    /// Those steps and the steps that do not exist, with their dependencies; of every batch one
    /// instance at least.
    pub dag: Vec<DagRow>,
    /// Every batch, with its progress.
    pub batches: Vec<BatchOverview>,
}

/// A task with its steps, its graph, and its whole audit.
///
/// # Errors
/// `TK004` when there is no such task.
pub async fn show_task(db: impl Into<Limited<'_>>, task_id: Uuid) -> Result<TaskDetails> {
    let db = db.into();
    let task = task_overview(db, task_id).await?;
    let TaskGraph { steps, dag, batches } = task_graph(db, task_id, Instances::All).await?;
    let (task_transitions, step_transitions) = task_transitions(db, task_id).await?;
    Ok(TaskDetails { task, steps, dag, batches, task_transitions, step_transitions })
}

/// A task without its steps.
///
/// # Errors
/// `TK004` when there is no such task.
pub async fn task_overview(executor: impl PgExecutor<'_>, task_id: Uuid) -> Result<TaskOverview> {
    let task: Option<Document<TaskOverview>> =
        sqlx::query_scalar(views::TASK).bind(task_id).fetch_optional(executor).await?;
    task.map(|Document(task)| task).ok_or_else(|| Error::Refused {
        code: "TK004".to_owned(),
        message: format!("there is no task {task_id}"),
        hint: Some("tasker task list shows the newest tasks".to_owned()),
    })
}

/// The context of a task: its input, as it was enqueued.
///
/// # Errors
/// `TK004` when there is no such task.
pub async fn task_context(
    executor: impl PgExecutor<'_>,
    task_id: Uuid,
) -> Result<serde_json::Value> {
    let context =
        sqlx::query_scalar("select tasker.task_context($1)").bind(task_id).fetch_one(executor);
    let Document(context) = context.await?;
    Ok(context)
}

/// The audit of a task and of its steps, both oldest first.
///
/// # Errors
/// Database errors only; of a task that is not there it is empty.
pub async fn task_transitions(
    db: impl Into<Limited<'_>>,
    task_id: Uuid,
) -> Result<(Vec<TaskTransition>, Vec<StepTransition>)> {
    let db = db.into();
    let of_task = sqlx::query_scalar(views::TASK_TRANSITIONS).bind(task_id).fetch_all(db).await?;
    let of_steps = sqlx::query_scalar(views::STEP_TRANSITIONS).bind(task_id).fetch_all(db).await?;
    Ok((unwrapped(of_task), unwrapped(of_steps)))
}

/// Of the audit of a task's steps the page after the transition `after`, oldest first, and where
/// the next page begins; of that of the task itself all, with the first page.
///
/// # Errors
/// Database errors only; of a task that is not there it is empty.
pub async fn task_transitions_page(
    db: impl Into<Limited<'_>>,
    task_id: Uuid,
    after: Option<i64>,
    limit: u32,
) -> Result<(Vec<TaskTransition>, Vec<StepTransition>, Option<i64>)> {
    let db = db.into();
    let of_task = match after {
        None => sqlx::query_scalar(views::TASK_TRANSITIONS).bind(task_id).fetch_all(db).await?,
        Some(_) => Vec::new(),
    };
    let rows: Vec<(i64, Document<StepTransition>)> = sqlx::query_as(views::STEP_TRANSITIONS_PAGE)
        .bind(task_id)
        .bind(after.unwrap_or_default())
        .bind(i64::from(limit))
        .fetch_all(db)
        .await?;
    let full = rows.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
    let next = rows.last().filter(|_| full).map(|(id, _)| *id);
    Ok((unwrapped(of_task), rows.into_iter().map(|(_, Document(row))| row).collect(), next))
}

/// The audit of one step, oldest first.
///
/// # Errors
/// Database errors only; of a step that is not there it is empty.
pub async fn step_transitions(
    executor: impl PgExecutor<'_>,
    task_id: Uuid,
    step: &str,
) -> Result<Vec<StepTransition>> {
    let rows =
        sqlx::query_scalar(views::TRANSITIONS_OF_STEP).bind(task_id).bind(step).fetch_all(executor);
    Ok(unwrapped(rows.await?))
}

/// The batches of a task with their progress, roots first.
///
/// # Errors
/// Database errors only.
pub async fn list_batches(
    executor: impl PgExecutor<'_>,
    task_id: Uuid,
) -> Result<Vec<BatchOverview>> {
    Ok(unwrapped(sqlx::query_scalar(views::BATCHES).bind(task_id).fetch_all(executor).await?))
}

/// The steps of a task, its graph, and its batches; empty when there is no such task.
///
/// # Errors
/// Database errors only.
pub async fn task_graph(
    db: impl Into<Limited<'_>>,
    task_id: Uuid,
    instances: Instances,
) -> Result<TaskGraph> {
    let db = db.into();
    let batches = list_batches(db, task_id).await?;
    let Instances::Few(few) = instances else {
        let steps = sqlx::query_scalar(views::STEPS).bind(task_id).fetch_all(db).await?;
        let dag = sqlx::query_scalar(views::DAG).bind(task_id).fetch_all(db).await?;
        return Ok(TaskGraph { steps: unwrapped(steps), dag: unwrapped(dag), batches });
    };
    let is_small = |batch: &&BatchOverview| batch.instances <= i64::from(few);
    let small: Vec<&str> =
        batches.iter().filter(is_small).map(|batch| batch.step.as_str()).collect();
    let failing = batches.iter().any(|batch| !is_small(&batch) && batch.failed > 0);
    let failed: Vec<String> = match failing {
        true => {
            sqlx::query_scalar(views::FAILED)
                .bind(task_id)
                .bind(i64::from(few))
                .fetch_all(db)
                .await?
        }
        false => Vec::new(),
    };
    let steps: Vec<Document<StepOverview>> = sqlx::query_scalar(views::FEW_STEPS)
        .bind(task_id)
        .bind(&small)
        .bind(&failed)
        .fetch_all(db)
        .await?;
    let steps = unwrapped(steps);
    let one_of_each = batches.iter().map(|batch| format!("{}_001", batch.step));
    let instances =
        steps.iter().filter(|step| step.instance.is_some()).map(|step| step.step.clone());
    let wanted: Vec<String> = instances.chain(one_of_each).collect();
    let dag = sqlx::query_scalar(views::FEW_DAG).bind(task_id).bind(&wanted).fetch_all(db).await?;
    Ok(TaskGraph { steps, dag: unwrapped(dag), batches })
}
