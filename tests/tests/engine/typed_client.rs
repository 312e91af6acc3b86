//! The typed calls of the client API: each decodes what the engine answers.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use pgtasker_client::{
    By, Instances, NewTask, Page, Presence, StepOverview, StepType, TaskSelection, calls,
};
use pgtasker_core::{StepState, TaskState};
use pgtasker_tests::engine::Engine;
use serde_json::json;
use std::time::{Duration, Instant};
use uuid::Uuid;

async fn engine() -> Engine {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[]), ("b", &["a"])]).await;
    e
}

fn task() -> NewTask {
    NewTask::new("test", "flow")
}

#[tokio::test]
async fn a_task_is_enqueued_in_the_callers_transaction() {
    let e = engine().await;
    let mut transaction = e.pool().begin().await.unwrap();
    let id = calls::enqueue_task(&mut *transaction, &task()).await.unwrap();
    assert_eq!(calls::task_status(&mut *transaction, id).await.unwrap().state, TaskState::Pending);
    transaction.rollback().await.unwrap();
    let error = calls::task_status(e.pool(), id).await.unwrap_err();
    assert_eq!(error.sqlstate().as_deref(), Some("TK004"));
}

#[tokio::test]
async fn every_option_reaches_the_task() {
    let e = engine().await;
    let correlation = Uuid::now_v7();
    let run_at = "2030-01-02T03:04:05Z".parse().unwrap();
    let new = NewTask {
        version: Some("1".to_owned()),
        priority: 7,
        run_at: Some(run_at),
        idempotency_key: Some("k".to_owned()),
        correlation_id: Some(correlation),
        notify: Some(false),
        ..task().context(json!({"n": 1}))
    };
    let id = calls::enqueue_task(e.pool(), &new).await.unwrap();
    assert_eq!(calls::enqueue_task(e.pool(), &new).await.unwrap(), id);
    let shown = calls::task_details(e.pool(), id).await.unwrap().task;
    assert_eq!(
        (shown.priority, shown.run_at, shown.correlation_id),
        (7, Some(run_at), Some(correlation))
    );
    assert_eq!(shown.idempotency_key.as_deref(), Some("k"));
    let other = calls::enqueue_task(e.pool(), &new.context(json!({"n": 2}))).await.unwrap_err();
    assert_eq!(other.sqlstate().as_deref(), Some("TK006"));
}

#[tokio::test]
async fn a_refusal_says_what_to_do() {
    let e = engine().await;
    let error =
        calls::enqueue_task(e.pool(), &NewTask::new("tset", "flow")).await.unwrap_err().to_string();
    assert!(
        error.starts_with("there is no namespace \"tset\". ") && error.ends_with("(TK001)"),
        "{error}"
    );
}

#[tokio::test]
async fn a_finished_task_is_shown_with_all_its_history() {
    let e = engine().await;
    let id = calls::enqueue_task(e.pool(), &task()).await.unwrap();
    e.initialize().await;
    assert_eq!(calls::task_result(e.pool(), id).await.unwrap(), None);
    e.drain().await;
    let status = calls::wait(e.pool(), id, Duration::from_secs(10)).await.unwrap();
    assert!(status.is_settled() && status.succeeded());
    assert_eq!(status.steps.get("complete"), Some(&2));
    assert_eq!(calls::task_result(e.pool(), id).await.unwrap(), Some(json!({"b": "b"})));
    let shown = calls::task_details(e.pool(), id).await.unwrap();
    assert_eq!(
        (shown.task.state, shown.task.steps, shown.task.remaining),
        (TaskState::Complete, 2, 0)
    );
    assert!(shown.task.duration_ms.is_some_and(|ms| ms > 0.0));
    let steps: Vec<_> = shown
        .steps
        .iter()
        .map(|s| (s.step.as_str(), s.state, s.attempt, s.result.clone()))
        .collect();
    let done = |name: &'static str| (name, StepState::Complete, 1, Some(json!(name)));
    assert_eq!(steps, [done("a"), done("b")]);
    let dag: Vec<_> =
        shown.dag.iter().map(|d| (d.step.as_str(), d.parents.join(","), d.level)).collect();
    assert_eq!(dag, [("a", String::new(), 0), ("b", "a".to_owned(), 1)]);
    assert_eq!(shown.task_transitions.last().map(|t| t.to_state), Some(TaskState::Complete));
    assert!(
        shown.step_transitions.iter().any(|t| t.name == "b" && t.to_state == StepState::InProgress)
    );
    let missing = calls::task_details(e.pool(), Uuid::nil()).await.unwrap_err();
    assert_eq!(missing.sqlstate().as_deref(), Some("TK004"));
}

#[tokio::test]
async fn a_large_batch_is_shown_without_its_instances_but_for_the_first_that_failed() {
    let e = Engine::new().await;
    let step = |name: &str, step_type: &str, parents: &[&str]| {
        json!({
            "name": name,
            "type": step_type,
            "dependencies": parents,
            "handler": {"callable": "noop"},
        })
    };
    let mut item = step("item", "batch_worker", &["cut"]);
    item["failure_strategy"] = json!("continue_on_failure");
    let steps = [step("cut", "batchable", &[]), item, step("total", "standard", &["item"])];
    e.apply(json!({"namespace": "test", "name": "flow", "version": "1", "steps": steps})).await;
    let id = e.start().await;
    let cut = e.claim(1).await.remove(0);
    let cursors: Vec<i32> = (1..=12).collect();
    assert_eq!(e.submit(&cut, json!({"type": "batches", "cursors": cursors})).await, "accepted");
    e.process().await;
    for claim in e.claim(8).await {
        let outcome = json!({"type": "failure", "message": "boom", "retryable": false});
        assert_eq!(e.submit(&claim, outcome).await, "accepted");
    }
    e.process().await;

    let graph = calls::task_graph(e.pool(), id, Instances::Few(5)).await.unwrap();
    let names = |steps: &[StepOverview]| steps.iter().map(|s| s.step.clone()).collect::<Vec<_>>();
    let failed = ["cut", "item_001", "item_002", "item_003", "item_004", "item_005", "total"];
    assert_eq!(names(&graph.steps), failed);
    assert_eq!(graph.steps[1].step_type, StepType::BatchWorker);
    assert_eq!((graph.steps[1].instance, graph.steps[1].inputs.clone()), (Some(1), Some(json!(1))));
    let dag: Vec<_> = graph.dag.iter().map(|d| (d.template_step.as_str(), d.level)).collect();
    assert!(dag.contains(&("item", 1)) && dag.contains(&("total", 2)), "{dag:?}");
    let batch = &graph.batches[0];
    assert_eq!((batch.instances, batch.failed, batch.waiting, batch.items_total), (12, 8, 4, 12));
    assert_eq!(calls::list_batches(e.pool(), id).await.unwrap(), graph.batches);

    let all = calls::task_graph(e.pool(), id, Instances::All).await.unwrap();
    assert_eq!((all.steps.len(), all.steps[12].step.as_str()), (14, "item_012"));
    assert_eq!(calls::task_graph(e.pool(), id, Instances::Few(12)).await.unwrap().steps, all.steps);
}

#[tokio::test]
async fn a_decision_is_resolved_by_its_outcome_and_the_graph_tells_what_is_not_there() {
    let e = Engine::new().await;
    let step = |name: &str, step_type: &str, parents: &[&str]| {
        json!({
            "name": name,
            "type": step_type,
            "dependencies": parents,
            "handler": {"callable": "noop"},
        })
    };
    let steps = [
        step("route", "decision", &[]),
        step("a", "standard", &["route"]),
        step("b", "standard", &["route"]),
    ];
    e.apply(json!({"namespace": "test", "name": "flow", "version": "1", "steps": steps})).await;
    let id = e.start().await;
    let presence = async || {
        let graph = calls::task_graph(e.pool(), id, Instances::All).await.unwrap();
        graph.dag.into_iter().map(|d| (d.step, d.presence, d.state.is_some())).collect::<Vec<_>>()
    };
    let row = |name: &str, presence, exists| (name.to_owned(), presence, exists);
    let (exists, undecided) = (Presence::Exists, Presence::Undecided);
    assert_eq!(
        presence().await,
        [row("route", exists, true), row("a", undecided, false), row("b", undecided, false)]
    );
    let by = By { who: Some("ana"), reason: None };
    let refused = calls::resolve_step(e.pool(), id, "route", None, None, by).await.unwrap_err();
    assert_eq!(refused.sqlstate().as_deref(), Some("TK035"));
    let outcome = json!({"type": "decision", "create_steps": ["b"]});
    assert!(calls::resolve_step(e.pool(), id, "route", None, Some(&outcome), by).await.unwrap());
    assert_eq!(
        presence().await,
        [row("route", exists, true), row("a", Presence::NotChosen, false), row("b", exists, true)]
    );
}

#[tokio::test]
async fn waiting_ends_with_the_time_and_at_a_failure() {
    let e = engine().await;
    let id = e.start().await;
    let began = Instant::now();
    let status = calls::wait(e.pool(), id, Duration::from_millis(50)).await.unwrap();
    assert!(!status.is_settled() && began.elapsed() >= Duration::from_millis(50));
    let claim = e.claim(1).await.remove(0);
    let outcome = json!({"type": "failure", "message": "boom", "retryable": false});
    assert_eq!(e.submit(&claim, outcome).await, "accepted");
    e.process().await;
    let status = calls::wait(e.pool(), id, Duration::from_secs(10)).await.unwrap();
    assert!(status.is_settled() && !status.succeeded());
    assert_eq!(status.state, TaskState::BlockedByFailures);
}

#[tokio::test]
async fn lists_are_filtered_and_newest_first() {
    let e = engine().await;
    let ids = calls::enqueue_tasks(e.pool(), "test", "flow", &[json!({}), json!({}), json!({})])
        .await
        .unwrap();
    assert!(
        calls::cancel_task(e.pool(), ids[1], By { who: Some("ana"), reason: Some("not wanted") })
            .await
            .unwrap()
    );
    assert!(!calls::cancel_task(e.pool(), ids[1], By::default()).await.unwrap());
    let list = |filter: TaskSelection, limit| {
        let pool = e.pool().clone();
        async move {
            let tasks = calls::list_tasks(&pool, &filter, &Page::first(limit)).await.unwrap().items;
            tasks.into_iter().map(|task| task.task_id).collect::<Vec<_>>()
        }
    };
    let all = TaskSelection::default();
    assert_eq!(list(all.clone(), 10).await, [ids[2], ids[1], ids[0]]);
    assert_eq!(list(all.clone(), 1).await, [ids[2]]);
    assert_eq!(
        list(TaskSelection { states: Some(vec![TaskState::Cancelled]), ..all.clone() }, 10).await,
        [ids[1]]
    );
    assert_eq!(
        list(TaskSelection { namespace: Some("test".to_owned()), ..all.clone() }, 10).await.len(),
        3
    );
    assert_eq!(list(TaskSelection { name: Some("other".to_owned()), ..all }, 10).await.len(), 0);
}

#[tokio::test]
async fn templates_queues_and_workers_are_listed() {
    let e = engine().await;
    let templates = calls::list_templates(e.pool(), Some("test")).await.unwrap();
    assert_eq!(templates.len(), 1);
    assert_eq!((templates[0].steps, templates[0].current), (2, true));
    assert!(calls::list_templates(e.pool(), Some("other")).await.unwrap().is_empty());
    let shown = calls::show_template(e.pool(), "test", "flow", Some("1")).await.unwrap().unwrap();
    assert_eq!(shown.overview, templates[0]);
    assert!(calls::show_template(e.pool(), "test", "flow", Some("2")).await.unwrap().is_none());
    calls::enqueue_task(e.pool(), &task()).await.unwrap();
    let queues = calls::list_queues(e.pool()).await.unwrap();
    let depths: Vec<_> =
        queues.iter().map(|q| (q.queue.as_str(), q.namespace.as_deref(), q.depth)).collect();
    let expected = [
        ("orchestration_step_results", None, 0),
        ("orchestration_task_requests", None, 1),
        ("worker_test_queue", Some("test"), 0),
    ];
    assert_eq!(depths, expected);
    assert!(calls::list_workers(e.pool()).await.unwrap().is_empty());
    sqlx::query(
        "select tasker.heartbeat($1, '{test}', '{noop}', '{\"host\": \"h\", \"pid\": \
        1, \"concurrency\": 4}')",
    )
    .bind(e.worker)
    .execute(e.pool())
    .await
    .unwrap();
    let workers = calls::list_workers(e.pool()).await.unwrap();
    assert_eq!(
        (workers[0].worker_id, workers[0].alive, workers[0].concurrency),
        (e.worker, true, Some(4))
    );
}

#[tokio::test]
async fn operators_calls_say_who_and_why() {
    let e = engine().await;
    let by = By { who: Some("ana"), reason: Some("seen") };
    let id = e.start().await;
    assert!(!calls::retry_step(e.pool(), id, "a", by).await.unwrap());
    assert!(
        calls::resolve_step(e.pool(), id, "a", Some(&json!({"n": 1})), None, by).await.unwrap()
    );
    assert!(calls::resolve_task(e.pool(), id, None, by).await.unwrap());
    let refused = calls::reset_task(e.pool(), id, by).await.unwrap_err();
    assert_eq!(refused.sqlstate().as_deref(), Some("TK031"));
    let details = calls::task_details(e.pool(), id).await.unwrap();
    assert!(
        details
            .step_transitions
            .iter()
            .any(|t| t.reason.as_deref() == Some("resolved by ana (login postgres): seen"))
    );

    let which = |states: &[TaskState]| TaskSelection {
        namespace: Some("test".to_owned()),
        states: Some(states.to_vec()),
        ..TaskSelection::default()
    };
    assert_eq!(
        calls::count_tasks(e.pool(), &which(&[TaskState::ResolvedManually])).await.unwrap(),
        1
    );
    assert_eq!(calls::retry_tasks(e.pool(), &which(TaskState::ALL), by, 10).await.unwrap(), 0);
    e.start().await;
    assert_eq!(calls::cancel_tasks(e.pool(), &which(TaskState::ALL), by, 10).await.unwrap(), 1);
    let everything =
        calls::cancel_tasks(e.pool(), &TaskSelection::default(), by, 10).await.unwrap_err();
    assert_eq!(everything.sqlstate().as_deref(), Some("TK030"));
}
