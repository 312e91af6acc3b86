//! Health goes by progress: an actor that does not succeed while work waits makes its process
//! unhealthy.

use pgtasker_orchestrator::Orchestrator;
use pgtasker_tests::{
    engine::{Engine, break_function},
    eventually,
};
use serde_json::json;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn an_actor_whose_calls_fail_or_hang_is_told_by_name_until_it_gets_on() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    for (function, from, to) in [
        ("start_tasks", "v_verdicts  jsonb;\nbegin", "v_verdicts  jsonb;\nbegin perform 1 / 0;"),
        (
            "start_tasks",
            "v_verdicts  jsonb;\nbegin",
            "v_verdicts  jsonb;\nbegin perform pg_sleep(2);",
        ),
    ] {
        break_function(e.pool(), function, from, to).await;
        let orchestrator = Orchestrator::builder(e.pool().clone()).build().unwrap();
        let (health, stop) = (orchestrator.health(), CancellationToken::new());
        health.set_stalled_after(Duration::from_millis(400));
        let running = tokio::spawn(orchestrator.run(stop.clone()));
        let id = e.enqueue(json!({})).await;
        eventually("its health to say so", SOON, async || {
            health
                .status()
                .reason
                .is_some_and(|reason| reason.contains("task_requests has not succeeded for"))
        })
        .await;
        break_function(e.pool(), function, to, from).await;
        eventually("it to be healthy again", SOON, async || health.is_healthy()).await;
        eventually("the task to start", SOON, async || {
            e.task_state(id).await == "steps_in_process"
        })
        .await;
        stop.cancel();
        running.await.unwrap().unwrap();
    }
}
