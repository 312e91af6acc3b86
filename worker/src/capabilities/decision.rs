//! `Decision`: which branches of the graph come into being.

use crate::StepContext;
use pgtasker_core::StepOutcome;

/// For the handler of a step of type `decision`.
///
/// ```
/// # use pgtasker_worker::{StepContext, StepError, StepOutcome};
/// use pgtasker_worker::Decision;
///
/// async fn route(ctx: StepContext) -> Result<StepOutcome, StepError> {
///     let amount: u64 = ctx.parent("read")?;
///     Ok(match amount {
///         0 => ctx.choose_none(),
///         1..1_000 => ctx.choose(["auto_approve"]),
///         _ => ctx.choose(["manager", "finance"]).with_result(amount),
///     })
/// }
/// ```
pub trait Decision {
    /// Ends the step: of its direct children these come into being, and what follows from them; the
    /// others never exist. A name that is no direct child fails the step for good.
    /// [`StepOutcome::with_result`] adds a result.
    fn choose<S: Into<String>>(&self, steps: impl IntoIterator<Item = S>) -> StepOutcome;

    /// Ends the step: none of its children comes into being.
    fn choose_none(&self) -> StepOutcome;
}

impl Decision for StepContext {
    fn choose<S: Into<String>>(&self, steps: impl IntoIterator<Item = S>) -> StepOutcome {
        StepOutcome::decision(steps)
    }

    fn choose_none(&self) -> StepOutcome {
        StepOutcome::decision::<String>([])
    }
}
