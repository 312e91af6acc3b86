//! `noop`: does nothing; its result is null.

use crate::{StepContext, StepError};
use pgtasker_core::StepOutcome;

pub(crate) async fn run(_ctx: StepContext) -> Result<StepOutcome, StepError> {
    Ok(StepOutcome::success(()))
}
