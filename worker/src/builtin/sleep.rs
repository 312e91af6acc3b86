//! `sleep`: waits for `ms` milliseconds, or for `seconds` (may have a fraction), as its
//! configuration says, else the task's context. Its result is `{"slept_ms": n}`. It ends at once,
//! as a retryable failure, when the step is cancelled.

use crate::{StepContext, StepError};
use pgtasker_core::StepOutcome;
use serde::Deserialize;
use serde_json::json;
use std::time::{Duration, Instant};

#[derive(Deserialize)]
struct Span {
    ms: Option<u64>,
    seconds: Option<f64>,
}

impl Span {
    fn duration(&self) -> Result<Option<Duration>, StepError> {
        let refused =
            |e| StepError::permanent(format!("sleep: seconds: {e}")).code("invalid_input");
        match (self.ms, self.seconds) {
            (Some(ms), _) => Ok(Some(Duration::from_millis(ms))),
            (None, Some(seconds)) => {
                Duration::try_from_secs_f64(seconds).map(Some).map_err(refused)
            }
            (None, None) => Ok(None),
        }
    }
}

pub(crate) async fn run(ctx: StepContext) -> Result<StepOutcome, StepError> {
    let configured = match ctx.config::<Span>()?.duration()? {
        Some(duration) => Some(duration),
        None => ctx.context::<Span>()?.duration()?,
    };
    let Some(duration) = configured else {
        let text = "sleep: give its config, or the task's context, \"ms\" or \"seconds\"";
        return Err(StepError::permanent(text).code("invalid_input"));
    };
    let started = Instant::now();
    tokio::select! {
        () = tokio::time::sleep(duration) => {}
        () = ctx.cancelled.cancelled() => {
            return Err(StepError::retryable("sleep: cancelled").code("cancelled"));
        }
    }
    let slept = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(StepOutcome::success(json!({"slept_ms": slept})))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::context;

    #[tokio::test]
    async fn config_goes_before_context() {
        let ctx = context(json!({"seconds": 3600}), json!({"ms": 5}), json!({}));
        let StepOutcome::Success { result } = run(ctx).await.unwrap() else { panic!("no success") };
        assert!(result["slept_ms"].as_u64().unwrap() >= 5);
        let ctx = context(json!({"seconds": 0.005}), json!({}), json!({}));
        assert!(run(ctx).await.is_ok());
    }

    #[tokio::test]
    async fn without_a_span_or_with_a_bad_one_it_fails_for_good() {
        for (config, words) in
            [(json!({}), "\"ms\" or \"seconds\""), (json!({"seconds": -1}), "negative")]
        {
            let error = run(context(json!({}), config, json!({}))).await.unwrap_err();
            assert!(!error.is_retryable());
            assert!(error.message().contains(words), "{error}");
        }
    }

    #[tokio::test]
    async fn it_ends_when_cancelled() {
        let ctx = context(json!({}), json!({"seconds": 3600}), json!({}));
        ctx.cancelled().cancel();
        assert!(run(ctx).await.unwrap_err().is_retryable());
    }
}
