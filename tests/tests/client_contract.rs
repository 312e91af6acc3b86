//! One contract, two ways: whatever [`Client`] promises holds over the database and over the HTTP API.

use rstest::rstest;
use serde_json::json;
use std::{sync::Arc, time::Duration};
use tasker_client::{
    By, Client, DatabaseClient, DeadLetterFilter, Error, HttpClient, Instances, NewTask, Page, Sample,
    StepFilter, StepState, TaskSelection, TaskState,
};
use tasker_tests::{
    ApiServer,
    engine::{Engine, flow, growing_flow, pick},
};
use uuid::Uuid;

#[derive(Clone, Copy)]
enum Way {
    Database,
    Http,
}

/// The engine driven by hand, and a client of its database.
struct World {
    engine: Engine,
    client: Arc<dyn Client>,
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
    async fn with_flow(way: Way) -> Self {
        let world = Self::new(way).await;
        world.engine.apply_flow(&[("first", &[]), ("second", &["first"])]).await;
        world
    }

    /// A task whose first step has failed for good.
    async fn blocked(&self) -> Uuid {
        let id = self.engine.start().await;
        let claim = &self.engine.claim(1).await[0];
        let outcome = json!({"type": "failure", "message": "declined", "code": "card", "retryable": false});
        assert_eq!(self.engine.submit(claim, outcome).await, "accepted");
        self.engine.process().await;
        id
    }
}

const ANA: By<'_> = By { who: Some("ana"), reason: Some("by telephone") };

fn of_namespace(namespace: &str) -> TaskSelection {
    TaskSelection { namespace: Some(namespace.to_owned()), ..TaskSelection::default() }
}

fn refusal<T: std::fmt::Debug>(result: Result<T, Error>) -> (String, String, Option<String>) {
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
    let id = client.enqueue(&task).await.unwrap();
    assert_eq!(client.enqueue(&task).await.unwrap(), id);
    assert_eq!(client.task_result(id).await.unwrap(), None);
    let overview = client.task(id).await.unwrap();
    assert_eq!((overview.priority, overview.correlation_id), (-3, Some(correlation)));
    assert_eq!((overview.idempotency_key.as_deref(), overview.state), (Some("order-7"), TaskState::Pending));

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

    let task = client.task(ids[2]).await.unwrap();
    let count = |which: TaskSelection| async move {
        client.list_tasks(&which, &Page::first(10)).await.unwrap().items.len()
    };
    assert_eq!(count(of_namespace("test")).await, 5);
    assert_eq!(count(of_namespace("other & more")).await, 0);
    assert_eq!(count(TaskSelection { name: Some("flow".to_owned()), ..all.clone() }).await, 5);
    assert_eq!(count(TaskSelection { version: Some("2".to_owned()), ..all.clone() }).await, 0);
    let states = |states: &[TaskState]| TaskSelection { states: Some(states.to_vec()), ..all.clone() };
    assert_eq!(count(states(&[TaskState::Error, TaskState::Pending])).await, 5);
    assert_eq!(count(states(&[TaskState::Complete])).await, 0);
    assert_eq!(count(states(&[])).await, 0);
    let some = TaskSelection { task_ids: Some(vec![ids[0], ids[3]]), ..all.clone() };
    assert_eq!(count(some).await, 2);
    assert_eq!(count(TaskSelection { correlation_id: task.correlation_id, ..all.clone() }).await, 1);
    // To the microsecond: the task itself is the first after, and none before.
    let after = TaskSelection { created_after: Some(task.created_at), ..all.clone() };
    assert_eq!(count(after).await, 3);
    let before = TaskSelection { created_before: Some(task.created_at), ..all.clone() };
    assert_eq!(count(before).await, 2);
    assert_eq!(count(TaskSelection { error_code: Some("card".to_owned()), ..all.clone() }).await, 0);
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
            reasons.iter().any(|reason| *reason == format!("{what} by ana: by telephone")),
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
    let failed = StepFilter { states: vec![StepState::Error, StepState::Cancelled], template_step: None };
    assert_eq!(client.list_steps(id, &failed, &Page::first(9)).await.unwrap().items.len(), 1);
    let of = StepFilter { template_step: Some("second".to_owned()), ..StepFilter::default() };
    assert_eq!(client.list_steps(id, &of, &Page::first(9)).await.unwrap().items.len(), 1);

    let step = client.step(id, "first").await.unwrap();
    assert_eq!((step.state, step.error.unwrap()["code"].clone()), (StepState::Error, json!("card")));
    assert!(client.retry_step(id, "first", ANA).await.unwrap());
    assert!(!client.retry_step(id, "first", ANA).await.unwrap());
    let result = json!({"by": "hand"});
    assert!(client.resolve_step(id, "first", Some(&result), None, ANA).await.unwrap());
    assert!(!client.resolve_step(id, "first", Some(&result), None, ANA).await.unwrap());
    assert_eq!(client.step(id, "first").await.unwrap().result, Some(result));
    let audit = client.step_transitions(id, "first").await.unwrap();
    let reasons: Vec<_> = audit.iter().filter_map(|t| t.reason.as_deref()).collect();
    assert!(reasons.contains(&"retried by ana: by telephone"), "{reasons:?}");
    assert!(reasons.contains(&"resolved by ana: by telephone"), "{reasons:?}");
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
    let applied = client.apply_template(&definition).await.unwrap();
    assert!(applied.created);
    let again = client.apply_template(&definition).await.unwrap();
    assert_eq!((again.template_id, again.created), (applied.template_id, false));
    assert_eq!(client.list_templates(None).await.unwrap().len(), 1);
    assert_eq!(client.list_templates(Some("other")).await.unwrap(), []);
    for version in [None, Some("1")] {
        let template = client.template("test", "flow", version).await.unwrap().unwrap();
        assert_eq!((template.overview.template_id, template.overview.current), (applied.template_id, true));
        assert_eq!(template.definition["steps"][0]["name"], "only");
    }
    for (namespace, name, version) in
        [("test", "flow", Some("2")), ("test", "other", None), ("a b/c?", "flow", None)]
    {
        assert_eq!(client.template(namespace, name, version).await.unwrap(), None);
    }
    assert_eq!(client.list_namespaces().await.unwrap(), ["test"]);
}

#[rstest]
#[case::database(Way::Database)]
#[case::http(Way::Http)]
#[tokio::test]
async fn a_namespace_is_paused_limited_and_resumed(#[case] way: Way) {
    let World { client, .. } = &World::with_flow(way).await;
    assert!(client.pause_namespace("test", ANA).await.unwrap());
    assert!(!client.pause_namespace("test", ANA).await.unwrap());
    client.limit_namespace("test", Some(7)).await.unwrap();
    let queue = async || {
        let queues = client.list_queues().await.unwrap();
        queues.into_iter().find(|queue| queue.namespace.as_deref() == Some("test")).unwrap()
    };
    let held = queue().await;
    assert_eq!((held.max_depth, held.paused_at.is_some()), (Some(7), true));
    assert!(held.pause_reason.unwrap().contains("by telephone"));
    assert!(client.resume_namespace("test").await.unwrap());
    assert!(!client.resume_namespace("test").await.unwrap());
    client.limit_namespace("test", None).await.unwrap();
    let free = queue().await;
    assert_eq!((free.max_depth, free.paused_at), (None, None));
}

#[rstest]
#[case::database(Way::Database)]
#[case::http(Way::Http)]
#[tokio::test]
async fn a_dead_letter_is_added_listed_updated_and_retried(#[case] way: Way) {
    let world = World::with_flow(way).await;
    let client = &world.client;
    let (task, other) = (world.blocked().await, world.blocked().await);
    let entry = client.add_dead_letter(task, Some("look at this"), ANA).await.unwrap();
    client.add_dead_letter(other, None, ANA).await.unwrap();
    let all = DeadLetterFilter::default();
    let first = client.list_dead_letters(&all, &Page::first(1)).await.unwrap();
    let rest = client.list_dead_letters(&all, &Page { after: first.next.clone(), limit: 9 }).await.unwrap();
    assert_eq!((first.items.len(), first.next.is_some(), rest.items.len(), rest.next), (1, true, 1, None));
    let manual = |task_id, status: &str| DeadLetterFilter {
        reason: Some("manual".to_owned()),
        status: Some(status.to_owned()),
        task_id,
    };
    let pending = client.list_dead_letters(&manual(Some(task), "pending"), &Page::first(9)).await.unwrap();
    assert_eq!(pending.items.iter().map(|e| e.entry_id).collect::<Vec<_>>(), [entry]);
    assert_eq!(client.count_dead_letters().await.unwrap()[0].entries, 2);

    client.update_dead_letter(entry, None, Some("called the bank"), ANA).await.unwrap();
    client.update_dead_letter(entry, Some("permanent_failure"), None, ANA).await.unwrap();
    let shown = client.dead_letter(entry).await.unwrap();
    let notes = shown.overview.notes.unwrap();
    assert!(notes.contains("look at this") && notes.contains("called the bank"), "{notes}");
    assert_eq!(
        (shown.overview.status.as_str(), shown.overview.resolved_by.as_deref()),
        ("permanent_failure", Some("ana"))
    );
    assert_eq!(shown.snapshot.unwrap()["state"], "blocked_by_failures");

    let second = client.list_dead_letters(&manual(Some(other), "pending"), &Page::first(9)).await.unwrap();
    client.retry_dead_letter(second.items[0].entry_id, ANA).await.unwrap();
    let closed = client.dead_letter(second.items[0].entry_id).await.unwrap().overview;
    assert_eq!(closed.status, "manually_resolved");
    assert_eq!(client.step(other, "first").await.unwrap().state, StepState::Pending);
}

#[rstest]
#[case::database(Way::Database)]
#[case::http(Way::Http)]
#[tokio::test]
async fn what_is_old_is_pruned(#[case] way: Way) {
    let World { engine, client, .. } = &World::with_flow(way).await;
    let id = engine.start().await;
    engine.drain().await;
    assert_eq!(client.prune(10).await.unwrap().tasks, 0);
    engine.clock(400 * 86_400).await;
    let pruned = client.prune(10).await.unwrap();
    assert_eq!((pruned.tasks, pruned.busy), (1, false));
    assert_eq!(refusal(client.task(id).await).0, "TK004");
}

/// A database with something of everything, and both clients of it.
struct Both {
    world: World,
    database: DatabaseClient,
    http: HttpClient,
    _api: ApiServer,
}

impl Both {
    async fn new() -> Self {
        let world = World::new(Way::Database).await;
        let pool = world.engine.pool();
        let api = ApiServer::start(pool).await;
        let (database, http) = (DatabaseClient::new(pool.clone()), HttpClient::new(&api.url, None).unwrap());
        Self { database, http, _api: api, world }
    }
}

/// Both ways of one call.
macro_rules! both {
    ($both:expr, |$client:ident| $call:expr) => {{
        let $client: &dyn Client = &$both.database;
        let by_database = $call.await;
        let $client: &dyn Client = &$both.http;
        (by_database, $call.await)
    }};
}

/// Both ways give the same value.
macro_rules! same {
    ($both:expr, |$client:ident| $call:expr) => {{
        let (by_database, by_http) = both!($both, |$client| $call);
        let by_database = by_database.unwrap();
        assert_eq!(by_http.unwrap(), by_database, "{}", stringify!($call));
        by_database
    }};
}

/// Both ways are refused in the same words.
macro_rules! refused {
    ($both:expr, $code:literal, |$client:ident| $call:expr) => {{
        let (by_database, by_http) = both!($both, |$client| $call);
        let by_database = refusal(by_database);
        assert_eq!(refusal(by_http), by_database, "{}", stringify!($call));
        assert_eq!(by_database.0, $code, "{}", stringify!($call));
    }};
}

#[tokio::test]
async fn whatever_is_read_is_the_same_both_ways() {
    let both = Both::new().await;
    let engine = &both.world.engine;
    let steps: &[(&str, &str, &[&str])] =
        &[("cut", "batchable", &[]), ("part", "batch_worker", &["cut"]), ("total", "deferred", &["part"])];
    engine.apply(growing_flow(steps)).await;
    let id = engine.start().await;
    let cut = pick(&engine.claim(1).await, "cut");
    assert_eq!(engine.split(&cut, json!([1, {"file": "b & c"}, null])).await, "accepted");
    engine.process().await;
    engine.drain().await;
    assert_eq!(engine.task_state(id).await, "complete");
    sqlx::query("update tasker.steps set duration_ms = 12.5 where task_id = $1")
        .bind(id)
        .execute(engine.pool())
        .await
        .unwrap();
    let entry = both.database.add_dead_letter(id, Some("ünïcödé"), ANA).await.unwrap();
    both.database.pause_namespace("test", ANA).await.unwrap();
    engine.enqueue(json!({})).await;

    let health = same!(both, |c| c.health());
    assert!(health.healthy && health.schema.is_some(), "{health:?}");
    let done = TaskSelection { states: Some(vec![TaskState::Complete]), ..TaskSelection::default() };
    assert_eq!(same!(both, |c| c.list_tasks(&done, &Page::first(5))).items.len(), 1);
    assert_eq!(same!(both, |c| c.count_tasks(&done)), 1);
    same!(both, |c| c.task(id));
    same!(both, |c| c.task_status(id));
    same!(both, |c| c.task_result(id)).unwrap();
    for instances in [Instances::All, Instances::Few(0), Instances::Few(2), Instances::Few(10)] {
        let graph = same!(both, |c| c.task_graph(id, instances));
        assert_eq!(graph.batches[0].instances, 3);
    }
    same!(both, |c| c.task_transitions(id));
    assert_eq!(same!(both, |c| c.list_batches(id)).len(), 1);
    assert_eq!(same!(both, |c| c.list_steps(id, &StepFilter::default(), &Page::first(50))).items.len(), 5);
    same!(both, |c| c.step(id, "part_002"));
    same!(both, |c| c.step_transitions(id, "part_002"));
    same!(both, |c| c.wait(id, Duration::from_secs(1)));
    same!(both, |c| c.list_templates(Some("test")));
    same!(both, |c| c.template("test", "flow", None)).unwrap();
    same!(both, |c| c.list_namespaces());
    same!(both, |c| c.dead_letter(entry));
    same!(both, |c| c.list_dead_letters(&DeadLetterFilter::default(), &Page::first(5)));
    same!(both, |c| c.count_dead_letters());
    let sample = Sample { namespace: Some("test".to_owned()), ..Sample::default() };
    assert!(!same!(both, |c| c.slowest_steps(&sample, 5)).is_empty());
    assert!(!same!(both, |c| c.throughput(&sample, Duration::from_secs(60))).is_empty());
    assert!(!same!(both, |c| c.failure_rates(&sample, 5)).is_empty());
    // Ages differ between two looks.
    let (by_database, by_http) = both!(both, |c| c.list_queues());
    let names = |queues: Vec<tasker_client::QueueOverview>| -> Vec<_> {
        queues.into_iter().map(|q| (q.queue, q.depth, q.total, q.paused_at, q.pause_reason)).collect()
    };
    assert_eq!(names(by_database.unwrap()), names(by_http.unwrap()));
    let (by_database, by_http) = both!(both, |c| c.list_staleness(Some("healthy"), 5));
    let tasks = |rows: Vec<tasker_client::Staleness>| {
        rows.into_iter().map(|r| (r.task_id, r.state)).collect::<Vec<_>>()
    };
    let by_database = tasks(by_database.unwrap());
    assert_eq!((by_database.len(), &by_database), (1, &tasks(by_http.unwrap())));
    sqlx::query("select tasker.heartbeat($1, array['test'], array['noop'], '{\"host\": \"h\", \"pid\": 7}')")
        .bind(Uuid::now_v7())
        .execute(engine.pool())
        .await
        .unwrap();
    assert_eq!(same!(both, |c| c.list_workers()).len(), 1);
}

#[tokio::test]
async fn whatever_is_refused_is_refused_in_the_same_words() {
    let both = Both::new().await;
    both.world.engine.apply_flow(&[("first", &[]), ("second", &["first"])]).await;
    let done = both.world.engine.start().await;
    both.world.engine.drain().await;
    let nobody = Uuid::from_u128(7);

    refused!(both, "TK001", |c| c.enqueue(&NewTask::new("nowhere", "flow")));
    refused!(both, "TK002", |c| c.enqueue(&NewTask::new("test", "nothing")));
    refused!(both, "TK003", |c| c
        .enqueue(&NewTask { version: Some("9".to_owned()), ..NewTask::new("test", "flow") }));
    refused!(both, "TK005", |c| c.enqueue(&NewTask::new("test", "flow").context(json!([]))));
    refused!(both, "TK004", |c| c.task(nobody));
    refused!(both, "TK004", |c| c.task_status(nobody));
    refused!(both, "TK004", |c| c.task_result(nobody));
    refused!(both, "TK004", |c| c.task_graph(nobody, Instances::All));
    refused!(both, "TK004", |c| c.task_transitions(nobody));
    refused!(both, "TK004", |c| c.list_batches(nobody));
    refused!(both, "TK004", |c| c.wait(nobody, Duration::from_secs(9)));
    refused!(both, "TK004", |c| c.cancel_task(nobody, ANA));
    refused!(both, "TK004", |c| c.resolve_task(nobody, None, ANA));
    refused!(both, "TK004", |c| c.reset_task(nobody, ANA));
    refused!(both, "TK031", |c| c.reset_task(done, ANA));
    refused!(both, "TK030", |c| c.retry_tasks(&TaskSelection::default(), ANA, 5));
    refused!(both, "TK030", |c| c.cancel_tasks(&TaskSelection::default(), ANA, 5));
    refused!(both, "TK030", |c| c.count_tasks(&TaskSelection::default()));
    let unknown = Page { after: Some("x".to_owned()), limit: 5 };
    refused!(both, "TK008", |c| c.list_tasks(&TaskSelection::default(), &unknown));
    refused!(both, "TK004", |c| c.list_steps(nobody, &StepFilter::default(), &Page::first(5)));
    refused!(both, "TK032", |c| c.list_steps(done, &StepFilter::default(), &unknown));
    for step in ["third", "a b/c?d#e%41", "ünï"] {
        refused!(both, "TK032", |c| c.step(done, step));
        refused!(both, "TK032", |c| c.step_transitions(done, step));
    }
    refused!(both, "TK031", |c| c.retry_step(done, "first", ANA));
    refused!(both, "TK004", |c| c.resolve_step(nobody, "first", None, None, ANA));
    let broken = json!({"namespace": "test", "name": "No name", "version": "2", "steps": []});
    refused!(both, "TK010", |c| c.apply_template(&broken));
    let other = flow(&[("other", &[])]);
    refused!(both, "TK011", |c| c.apply_template(&other));
    refused!(both, "TK001", |c| c.pause_namespace("no where", ANA));
    refused!(both, "TK001", |c| c.resume_namespace("nowhere"));
    refused!(both, "TK001", |c| c.limit_namespace("nowhere", Some(3)));
    refused!(both, "TK008", |c| c.limit_namespace("test", Some(0)));
    refused!(both, "TK040", |c| c.dead_letter(nobody));
    refused!(both, "TK004", |c| c.add_dead_letter(nobody, None, ANA));
    refused!(both, "TK040", |c| c.update_dead_letter(nobody, None, Some("x"), ANA));
    refused!(both, "TK040", |c| c.retry_dead_letter(nobody, ANA));
    let filter = DeadLetterFilter::default();
    let gone = Page { after: Some(nobody.to_string()), limit: 5 };
    refused!(both, "TK040", |c| c.list_dead_letters(&filter, &gone));
}

/// The calls of the trait; a new one without a test here fails.
#[test]
fn every_call_is_part_of_the_contract() {
    let methods = |source: &'static str| -> Vec<&str> {
        let body = source.split("pub trait Client").nth(1).unwrap();
        let names = body.split("async fn ").skip(1);
        names.map(|rest| rest.split(['(', '<']).next().unwrap()).collect()
    };
    let all = methods(include_str!("../../client/src/lib.rs"));
    assert!(all.len() > 40, "{all:?}");
    let tests = include_str!("client_contract.rs");
    let (by_case, by_both): (&str, &str) = tests.split_once("struct Both").unwrap();
    for name in all {
        let called = [by_case, by_both].map(|part| part.contains(&format!(".{name}(")));
        assert!(called.contains(&true), "{name} is not called here");
    }
}
