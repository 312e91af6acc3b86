//! The end of a set of tasks that belong together.

use tokio::task::{JoinError, JoinSet};

/// Waits until all have ended.
pub(crate) async fn join(actors: &mut JoinSet<()>) {
    while let Some(ended) = actors.join_next().await {
        propagate(ended);
    }
}

/// A panic in an actor is a defect of the worker: it ends the worker instead of leaving half of it
/// running.
pub(crate) fn propagate(ended: std::result::Result<(), JoinError>) {
    if let Err(error) = ended
        && let Ok(panic) = error.try_into_panic()
    {
        std::panic::resume_unwind(panic);
    }
}
