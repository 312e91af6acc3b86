//! A tree of eight steps: a root, two branches, four leaves, and a four-way convergence that adds
//! up the cubes of 1 to n.

use crate::input::Input;
use pgtasker_worker::{StepContext, StepError, StepOutcome, WorkerBuilder};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The template file.
pub const TEMPLATE: &str = include_str!("../templates/tree.yaml");

/// Adds the handlers of this example.
pub fn register(builder: WorkerBuilder) -> WorkerBuilder {
    builder
        .handler("tree_whole", whole)
        .handler("tree_half", half)
        .handler("tree_cubes", cubes)
        .handler("tree_gather", gather)
}

/// The result of a task with this context: the sum of the cubes is the square of the sum.
pub fn expected(context: &Value) -> Value {
    let n = Input::of(context).n;
    json!({"gather": (n * (n + 1) / 2).pow(2)})
}

/// Whole numbers from `from` up to, and not with, `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Span {
    from: i64,
    to: i64,
}

/// Which half of which parent's span.
#[derive(Deserialize)]
struct Config {
    of: String,
    half: Half,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Half {
    Lower,
    Upper,
}

impl Span {
    /// Either half may be empty.
    fn half(self, half: Half) -> Self {
        let middle = self.from + (self.to - self.from) / 2;
        match half {
            Half::Lower => Self { to: middle, ..self },
            Half::Upper => Self { from: middle, ..self },
        }
    }
}

/// The part of its parent's span that this step is for.
fn own_part(ctx: &StepContext) -> Result<Span, StepError> {
    let Config { of, half } = ctx.config()?;
    Ok(ctx.parent::<Span>(&of)?.half(half))
}

async fn whole(ctx: StepContext) -> Result<StepOutcome, StepError> {
    let Input { n } = ctx.context()?;
    Ok(StepOutcome::success(serde_json::to_value(Span { from: 1, to: n + 1 })?))
}

async fn half(ctx: StepContext) -> Result<StepOutcome, StepError> {
    Ok(StepOutcome::success(serde_json::to_value(own_part(&ctx)?)?))
}

async fn cubes(ctx: StepContext) -> Result<StepOutcome, StepError> {
    let Span { from, to } = own_part(&ctx)?;
    Ok(StepOutcome::success((from..to).map(|x| x.pow(3)).sum::<i64>()))
}

async fn gather(ctx: StepContext) -> Result<StepOutcome, StepError> {
    let mut sum = 0;
    for leaf in ["low_low", "low_high", "high_low", "high_high"] {
        sum += ctx.parent::<i64>(leaf)?;
    }
    Ok(StepOutcome::success(sum))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formula_agrees_with_a_sum_by_hand() {
        // 1 + 8 + 27 + 64 + 125 + 216
        assert_eq!(expected(&json!({"n": 6})), json!({"gather": 441}));
        assert_eq!(expected(&json!({"n": 1})), json!({"gather": 1}));
    }

    #[test]
    fn halves_are_the_whole() {
        for n in 0..9 {
            let span = Span { from: 1, to: n + 1 };
            let (lower, upper) = (span.half(Half::Lower), span.half(Half::Upper));
            assert_eq!((lower.from, lower.to, upper.to), (1, upper.from, n + 1));
        }
    }
}
