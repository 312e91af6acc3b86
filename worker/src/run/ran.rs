//! What comes of the call of a handler.

use pgtasker_core::StepOutcome;

/// What came of a call.
pub(crate) enum Ran {
    /// To be submitted.
    Outcome(StepOutcome),
    /// The handler's own transaction has submitted it, or found that it no longer counts.
    Submitted,
    /// It cannot be run here, for this reason, as when its handler is missing: no attempt.
    GiveBack { reason: String, lacks_handler: bool },
    /// The connection or the server was lost, and with it what the handler did: no attempt.
    Lost(String),
}
