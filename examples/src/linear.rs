//! A chain of four steps: the sum of the odd squares among those of 1 to n.

use crate::input::Input;
use pgtasker_worker::{StepContext, StepError, StepOutcome, WorkerBuilder};
use serde_json::{Value, json};

/// The template file.
pub const TEMPLATE: &str = include_str!("../templates/linear.yaml");

/// Adds the handlers of this example.
pub fn register(builder: WorkerBuilder) -> WorkerBuilder {
    builder
        .handler("linear_numbers", numbers)
        .handler("linear_squares", squares)
        .handler("linear_odd", odd)
        .handler("linear_sum", sum)
}

/// The result of a task with this context, by the formula for the sum of the first odd squares.
pub fn expected(context: &Value) -> Value {
    let k = (Input::of(context).n + 1) / 2;
    json!({"sum": k * (2 * k - 1) * (2 * k + 1) / 3})
}

async fn numbers(ctx: StepContext) -> Result<StepOutcome, StepError> {
    let Input { n } = ctx.context()?;
    Ok(StepOutcome::success((1..=n).collect::<Vec<_>>()))
}

async fn squares(ctx: StepContext) -> Result<StepOutcome, StepError> {
    let numbers: Vec<i64> = ctx.parent("numbers")?;
    Ok(StepOutcome::success(numbers.iter().map(|x| x * x).collect::<Vec<_>>()))
}

async fn odd(ctx: StepContext) -> Result<StepOutcome, StepError> {
    let mut squares: Vec<i64> = ctx.parent("squares")?;
    squares.retain(|x| x % 2 == 1);
    Ok(StepOutcome::success(squares))
}

async fn sum(ctx: StepContext) -> Result<StepOutcome, StepError> {
    let odd: Vec<i64> = ctx.parent("odd")?;
    Ok(StepOutcome::success(odd.iter().sum::<i64>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formula_agrees_with_a_sum_by_hand() {
        // 1 + 9 + 25
        assert_eq!(expected(&json!({"n": 6})), json!({"sum": 35}));
        assert_eq!(expected(&json!({"n": 5})), json!({"sum": 35}));
        assert_eq!(expected(&json!({"n": 1})), json!({"sum": 1}));
    }
}
