//! A mixed graph of seven steps: two diamonds, one inside the other, chains between them, and an
//! edge that skips levels.

use crate::input::Input;
use pgtasker_worker::{StepContext, StepError, StepOutcome, WorkerBuilder};
use serde::Deserialize;
use serde_json::{Value, json};

/// The template file.
pub const TEMPLATE: &str = include_str!("../templates/dag.yaml");

/// Adds the handlers of this example.
pub fn register(builder: WorkerBuilder) -> WorkerBuilder {
    builder
        .handler("dag_numbers", numbers)
        .handler("dag_power_sum", power_sum)
        .handler("dag_difference", difference)
        .handler("dag_halved", halved)
        .handler("dag_root", root)
        .handler("dag_report", report)
}

/// The result of a task with this context, by closed formulas only.
pub fn expected(context: &Value) -> Value {
    let n = Input::of(context).n;
    let squares = n * (n + 1) * (2 * n + 1) / 6;
    let halved = (n - 1) * n * (n + 1) * (3 * n + 2) / 24;
    let root = n * (n + 1) / 2;
    json!({
        "report": {
            "squares": squares,
            "halved": halved,
            "root": root,
            "total": squares + halved + root,
        },
    })
}

/// The template says which power a step takes.
#[derive(Deserialize)]
struct Config {
    power: u32,
}

async fn numbers(ctx: StepContext) -> Result<StepOutcome, StepError> {
    let Input { n } = ctx.context()?;
    Ok(StepOutcome::success((1..=n).collect::<Vec<_>>()))
}

async fn power_sum(ctx: StepContext) -> Result<StepOutcome, StepError> {
    let Config { power } = ctx.config()?;
    let numbers: Vec<i64> = ctx.parent("numbers")?;
    Ok(StepOutcome::success(numbers.iter().map(|x| x.pow(power)).sum::<i64>()))
}

async fn difference(ctx: StepContext) -> Result<StepOutcome, StepError> {
    Ok(StepOutcome::success(ctx.parent::<i64>("cubes")? - ctx.parent::<i64>("squares")?))
}

async fn halved(ctx: StepContext) -> Result<StepOutcome, StepError> {
    Ok(StepOutcome::success(ctx.parent::<i64>("difference")? / 2))
}

async fn root(ctx: StepContext) -> Result<StepOutcome, StepError> {
    Ok(StepOutcome::success(ctx.parent::<u64>("cubes")?.isqrt()))
}

async fn report(ctx: StepContext) -> Result<StepOutcome, StepError> {
    let (squares, halved, root): (i64, i64, i64) =
        (ctx.parent("squares")?, ctx.parent("halved")?, ctx.parent("root")?);
    let total = squares + halved + root;
    Ok(StepOutcome::success(
        json!({"squares": squares, "halved": halved, "root": root, "total": total}),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formulas_agree_with_sums() {
        for n in 1..50_i64 {
            let squares: i64 = (1..=n).map(|x| x * x).sum();
            let cubes: i64 = (1..=n).map(|x| x * x * x).sum();
            let (halved, root) = ((cubes - squares) / 2, cubes.isqrt());
            let report = json!({
                "squares": squares,
                "halved": halved,
                "root": root,
                "total": squares + halved + root,
            });
            assert_eq!(expected(&json!({"n": n})), json!({"report": report}));
        }
    }
}
