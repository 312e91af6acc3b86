//! A diamond of four steps: the spread of the numbers 1 to n, n² times their variance, in whole
//! numbers.

use crate::input::Input;
use pgtasker_worker::{StepContext, StepError, StepOutcome, WorkerBuilder};
use serde::Deserialize;
use serde_json::{Value, json};

/// The template file.
pub const TEMPLATE: &str = include_str!("../templates/diamond.yaml");

/// Adds the handlers of this example.
pub fn register(builder: WorkerBuilder) -> WorkerBuilder {
    builder
        .handler("diamond_numbers", numbers)
        .handler("diamond_power_sum", power_sum)
        .handler("diamond_spread", spread)
}

/// The result of a task with this context, by the formula for the variance of 1 to n.
pub fn expected(context: &Value) -> Value {
    let n = Input::of(context).n;
    json!({"spread": n * n * (n * n - 1) / 12})
}

/// One handler serves both branches; the template says which power each takes.
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

async fn spread(ctx: StepContext) -> Result<StepOutcome, StepError> {
    let Input { n } = ctx.context()?;
    let sum: i64 = ctx.parent("sum")?;
    let sum_of_squares: i64 = ctx.parent("sum_of_squares")?;
    Ok(StepOutcome::success(n * sum_of_squares - sum * sum))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formula_agrees_with_a_sum_by_hand() {
        // 6 · 91 - 21²
        assert_eq!(expected(&json!({"n": 6})), json!({"spread": 105}));
        assert_eq!(expected(&json!({"n": 1})), json!({"spread": 0}));
    }
}
