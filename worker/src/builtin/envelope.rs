//! The step as `http` and `sql` pass it on.

use crate::StepContext;
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use uuid::Uuid;

/// What `http` posts and `sql` passes to its function.
#[derive(Serialize)]
pub(crate) struct Envelope<'a> {
    task_id: Uuid,
    step: &'a str,
    attempt: i32,
    context: &'a RawValue,
    config: &'a RawValue,
    inputs: &'a RawValue,
    parents: &'a BTreeMap<String, Box<RawValue>>,
    checkpoint: &'a RawValue,
}

impl<'a> Envelope<'a> {
    pub(crate) fn new(ctx: &'a StepContext) -> Self {
        Self {
            task_id: ctx.claim.task_id,
            step: &ctx.claim.step,
            attempt: ctx.claim.attempt,
            context: &ctx.claim.context,
            config: &ctx.config,
            inputs: &ctx.claim.inputs,
            parents: &ctx.claim.parents,
            checkpoint: &ctx.claim.checkpoint,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::context;
    use serde_json::json;

    #[test]
    fn the_envelope_has_the_documented_keys() {
        let ctx = context(json!({"a": 1}), json!({"url": "x"}), json!({"p": null}));
        assert_eq!(
            serde_json::to_value(Envelope::new(&ctx)).unwrap(),
            json!({
                "task_id": ctx.task_id(),
                "step": "s",
                "attempt": 1,
                "context": {"a": 1},
                "config": {"url": "x"},
                "inputs": null,
                "parents": {"p": null},
                "checkpoint": null,
            })
        );
    }
}
