//! What the unit tests share.

use crate::{StepContext, claims::Claim};
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The context of a step `s`, in its first attempt.
pub(crate) fn context(context: Value, config: Value, parents: Value) -> StepContext {
    let claim = Claim {
        task_id: Uuid::now_v7(),
        step: "s".into(),
        template_id: Uuid::nil(),
        template_step: "s".to_owned(),
        handler: "h".to_owned(),
        attempt: 1,
        claim_no: 1,
        context,
        inputs: Value::Null,
        parents: parents.as_object().cloned().unwrap_or_default(),
        timeout: Duration::from_secs(5),
        correlation_id: None,
        traceparent: None,
        lease: None,
        unreadable: None,
    };
    StepContext {
        claim: Arc::new(claim),
        config: Arc::new(config),
        state: Arc::default(),
        cancelled: CancellationToken::new(),
        worker: None,
        own: Arc::default(),
    }
}
