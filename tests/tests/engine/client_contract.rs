//! One contract, two ways: whatever [`Client`] promises holds over the database and over the HTTP
//! API.

use pgtasker_client::{
    By, Client, DatabaseClient, Error, HttpClient, NewTask, Page, QueueKind, StepFilter, StepState,
    TaskSelection, TaskState,
};
use pgtasker_tests::{
    ApiServer,
    engine::{Engine, flow, growing_flow, publishing_flow},
};
use rstest::rstest;
use serde_json::json;
use sqlx::query_as;
use std::{sync::Arc, time::Duration};
use uuid::Uuid;

#[derive(Clone, Copy)]
pub(crate) enum Way {
    Database,
    Http,
}

/// The engine driven by hand, and a client of its database.
pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) client: Arc<dyn Client>,
    /// Lives as long as the client.
    _api: Option<ApiServer>,
}

impl World {
    async fn new(way: Way) -> Self {
        let engine = Engine::new().await;
        let (client, api): (Arc<dyn Client>, _) = match way {
            Way::Database => (Arc::new(DatabaseClient::new(engine.pool().clone())), None),
            Way::Http => {
                let api = ApiServer::start(engine.pool()).await;
                (Arc::new(HttpClient::new(&api.url, None).unwrap()), Some(api))
            }
        };
        Self { engine, client, _api: api }
    }

    /// With `test.flow` of two steps.
    pub(crate) async fn with_flow(way: Way) -> Self {
        let world = Self::new(way).await;
        world.engine.apply_flow(&[("first", &[]), ("second", &["first"])]).await;
        world
    }

    /// A task whose first step has failed for good.
    pub(crate) async fn blocked(&self) -> Uuid {
        let id = self.engine.start().await;
        let claim = &self.engine.claim(1).await[0];
        let outcome =
            json!({"type": "failure", "message": "declined", "code": "card", "retryable": false});
        assert_eq!(self.engine.submit(claim, outcome).await, "accepted");
        self.engine.process().await;
        id
    }
}

pub(crate) const ANA: By<'_> = By { who: Some("ana"), reason: Some("by telephone") };

fn of_namespace(namespace: &str) -> TaskSelection {
    TaskSelection { namespace: Some(namespace.to_owned()), ..TaskSelection::default() }
}

pub(crate) fn refusal<T: std::fmt::Debug>(
    result: Result<T, Error>,
) -> (String, String, Option<String>) {
    match result {
        Err(Error::Refused { code, message, hint }) => (code, message, hint),
        other => panic!("{other:?}"),
    }
}

#[rstest]
#[case::database(Way::Database)]
#[case::http(Way::Http)]
#[tokio::test]
async fn a_task_is_enqueued_once_for_a_key_followed_and_gives_its_result(#[case] way: Way) {
    let World { engine, client, .. } = &World::with_flow(way).await;
    let correlation = Uuid::now_v7();
    let task = NewTask {
        idempotency_key: Some("order-7".to_owned()),
        correlation_id: Some(correlation),
        priority: -3,
        version: Some("1".to_owned()),
        ..NewTask::new("test", "flow").context(json!({"order_id": 7, "name": "Zoë ✓"}))
    };
    let id = client.enqueue_task(&task).await.unwrap();
    assert_eq!(client.enqueue_task(&task).await.unwrap(), id);
    assert_eq!(client.task_result(id).await.unwrap(), None);
    assert_eq!(client.task_context(id).await.unwrap(), task.context);
    let overview = client.show_task(id).await.unwrap();
    assert_eq!((overview.priority, overview.correlation_id), (-3, Some(correlation)));
    assert_eq!(
        (overview.idempotency_key.as_deref(), overview.state),
        (Some("order-7"), TaskState::Pending)
    );

    let waited = client.wait(id, Duration::ZERO).await.unwrap();
    assert!(!waited.is_settled());
    engine.initialize().await;
    let waiting = tokio::spawn({
        let client = Arc::clone(client);
        async move { client.wait(id, Duration::from_secs(30)).await.unwrap() }
    });
    engine.drain().await;
    assert!(waiting.await.unwrap().succeeded());
    let status = client.task_status(id).await.unwrap();
    assert_eq!((status.state, status.steps["complete"]), (TaskState::Complete, 2));
    assert_eq!(client.task_result(id).await.unwrap(), Some(json!({"second": "second"})));
    let audit = client.task_transitions(id).await.unwrap();
    assert_eq!(audit.task.last().unwrap().to_state, TaskState::Complete);
    assert!(audit.steps.iter().any(|t| t.name == "second" && t.to_state == StepState::Complete));
}

#[rstest]
#[case::database(Way::Database)]
#[case::http(Way::Http)]
#[tokio::test]
async fn tasks_are_listed_in_pages_by_every_filter(#[case] way: Way) {
    let World { engine, client, .. } = &World::with_flow(way).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(engine.enqueue(json!({})).await);
    }
    let all = TaskSelection::default();
    let first = client.list_tasks(&all, &Page::first(2)).await.unwrap();
    let found: Vec<Uuid> = first.items.iter().map(|task| task.task_id).collect();
    assert_eq!(found, [ids[4], ids[3]]);
    let rest = client.list_tasks(&all, &Page { after: first.next, limit: 1500 }).await.unwrap();
    assert_eq!((rest.items.len(), rest.next), (3, None));

    let task = client.show_task(ids[2]).await.unwrap();
    let count = |which: TaskSelection| async move {
        client.list_tasks(&which, &Page::first(10)).await.unwrap().items.len()
    };
    assert_eq!(count(of_namespace("test")).await, 5);
    assert_eq!(count(of_namespace("other & more")).await, 0);
    assert_eq!(count(TaskSelection { name: Some("flow".to_owned()), ..all.clone() }).await, 5);
    assert_eq!(count(TaskSelection { version: Some("2".to_owned()), ..all.clone() }).await, 0);
    let states =
        |states: &[TaskState]| TaskSelection { states: Some(states.to_vec()), ..all.clone() };
    assert_eq!(count(states(&[TaskState::Error, TaskState::Pending])).await, 5);
    assert_eq!(count(states(&[TaskState::Complete])).await, 0);
    assert_eq!(count(states(&[])).await, 0);
    let some = TaskSelection { task_ids: Some(vec![ids[0], ids[3]]), ..all.clone() };
    assert_eq!(count(some).await, 2);
    assert_eq!(
        count(TaskSelection { correlation_id: task.correlation_id, ..all.clone() }).await,
        1
    );
    // To the microsecond: the task itself is the first after, and none before.
    let after = TaskSelection { created_after: Some(task.created_at), ..all.clone() };
    assert_eq!(count(after).await, 3);
    let before = TaskSelection { created_before: Some(task.created_at), ..all.clone() };
    assert_eq!(count(before).await, 2);
    assert_eq!(
        count(TaskSelection { error_code: Some("card".to_owned()), ..all.clone() }).await,
        0
    );
}

#[rstest]
#[case::database(Way::Database)]
#[case::http(Way::Http)]
#[tokio::test]
async fn one_task_is_cancelled_resolved_and_reset_with_who_and_why(#[case] way: Way) {
    let World { engine, client, .. } = &World::new(way).await;
    let mut template = flow(&[("first", &[]), ("second", &["first"])]);
    template["on_failure"] = json!("fail");
    engine.apply(template).await;
    let cancelled = engine.start().await;
    assert!(client.cancel_task(cancelled, ANA).await.unwrap());
    assert!(!client.cancel_task(cancelled, By::default()).await.unwrap());
    let resolved = engine.start().await;
    assert!(client.resolve_task(resolved, Some(&json!({"paid": true})), ANA).await.unwrap());
    assert!(!client.resolve_task(resolved, None, ANA).await.unwrap());
    assert_eq!(client.task_result(resolved).await.unwrap(), Some(json!({"paid": true})));

    let id = engine.start().await;
    assert!(!client.reset_task(id, ANA).await.unwrap());
    let claims = engine.claim(9).await;
    let claim = claims.iter().find(|claim| claim.task_id == id).unwrap();
    engine.submit(claim, json!({"type": "failure", "message": "no", "retryable": false})).await;
    engine.process().await;
    assert_eq!(engine.task_state(id).await, "error");
    assert!(client.reset_task(id, ANA).await.unwrap());
    for (id, what) in [(cancelled, "cancelled"), (resolved, "resolved"), (id, "reset")] {
        let audit = client.task_transitions(id).await.unwrap().task;
        let reasons: Vec<_> = audit.iter().filter_map(|t| t.reason.as_deref()).collect();
        assert!(
            reasons
                .iter()
                .any(|reason| *reason == format!("{what} by ana (login postgres): by telephone")),
            "{reasons:?}"
        );
    }
}

#[rstest]
#[case::database(Way::Database)]
#[case::http(Way::Http)]
#[tokio::test]
async fn many_tasks_are_counted_retried_and_cancelled(#[case] way: Way) {
    let world = World::with_flow(way).await;
    let client = &world.client;
    for _ in 0..3 {
        world.blocked().await;
    }
    let which = TaskSelection { error_code: Some("card".to_owned()), ..of_namespace("test") };
    assert_eq!(client.count_tasks(&which).await.unwrap(), 3);
    assert_eq!(client.retry_tasks(&which, ANA, 2).await.unwrap(), 2);
    assert_eq!(client.retry_tasks(&which, ANA, 10).await.unwrap(), 1);
    assert_eq!(client.cancel_tasks(&of_namespace("test"), ANA, 10).await.unwrap(), 3);
    assert_eq!(client.cancel_tasks(&of_namespace("test"), ANA, 10).await.unwrap(), 0);
    let none = TaskSelection { task_ids: Some(Vec::new()), ..TaskSelection::default() };
    assert_eq!(client.count_tasks(&none).await.unwrap(), 0);
}

#[rstest]
#[case::database(Way::Database)]
#[case::http(Way::Http)]
#[tokio::test]
async fn a_step_is_listed_shown_retried_and_resolved(#[case] way: Way) {
    let world = World::with_flow(way).await;
    let client = &world.client;
    let id = world.blocked().await;
    let first = client.list_steps(id, &StepFilter::default(), &Page::first(1)).await.unwrap();
    assert_eq!((first.items[0].step.as_str(), first.next.as_deref()), ("first", Some("first")));
    let page = Page { after: first.next, limit: 1 };
    let rest = client.list_steps(id, &StepFilter::default(), &page).await.unwrap();
    assert_eq!((rest.items[0].step.as_str(), rest.next), ("second", None));
    let failed =
        StepFilter { states: vec![StepState::Error, StepState::Cancelled], template_step: None };
    assert_eq!(client.list_steps(id, &failed, &Page::first(9)).await.unwrap().items.len(), 1);
    let of = StepFilter { template_step: Some("second".to_owned()), ..StepFilter::default() };
    assert_eq!(client.list_steps(id, &of, &Page::first(9)).await.unwrap().items.len(), 1);

    let step = client.show_step(id, "first").await.unwrap();
    assert_eq!(
        (step.state, step.error.unwrap()["code"].clone()),
        (StepState::Error, json!("card"))
    );
    assert!(client.retry_step(id, "first", ANA).await.unwrap());
    assert!(!client.retry_step(id, "first", ANA).await.unwrap());
    let result = json!({"by": "hand"});
    assert!(client.resolve_step(id, "first", Some(&result), None, ANA).await.unwrap());
    assert!(!client.resolve_step(id, "first", Some(&result), None, ANA).await.unwrap());
    assert_eq!(client.show_step(id, "first").await.unwrap().result, Some(result));
    let audit = client.step_transitions(id, "first").await.unwrap();
    let reasons: Vec<_> = audit.iter().filter_map(|t| t.reason.as_deref()).collect();
    assert!(reasons.contains(&"retried by ana (login postgres): by telephone"), "{reasons:?}");
    assert!(reasons.contains(&"resolved by ana (login postgres): by telephone"), "{reasons:?}");
}

#[rstest]
#[case::database(Way::Database)]
#[case::http(Way::Http)]
#[tokio::test]
async fn a_decision_is_resolved_by_its_outcome(#[case] way: Way) {
    let World { engine, client, .. } = &World::new(way).await;
    let steps: &[(&str, &str, &[&str])] =
        &[("route", "decision", &[]), ("a", "standard", &["route"]), ("b", "standard", &["route"])];
    engine.apply(growing_flow(steps)).await;
    let id = engine.start().await;
    let outcome = json!({"type": "decision", "create_steps": ["b"]});
    assert!(client.resolve_step(id, "route", None, Some(&outcome), ANA).await.unwrap());
    assert_eq!(engine.graph(id).await, ["a not_chosen", "b pending", "route resolved_manually"]);
}

#[rstest]
#[case::database(Way::Database)]
#[case::http(Way::Http)]
#[tokio::test]
async fn templates_are_checked_applied_listed_and_shown(#[case] way: Way) {
    let World { client, .. } = &World::new(way).await;
    let definition = flow(&[("only", &[])]);
    assert!(client.validate_template(&definition).await.unwrap().problems.is_empty());
    let report = client.validate_template(&json!({"namespace": "test"})).await.unwrap();
    assert!(
        report.problems.iter().any(|problem| problem.path.is_empty() || problem.path == "/steps"),
        "{report:?}"
    );
    let applied = client.apply_template(&definition, By::default()).await.unwrap();
    assert!(applied.created);
    let again = client.apply_template(&definition, By::default()).await.unwrap();
    assert_eq!((again.template_id, again.created), (applied.template_id, false));
    assert_eq!((&applied.was, &again.was), (&None, &None));
    assert_eq!(client.list_templates(None).await.unwrap().len(), 1);
    assert_eq!(client.list_templates(Some("other")).await.unwrap(), []);
    for version in [None, Some("1")] {
        let template = client.show_template("test", "flow", version).await.unwrap().unwrap();
        assert_eq!(
            (template.overview.template_id, template.overview.current),
            (applied.template_id, true)
        );
        assert_eq!(template.definition["steps"][0]["name"], "only");
    }
    for (namespace, name, version) in
        [("test", "flow", Some("2")), ("test", "other", None), ("a b/c?", "flow", None)]
    {
        assert_eq!(client.show_template(namespace, name, version).await.unwrap(), None);
    }
    assert_eq!(client.list_namespaces().await.unwrap(), ["test"]);
}

#[rstest]
#[case::database(Way::Database)]
#[case::http(Way::Http)]
#[tokio::test]
async fn a_version_is_made_the_one_that_runs(#[case] way: Way) {
    let World { client, engine: e, .. } = &World::new(way).await;
    let current = async || {
        client.show_template("test", "flow", None).await.unwrap().unwrap().overview.version
    };
    let mut versions = Vec::new();
    for version in ["1.0.0", "1.1.0"] {
        let mut definition = flow(&[("only", &[])]);
        definition["version"] = json!(version);
        versions.push(client.apply_template(&definition, By::default()).await.unwrap());
    }
    assert_eq!(versions[1].was.as_deref(), Some("1.0.0"));
    let by = By { who: Some("ana"), reason: Some("1.1.0 fails") };
    let used = client.use_template("test", "flow", "1.0.0", by).await.unwrap();
    let (who, reason): (String, String) = query_as(
        "select said_by, reason from tasker.operations order by operation_id desc limit 1",
    )
    .fetch_one(e.pool())
    .await
    .unwrap();
    assert!(who.starts_with("ana") && reason == "1.1.0 fails", "{who}: {reason}");
    assert_eq!((used.template_id, used.created), (versions[0].template_id, false));
    assert_eq!(used.was.as_deref(), Some("1.1.0"));
    assert_eq!(current().await, "1.0.0");
    assert_eq!(
        client.use_template("test", "flow", "1.0.0", By::default()).await.unwrap().was,
        None
    );
    // Applying the other one again has the same effect.
    let mut definition = flow(&[("only", &[])]);
    definition["version"] = json!("1.1.0");
    let again = client.apply_template(&definition, By::default()).await.unwrap();
    assert_eq!((again.created, again.was.as_deref()), (false, Some("1.0.0")));
    assert_eq!(current().await, "1.1.0");
}

#[rstest]
#[case::database(Way::Database)]
#[case::http(Way::Http)]
#[tokio::test]
async fn a_namespace_is_paused_limited_and_resumed(#[case] way: Way) {
    let World { client, .. } = &World::with_flow(way).await;
    assert!(client.pause_namespace("test", ANA).await.unwrap());
    assert!(!client.pause_namespace("test", ANA).await.unwrap());
    client.limit_namespace("test", Some(7), By::default()).await.unwrap();
    let queue = async || {
        let queues = client.list_queues().await.unwrap();
        queues.into_iter().find(|queue| queue.namespace.as_deref() == Some("test")).unwrap()
    };
    let held = queue().await;
    assert_eq!((held.max_depth, held.paused_at.is_some()), (Some(7), true));
    assert!(held.pause_reason.unwrap().contains("by telephone"));
    assert!(client.resume_namespace("test", By::default()).await.unwrap());
    assert!(!client.resume_namespace("test", By::default()).await.unwrap());
    client.limit_namespace("test", None, By::default()).await.unwrap();
    let free = queue().await;
    assert_eq!((free.max_depth, free.paused_at), (None, None));
}

#[rstest]
#[case::database(Way::Database)]
#[case::http(Way::Http)]
#[tokio::test]
async fn settings_are_listed_and_changed(#[case] way: Way) {
    let World { client, .. } = &World::new(way).await;
    client.set_setting("retention_days", "7", ANA).await.unwrap();
    let settings = client.list_settings().await.unwrap();
    let days = settings.iter().find(|setting| setting.name == "retention_days").unwrap();
    assert_eq!((days.value.as_deref(), days.default_value.as_deref()), (Some("7"), Some("30")));
    assert_eq!(refusal(client.set_setting("retention_days", "-7", ANA).await).0, "TK058");
    assert_eq!(refusal(client.set_setting("colour", "red", ANA).await).0, "TK058");
}

#[rstest]
#[case::database(Way::Database)]
#[case::http(Way::Http)]
#[tokio::test]
async fn the_events_of_a_namespace_are_listed_and_stay_for_their_consumer(#[case] way: Way) {
    let World { engine, client, .. } = &World::new(way).await;
    engine.apply(publishing_flow(&["payment.processed"])).await;
    assert_eq!(client.list_events("test", None, 10).await.unwrap(), []);
    let id = engine.start().await;
    let event = |n: i32| json!({"name": "payment.processed", "payload": {"n": n, "who": "Zoë ✓"}});
    let events = json!([event(1), event(2), event(3)]);
    assert_eq!(engine.announce(&engine.claim(1).await[0], events).await, "accepted");
    let all = client.list_events("test", None, 1000).await.unwrap();
    let first = all[0].domain_event().unwrap();
    assert_eq!((first.task_id, first.payload), (id, json!({"n": 1, "who": "Zoë ✓"})));
    assert_eq!((all.len(), all[0].read_ct), (3, 0));
    assert_eq!(client.list_events("test", None, 2).await.unwrap(), all[1..]);
    assert_eq!(client.list_events("test", Some(all[0].msg_id), 1).await.unwrap(), all[1..2]);
    assert_eq!(client.list_events("test", Some(all[2].msg_id), 9).await.unwrap(), []);
    assert_eq!(engine.depth("test_domain_events").await, 3);
    let queues = client.list_queues().await.unwrap();
    let queue = queues.iter().find(|queue| queue.kind == QueueKind::Events).unwrap();
    assert_eq!((queue.queue.as_str(), queue.depth, queue.visible), ("test_domain_events", 3, 3));
    // Whatever else was sent there breaks nothing.
    sqlx::query("select pgmq.send('test_domain_events', '[7]')")
        .execute(engine.pool())
        .await
        .unwrap();
    let other = client.list_events("test", None, 1).await.unwrap().remove(0);
    assert_eq!((&other.event, other.domain_event()), (&json!([7]), None));
}

#[rstest]
#[case::database(Way::Database)]
#[case::http(Way::Http)]
#[tokio::test]
async fn what_is_old_is_pruned(#[case] way: Way) {
    let World { engine, client, .. } = &World::with_flow(way).await;
    let id = engine.start().await;
    engine.drain().await;
    assert_eq!(client.prune(10, By::default()).await.unwrap().tasks, 0);
    engine.clock(400 * 86_400).await;
    let pruned = client.prune(10, By::default()).await.unwrap();
    assert_eq!((pruned.tasks, pruned.busy), (1, false));
    assert_eq!(refusal(client.show_task(id).await).0, "TK004");
}

/// The calls of the trait; a new one without a test here fails.
#[test]
fn every_call_is_part_of_the_contract() {
    let methods = |source: &'static str| -> Vec<&str> {
        let body = source.split("pub trait Client").nth(1).unwrap();
        let names = body.split("async fn ").skip(1);
        names.map(|rest| rest.split(['(', '<']).next().unwrap()).collect()
    };
    let all = methods(include_str!("../../../client/src/client.rs"));
    assert!(all.len() > 40, "{all:?}");
    for name in all {
        let called = [
            include_str!("client_contract.rs"),
            include_str!("client_dead_letters.rs"),
            include_str!("client_same.rs"),
        ]
        .map(|part| part.contains(&format!(".{name}(")));
        assert!(called.contains(&true), "{name} is not called here");
    }
}
