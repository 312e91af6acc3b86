//! The [`approval`] with a decision below a decision: finance, where it is asked, approves and
//! decides on an audit, by the amount or the region.

use crate::approval;
use pgtasker_worker::{Decision, StepContext, StepError, StepOutcome, WorkerBuilder};
use serde::Deserialize;
use serde_json::{Value, json};

/// The template file.
pub const TEMPLATE: &str = include_str!("../templates/nested_approval.yaml");

/// Adds the handlers that this example has beyond those of [`approval`].
pub fn register(builder: WorkerBuilder) -> WorkerBuilder {
    builder.handler("nested_approval_finance", finance).handler("nested_approval_audit", audit)
}

/// The result of a task with this context.
pub fn expected(context: &Value) -> Value {
    let mut approvers = approval::approvers(context);
    let large = context["amount"].as_f64().is_some_and(|amount| amount >= 20_000.0);
    if approvers.contains("finance") && (large || context["region"] == "abroad") {
        approvers.insert("board");
    }
    json!({"finalize": {"approved_by": approvers}})
}

/// The context of a task.
#[derive(Deserialize)]
struct Request {
    amount: f64,
    region: Region,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Region {
    Home,
    Abroad,
}

/// Config of the step `finance`.
#[derive(Deserialize)]
struct Limit {
    audit_from: f64,
}

/// Approves, whatever it chooses: the result of a decision is there for its children, as any other.
async fn finance(ctx: StepContext) -> Result<StepOutcome, StepError> {
    let Request { amount, region } = ctx.context()?;
    let Limit { audit_from } = ctx.config()?;
    let chosen = if amount >= audit_from || region == Region::Abroad {
        ctx.choose(["audit"])
    } else {
        ctx.choose_none()
    };
    Ok(chosen.with_result("finance"))
}

/// What the board is to look at.
async fn audit(ctx: StepContext) -> Result<StepOutcome, StepError> {
    let Request { amount, region } = ctx.context()?;
    Ok(StepOutcome::success(json!({"amount": amount, "abroad": region == Region::Abroad})))
}
