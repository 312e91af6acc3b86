//! The graph of a task. A task may have a hundred thousand instances of a batch, so it can be had
//! with few of them.

use super::{list_batches, unwrapped};
use crate::types::{BatchOverview, Instances, StepOverview, TaskGraph};
use pgtasker_core::{Result, json::Document, pooler::Limited};
use uuid::Uuid;

/// Steps that are meant by `$rest`, roots first; by number, as `_1000` sorts before `_999`.
/// Documents of those behind the first 16 MiB are hidden: a list of steps has pages, and a step
/// alone shows its own.
macro_rules! steps {
    ($rest:literal) => {
        concat!(
            "select case when sum(octet_length(s.row::text)) over w <= 16777216 then s.row \
               else s.row || coalesce((select jsonb_object_agg(k.name, '{\"$hidden\": \"the graph \
               has more than 16 MiB: look at the step alone\"}'::jsonb) \
                 from unnest('{result,inputs,checkpoint,error}'::text[]) k(name) where s.row -> \
                 k.name <> 'null'), '{}') end \
               from (select to_jsonb(v) - 'duration' as row, v.level, v.position, v.instance, \
               v.step \
                       from tasker.step_overview v where v.task_id = $1",
            $rest,
            ") s window w as (order by s.level, s.position, s.instance nulls first, s.step rows \
             unbounded preceding) \
               order by s.level, s.position, s.instance nulls first, s.step"
        )
    };
}

const STEPS: &str = steps!("");

/// Without instances, but for those of the batches $2 and those named $3.
const FEW_STEPS: &str =
    steps!(" and (v.instance is null or v.template_step = any ($2) or v.step = any ($3))");

/// The first $2 instances in error of every batch.
const FAILED: &str = "select f.step from (select v.step, row_number() over (partition \
    by v.template_step order by v.instance) as n \
     from tasker.step_overview v where v.task_id = $1 and v.instance is not null and v.state = \
     'error') f where f.n <= $2";
const DAG: &str =
    "select to_jsonb(v) from tasker.step_dag v where v.task_id = $1 order by v.level, v.step";

/// Without instances, but for those named $2.
const FEW_DAG: &str = "select to_jsonb(v) from tasker.step_dag v where v.task_id = $1 \
     and (v.step = v.template_step or v.step = any ($2)) order by v.level, v.step";

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
        let steps = sqlx::query_scalar(STEPS).bind(task_id).fetch_all(db).await?;
        let dag = sqlx::query_scalar(DAG).bind(task_id).fetch_all(db).await?;
        return Ok(TaskGraph { steps: unwrapped(steps), dag: unwrapped(dag), batches });
    };
    let is_small = |batch: &&BatchOverview| batch.instances <= i64::from(few);
    let small: Vec<&str> =
        batches.iter().filter(is_small).map(|batch| batch.step.as_str()).collect();
    let failing = batches.iter().any(|batch| !is_small(&batch) && batch.failed > 0);
    let failed: Vec<String> = match failing {
        true => sqlx::query_scalar(FAILED).bind(task_id).bind(i64::from(few)).fetch_all(db).await?,
        false => Vec::new(),
    };
    let steps: Vec<Document<StepOverview>> = sqlx::query_scalar(FEW_STEPS)
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
    let dag = sqlx::query_scalar(FEW_DAG).bind(task_id).bind(&wanted).fetch_all(db).await?;
    Ok(TaskGraph { steps, dag: unwrapped(dag), batches })
}
