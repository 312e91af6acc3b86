//! The steps of a task: look at, retry, and resolve them.

use super::unwrapped;
use crate::types::{BatchOverview, By, Listed, Page, StepFilter, StepOverview, StepTransition};
use pgtasker_core::{Result, json::Document};
use serde_json::Value;
use sqlx::PgExecutor;
use uuid::Uuid;

/// A page that its bytes have cut is as short as a last one: whether there is more is looked for.
const LIST_STEPS: &str = "with page as materialized (select v.*, row_number() over () \
    as n \
       from tasker.list_steps($1, $2::tasker.step_state[], $3, $4, $5) v) \
     select to_jsonb(p) - 'duration' - 'n', \
       (select count(*) < $5 and exists (select from tasker.list_steps($1, \
       $2::tasker.step_state[], $3, \
               (array_agg(l.step order by l.n desc))[1], 1)) from page l) \
       from page p order by p.n";
const SHOW_STEP: &str = "select to_jsonb(v) - 'duration' from tasker.show_step($1, $2) v";
const TRANSITIONS_OF_STEP: &str = "select to_jsonb(v) from tasker.step_audit v \
     where v.task_id = $1 and v.name = $2 order by v.transition_id";
const BATCHES: &str = "select to_jsonb(v) from tasker.batch_overview v where v.task_id \
    = $1 order by v.created_at, v.step";

/// The steps of a task, roots first, instances by number.
///
/// # Errors
/// `TK004` task, `TK032` the page begins after a step that is not there, `TK008` the page's limit.
pub async fn list_steps(
    executor: impl PgExecutor<'_>,
    task_id: Uuid,
    filter: &StepFilter,
    page: &Page,
) -> Result<Listed<StepOverview>> {
    let states: Vec<&str> = filter.states.iter().map(|state| state.as_str()).collect();
    let rows: Vec<(Document<StepOverview>, bool)> = sqlx::query_as(LIST_STEPS)
        .bind(task_id)
        .bind(Some(states).filter(|states| !states.is_empty()))
        .bind(&filter.template_step)
        .bind(&page.after)
        .bind(page.asked())
        .fetch_all(executor)
        .await?;
    let more = rows.iter().any(|(_, more)| *more);
    let steps = rows.into_iter().map(|(Document(step), _)| step).collect();
    let mut listed = Listed::new(steps, page, |step: &StepOverview| step.step.clone());
    listed.next =
        listed.next.or_else(|| listed.items.last().filter(|_| more).map(|step| step.step.clone()));
    Ok(listed)
}

/// One step.
///
/// # Errors
/// `TK004` task, `TK032` step.
pub async fn show_step(
    executor: impl PgExecutor<'_>,
    task_id: Uuid,
    step: &str,
) -> Result<StepOverview> {
    let Document(step) =
        sqlx::query_scalar(SHOW_STEP).bind(task_id).bind(step).fetch_one(executor).await?;
    Ok(step)
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
    let rows = sqlx::query_scalar(TRANSITIONS_OF_STEP).bind(task_id).bind(step).fetch_all(executor);
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
    Ok(unwrapped(sqlx::query_scalar(BATCHES).bind(task_id).fetch_all(executor).await?))
}

/// Runs a step in error again, with all its attempts; false when it waits or runs already.
///
/// # Errors
/// `TK004` task, `TK031` the task has finished (one in error: [`super::reset_task`]), `TK032` step,
/// `TK033` the step is complete or what depends on it has begun, `TK034` another transaction holds
/// it.
pub async fn retry_step(
    executor: impl PgExecutor<'_>,
    task_id: Uuid,
    step: &str,
    by: By<'_>,
) -> Result<bool> {
    let retried = sqlx::query_scalar("select tasker.retry_step($1, $2, $3, $4)")
        .bind(task_id)
        .bind(step)
        .bind(by.reason)
        .bind(by.who)
        .fetch_one(executor)
        .await?;
    Ok(retried)
}

/// Settles a step by hand with `result`; false when it is complete or resolved already. A decision
/// or a batchable needs its outcome instead: which steps exist, or the cursors, and it may carry
/// the result.
///
/// # Errors
/// `TK004` task, `TK031` the task has finished, `TK032` step, `TK034` another transaction holds it,
/// `TK035` the outcome is missing or not one that the step can have.
pub async fn resolve_step(
    executor: impl PgExecutor<'_>,
    task_id: Uuid,
    step: &str,
    result: Option<&Value>,
    outcome: Option<&Value>,
    by: By<'_>,
) -> Result<bool> {
    let resolved = sqlx::query_scalar("select tasker.resolve_step($1, $2, $3, $4, $5, $6)")
        .bind(task_id)
        .bind(step)
        .bind(result)
        .bind(by.reason)
        .bind(by.who)
        .bind(outcome)
        .fetch_one(executor)
        .await?;
    Ok(resolved)
}
