//! Both clients of one database: what they read is the same, and what they are refused is refused
//! in the same words.

use pgtasker_client::{
    By, Client, DatabaseClient, DeadLetterFilter, Error, HowStale, HttpClient, Instances, NewTask,
    Page, Sample, StepFilter, TaskSelection, TaskState,
};
use pgtasker_tests::{
    ApiServer,
    engine::{Engine, flow, growing_flow, pick, publishing_flow},
};
use serde_json::json;
use std::time::Duration;
use uuid::Uuid;

const ANA: By<'_> = By { who: Some("ana"), reason: Some("by telephone") };

fn refusal<T: std::fmt::Debug>(result: Result<T, Error>) -> (String, String, Option<String>) {
    match result {
        Err(Error::Refused { code, message, hint }) => (code, message, hint),
        other => panic!("{other:?}"),
    }
}

/// A database with something of everything, and both clients of it.
struct Both {
    engine: Engine,
    database: DatabaseClient,
    http: HttpClient,
    _api: ApiServer,
}

impl Both {
    async fn new() -> Self {
        let engine = Engine::new().await;
        let pool = engine.pool();
        let api = ApiServer::start(pool).await;
        let (database, http) =
            (DatabaseClient::new(pool.clone()), HttpClient::new(&api.url, None).unwrap());
        Self { database, http, _api: api, engine }
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
        let (by_database, by_http) = (refusal(by_database), refusal(by_http));
        assert_eq!(by_http, by_database, "{}", stringify!($call));
        assert_eq!(by_database.0, $code, "{}", stringify!($call));
    }};
}

#[tokio::test]
async fn whatever_is_read_is_the_same_both_ways() {
    let both = Both::new().await;
    let engine = &both.engine;
    let steps: &[(&str, &str, &[&str])] = &[
        ("cut", "batchable", &[]),
        ("part", "batch_worker", &["cut"]),
        ("total", "deferred", &["part"]),
    ];
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
    let done =
        TaskSelection { states: Some(vec![TaskState::Complete]), ..TaskSelection::default() };
    assert_eq!(same!(both, |c| c.list_tasks(&done, &Page::first(5))).items.len(), 1);
    assert_eq!(same!(both, |c| c.count_tasks(&done)), 1);
    same!(both, |c| c.show_task(id));
    same!(both, |c| c.task_status(id));
    same!(both, |c| c.task_result(id)).unwrap();
    for instances in [Instances::All, Instances::Few(0), Instances::Few(2), Instances::Few(10)] {
        let graph = same!(both, |c| c.task_graph(id, instances));
        assert_eq!(graph.batches[0].instances, 3);
    }
    same!(both, |c| c.task_transitions(id));
    assert_eq!(same!(both, |c| c.list_batches(id)).len(), 1);
    assert_eq!(
        same!(both, |c| c.list_steps(id, &StepFilter::default(), &Page::first(50))).items.len(),
        5
    );
    same!(both, |c| c.show_step(id, "part_002"));
    same!(both, |c| c.step_transitions(id, "part_002"));
    same!(both, |c| c.wait(id, Duration::from_secs(1)));
    same!(both, |c| c.list_templates(Some("test")));
    same!(both, |c| c.show_template("test", "flow", None)).unwrap();
    same!(both, |c| c.list_namespaces());
    same!(both, |c| c.show_dead_letter(entry));
    same!(both, |c| c.list_dead_letters(&DeadLetterFilter::default(), &Page::first(5)));
    same!(both, |c| c.dead_letter_counts());
    let sample = Sample { namespace: Some("test".to_owned()), ..Sample::default() };
    assert!(!same!(both, |c| c.slowest_steps(&sample, 5)).is_empty());
    assert!(!same!(both, |c| c.throughput(&sample, Duration::from_secs(60))).is_empty());
    assert!(!same!(both, |c| c.failure_rates(&sample, 5)).is_empty());
    what_has_an_age_is_the_same(&both).await;
}

/// Ages differ between two looks, and the rest does not.
async fn what_has_an_age_is_the_same(both: &Both) {
    let (by_database, by_http) = both!(both, |c| c.list_queues());
    let names = |queues: Vec<pgtasker_client::QueueOverview>| -> Vec<_> {
        queues
            .into_iter()
            .map(|q| (q.queue, q.depth, q.total, q.paused_at, q.pause_reason))
            .collect()
    };
    assert_eq!(names(by_database.unwrap()), names(by_http.unwrap()));
    let (by_database, by_http) = both!(both, |c| c.list_staleness(Some(&HowStale::Healthy), 5));
    let tasks = |rows: Vec<pgtasker_client::Staleness>| {
        rows.into_iter().map(|r| (r.task_id, r.state)).collect::<Vec<_>>()
    };
    let by_database = tasks(by_database.unwrap());
    assert_eq!((by_database.len(), &by_database), (1, &tasks(by_http.unwrap())));
    sqlx::query(
        "select tasker.heartbeat($1, array['test'], array['noop'], \
        '{\"host\": \"h\", \"pid\": 7}')",
    )
    .bind(Uuid::now_v7())
    .execute(both.engine.pool())
    .await
    .unwrap();
    assert_eq!(same!(both, |c| c.list_workers()).len(), 1);
}

#[tokio::test]
async fn events_are_the_same_both_ways() {
    let both = Both::new().await;
    let engine = &both.engine;
    engine.apply(publishing_flow(&["payment.processed"])).await;
    for _ in 0..3 {
        let event = json!({
            "name": "payment.processed",
            "payload": {"amount": 12.50},
            "metadata": {"ü": null},
        });
        sqlx::query("select pgmq.send('test_domain_events', $1)")
            .bind(event)
            .execute(engine.pool())
            .await
            .unwrap();
    }
    assert_eq!(same!(both, |c| c.list_events("test", None, 2)).len(), 2);
    assert_eq!(same!(both, |c| c.list_events("test", Some(1), 5)).len(), 2);
}

#[tokio::test]
async fn whatever_is_refused_is_refused_in_the_same_words() {
    let both = Both::new().await;
    both.engine.apply_flow(&[("first", &[]), ("second", &["first"])]).await;
    let done = both.engine.start().await;
    both.engine.drain().await;
    let nobody = Uuid::from_u128(7);

    refused!(both, "TK001", |c| c.enqueue_task(&NewTask::new("nowhere", "flow")));
    refused!(both, "TK002", |c| c.enqueue_task(&NewTask::new("test", "nothing")));
    refused!(both, "TK003", |c| c
        .enqueue_task(&NewTask { version: Some("9".to_owned()), ..NewTask::new("test", "flow") }));
    refused!(both, "TK005", |c| c.enqueue_task(&NewTask::new("test", "flow").context(json!([]))));
    refused!(both, "TK004", |c| c.show_task(nobody));
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
        refused!(both, "TK032", |c| c.show_step(done, step));
        refused!(both, "TK032", |c| c.step_transitions(done, step));
    }
    refused!(both, "TK031", |c| c.retry_step(done, "first", ANA));
    refused!(both, "TK004", |c| c.resolve_step(nobody, "first", None, None, ANA));
    let broken = json!({"namespace": "test", "name": "No name", "version": "2", "steps": []});
    // Where to ask for more is another place for each.
    let (by_database, by_http) = both!(both, |c| c.apply_template(&broken, By::default()));
    let (by_database, by_http) = (refusal(by_database), refusal(by_http));
    assert_eq!((by_http.0, by_http.1), (by_database.0, by_database.1));
    assert!(by_database.2.unwrap().contains("tasker.validate_template"));
    assert!(by_http.2.unwrap().contains("/v1/templates/validate"));
    let other = flow(&[("other", &[])]);
    refused!(both, "TK011", |c| c.apply_template(&other, By::default()));
    refused!(both, "TK001", |c| c.use_template("nowhere", "flow", "1", By::default()));
    refused!(both, "TK002", |c| c.use_template("test", "a b/c", "1", By::default()));
    refused!(both, "TK003", |c| c.use_template("test", "flow", "9", By::default()));
    refused!(both, "TK001", |c| c.list_events("no where", None, 5));
    refused!(both, "TK001", |c| c.list_events("nowhere", Some(7), 5));
    refused!(both, "TK001", |c| c.pause_namespace("no where", ANA));
    refused!(both, "TK001", |c| c.resume_namespace("nowhere", By::default()));
    refused!(both, "TK001", |c| c.limit_namespace("nowhere", Some(3), By::default()));
    // The API looks at the range of numbers before the engine does.
    let (by_database, by_http) = both!(both, |c| c.limit_namespace("test", Some(0), By::default()));
    assert_eq!(refusal(by_database).0, "TK008");
    assert!(matches!(by_http, Err(Error::Api { status: 400, .. })), "{by_http:?}");
    refused!(both, "TK040", |c| c.show_dead_letter(nobody));
    refused!(both, "TK004", |c| c.add_dead_letter(nobody, None, ANA));
    refused!(both, "TK040", |c| c.update_dead_letter(nobody, None, Some("x"), ANA));
    refused!(both, "TK040", |c| c.retry_dead_letter(nobody, ANA));
    let filter = DeadLetterFilter::default();
    let gone = Page { after: Some(nobody.to_string()), limit: 5 };
    refused!(both, "TK040", |c| c.list_dead_letters(&filter, &gone));
}

#[tokio::test]
async fn who_changes_a_namespace_is_written_down_both_ways() {
    let both = Both::new().await;
    let engine = &both.engine;
    engine.apply_flow(&[("a", &[])]).await;
    engine.start().await;
    engine.drain().await;
    let template = flow(&[("a", &[])]);
    let clients: [&dyn Client; 2] = [&both.database, &both.http];
    for client in clients {
        let before: i64 =
            sqlx::query_scalar("select coalesce(max(operation_id), 0) from tasker.operations")
                .fetch_one(engine.pool())
                .await
                .unwrap();
        client.apply_template(&template, ANA).await.unwrap();
        client.limit_namespace("test", Some(5), ANA).await.unwrap();
        client.limit_namespace("test", None, ANA).await.unwrap();
        client.pause_namespace("test", ANA).await.unwrap();
        client.resume_namespace("test", ANA).await.unwrap();
        let said: Vec<(String, String, Option<String>)> = sqlx::query_as(
            "select operation, said_by, reason from tasker.operation_overview
              where operation_id > $1 order by operation_id",
        )
        .bind(before)
        .fetch_all(engine.pool())
        .await
        .unwrap();
        let operations: Vec<&str> = said.iter().map(|(operation, ..)| operation.as_str()).collect();
        assert_eq!(operations, ["apply", "limit", "limit", "pause", "resume"]);
        for (operation, by, reason) in &said {
            assert_eq!(by, "ana (login postgres)", "{operation}");
            // A template has no reason.
            assert_eq!(reason.as_deref() == Some("by telephone"), operation != "apply");
        }
        let nobody = By { who: Some(" "), reason: None };
        assert_eq!(refusal(client.limit_namespace("test", None, nobody).await).0, "TK052");
    }
}
