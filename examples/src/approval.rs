//! A decision chooses who must approve an amount; a deferred step waits for those who were asked
//! and tells who approved.

use pgtasker_worker::{Decision, StepContext, StepError, StepOutcome, WorkerBuilder};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The template file.
pub const TEMPLATE: &str = include_str!("../templates/approval.yaml");

/// Adds the handlers of this example.
pub fn register(builder: WorkerBuilder) -> WorkerBuilder {
    builder
        .handler("approval_route", route)
        .handler("approval_approve", approve)
        .handler("approval_finalize", finalize)
}

/// The result of a task with this context.
pub fn expected(context: &Value) -> Value {
    json!({"finalize": {"approved_by": approvers(context)}})
}

/// Each approver by the amounts that need it.
pub(crate) fn approvers(context: &Value) -> BTreeSet<&'static str> {
    let amount = context["amount"].as_f64().unwrap_or_default();
    let needed = [
        ("rule", 0.0..1_000.0),
        ("manager", 1_000.0..f64::INFINITY),
        ("finance", 5_000.0..f64::INFINITY),
    ];
    needed
        .into_iter()
        .filter(|(_, amounts)| amounts.contains(&amount))
        .map(|(name, _)| name)
        .collect()
}

/// The context of a task.
#[derive(Deserialize)]
struct Request {
    amount: f64,
}

/// Config of the step `route`: from which amount on each is asked.
#[derive(Deserialize)]
struct Limits {
    manager_from: f64,
    finance_from: f64,
}

/// One handler serves all approvers; the template says who it is.
#[derive(Deserialize)]
struct Approval {
    approver: String,
}

async fn route(ctx: StepContext) -> Result<StepOutcome, StepError> {
    let Request { amount } = ctx.context()?;
    let Limits { manager_from, finance_from } = ctx.config()?;
    Ok(if amount < manager_from {
        ctx.choose(["auto_approve"])
    } else if amount < finance_from {
        ctx.choose(["manager"])
    } else {
        ctx.choose(["manager", "finance"])
    })
}

async fn approve(ctx: StepContext) -> Result<StepOutcome, StepError> {
    let Approval { approver } = ctx.config()?;
    Ok(StepOutcome::success(approver))
}

/// Its parents are those that exist: who was not asked is not among them.
async fn finalize(ctx: StepContext) -> Result<StepOutcome, StepError> {
    let approved_by: BTreeSet<String> =
        ctx.parents().keys().map(|step| ctx.parent(step)).collect::<Result<_, _>>()?;
    Ok(StepOutcome::success(json!({"approved_by": approved_by})))
}
