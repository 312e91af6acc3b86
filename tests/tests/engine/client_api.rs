//! What psql scripts and other languages rely on: enqueueing, its errors, idempotency, status,
//! result, cancel.

use pgtasker_tests::engine::{Engine, sqlstate};
use rstest::rstest;
use serde_json::{Value, json};
use uuid::Uuid;

#[tokio::test]
async fn a_rolled_back_enqueue_leaves_nothing() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    let mut tx = e.pool().begin().await.unwrap();
    sqlx::query("select tasker.enqueue_task('test', 'flow')").execute(&mut *tx).await.unwrap();
    tx.rollback().await.unwrap();
    let tasks: i64 =
        sqlx::query_scalar("select count(*) from tasker.tasks").fetch_one(e.pool()).await.unwrap();
    assert_eq!((tasks, e.depth("orchestration_task_requests").await), (0, 0));
}

#[tokio::test]
async fn a_task_is_there_at_once_in_pending() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    let id = e.enqueue(json!({"order_id": 7})).await;
    assert_eq!(id.get_version_num(), 7);
    let status: Value = sqlx::query_scalar("select tasker.task_status($1)")
        .bind(id)
        .fetch_one(e.pool())
        .await
        .unwrap();
    assert_eq!(
        (&status["state"], &status["name"], &status["version"]),
        (&json!("pending"), &json!("flow"), &json!("1"))
    );
}

#[rstest]
#[case("select tasker.enqueue_task('nowhere', 'flow')", "TK001")]
#[case("select tasker.enqueue_task('test', 'nothing')", "TK002")]
#[case("select tasker.enqueue_task('test', 'flow', p_version => '9')", "TK003")]
#[case("select tasker.task_status(gen_random_uuid())", "TK004")]
#[case("select tasker.task_result(null)", "TK004")]
#[case("select tasker.cancel_task(gen_random_uuid())", "TK004")]
#[case("select tasker.enqueue_task('test', 'flow', '[1]')", "TK005")]
#[case("select tasker.enqueue_task('test', 'flow', null)", "TK005")]
#[case("select tasker.enqueue_tasks('test', 'flow', array['{}', '7']::jsonb[])", "TK005")]
#[case("select tasker.claim_steps('test', gen_random_uuid(), 1, '0 s')", "TK007")]
#[case("select tasker.claim_steps('nowhere', gen_random_uuid(), 1)", "TK001")]
#[case("select tasker.claim_steps('test', gen_random_uuid(), 0)", "TK008")]
#[case("select tasker.process_step_results(-1)", "TK008")]
#[case("select tasker.apply_template('{}')", "TK010")]
#[tokio::test]
async fn every_mistake_has_its_sqlstate(#[case] query: &'static str, #[case] code: &str) {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    assert_eq!(sqlstate(e.pool(), query).await, code);
}

async fn apply(e: &Engine, definition: Value) -> sqlx::Result<(Uuid, bool)> {
    sqlx::query_as("select * from tasker.apply_template($1)")
        .bind(definition)
        .fetch_one(e.pool())
        .await
}

/// The version that a new task gets.
async fn current_version(e: &Engine) -> String {
    let id = e.enqueue(json!({})).await;
    e.text("select version from tasker.task_overview where task_id = $1", id).await
}

#[tokio::test]
async fn a_version_never_changes_and_the_last_applied_is_the_default() {
    let e = Engine::new().await;
    let template = |version: &str, steps: Value| {
        json!({
            "namespace": "test",
            "name": "flow",
            "version": version,
            "steps": steps,
        })
    };
    let (one, two) = (
        json!([{"name": "a", "handler": {"callable": "noop"}}]),
        json!([{"name": "b", "handler": {"callable": "noop"}}]),
    );
    let (first, created) = apply(&e, template("1", one.clone())).await.unwrap();
    assert!(created);
    assert_eq!(apply(&e, template("1", one.clone())).await.unwrap(), (first, false));
    let refused = apply(&e, template("1", two.clone())).await.unwrap_err();
    assert_eq!(refused.as_database_error().unwrap().code().unwrap(), "TK011");
    apply(&e, template("2", two)).await.unwrap();
    assert_eq!(current_version(&e).await, "2");
    // Going back is applying the older one again.
    apply(&e, template("1", one)).await.unwrap();
    assert_eq!(current_version(&e).await, "1");
}

#[tokio::test]
async fn an_idempotency_key_names_one_task_of_its_template() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    let mut other = pgtasker_tests::engine::flow(&[("a", &[])]);
    other["name"] = json!("other");
    e.apply(other).await;
    let call = "select tasker.enqueue_task('test', $1, $2, p_idempotency_key => 'k')";
    let enqueue = |name: &'static str, context: Value| {
        sqlx::query_scalar::<_, Uuid>(call).bind(name).bind(context).fetch_one(e.pool())
    };
    let first = enqueue("flow", json!({"n": 1})).await.unwrap();
    assert_eq!(enqueue("flow", json!({"n": 1})).await.unwrap(), first);
    let refused = enqueue("flow", json!({"n": 2})).await.unwrap_err();
    assert_eq!(refused.as_database_error().unwrap().code().unwrap(), "TK006");
    assert_ne!(
        enqueue("other", json!({"n": 2})).await.unwrap(),
        first,
        "the scope is the namespace and name"
    );
    assert_eq!(
        e.depth("orchestration_task_requests").await,
        2,
        "a repeated key sends no second request"
    );
}

#[tokio::test]
async fn concurrent_enqueues_with_one_key_make_one_task() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    let enqueue = || {
        sqlx::query_scalar::<_, Uuid>(
            "select tasker.enqueue_task('test', 'flow', p_idempotency_key => 'k')",
        )
        .fetch_one(e.pool())
    };
    let (a, b, c) = tokio::join!(enqueue(), enqueue(), enqueue());
    let (a, b, c) = (a.unwrap(), b.unwrap(), c.unwrap());
    assert!(a == b && b == c);
}

#[tokio::test]
async fn many_tasks_come_back_in_order() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    let contexts: Vec<Value> = (0..500).map(|n| json!({"n": n})).collect();
    let ids: Vec<Uuid> = sqlx::query_scalar("select tasker.enqueue_tasks('test', 'flow', $1)")
        .bind(&contexts)
        .fetch_all(e.pool())
        .await
        .unwrap();
    let stored: Vec<Value> = sqlx::query_scalar(
        "select t.context from unnest($1::uuid[]) with \
        ordinality i(id, n) join tasker.tasks t on t.task_id = i.id order by i.n",
    )
    .bind(&ids)
    .fetch_all(e.pool())
    .await
    .unwrap();
    assert_eq!(stored, contexts);
}

#[tokio::test]
async fn the_result_is_that_of_the_leaves_once_complete() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[]), ("b", &["a"]), ("c", &["a"])]).await;
    let id = e.start().await;
    let result = || async {
        sqlx::query_scalar::<_, Option<Value>>("select tasker.task_result($1)")
            .bind(id)
            .fetch_one(e.pool())
            .await
            .unwrap()
    };
    assert_eq!(result().await, None);
    assert_eq!(e.drain().await, ["a", "b", "c"]);
    assert_eq!(result().await, Some(json!({"b": "b", "c": "c"})));
}

#[tokio::test]
async fn a_cancelled_task_stops_everywhere() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[]), ("b", &[]), ("c", &["a", "b"])]).await;
    let id = e.start().await;
    let claims = e.claim(1).await;
    let cancelled: bool = sqlx::query_scalar("select tasker.cancel_task($1, 'not needed')")
        .bind(id)
        .fetch_one(e.pool())
        .await
        .unwrap();
    assert!(cancelled);
    assert_eq!(e.task_state(id).await, "cancelled");
    assert_eq!(e.succeed(&claims[0], json!(1)).await, "stale", "a late result changes nothing");
    assert_eq!(e.claim(10).await, [], "queued steps never start");
    assert_eq!(e.process().await, (0, 0, 0));
    let open: i64 = sqlx::query_scalar(
        "select count(*) from tasker.steps where task_id = $1 and state <> 'cancelled'",
    )
    .bind(id)
    .fetch_one(e.pool())
    .await
    .unwrap();
    assert_eq!(open, 0);
    assert_eq!(
        e.text(
            "select reason from tasker.task_transitions where task_id = $1 and to_state = \
             'cancelled'",
            id
        )
        .await,
        "cancelled by postgres: not needed"
    );
    let again: bool = sqlx::query_scalar("select tasker.cancel_task($1)")
        .bind(id)
        .fetch_one(e.pool())
        .await
        .unwrap();
    assert!(!again);
    e.expire_leases().await;
    assert_eq!(e.claim(10).await, []);
    assert_eq!(e.depth("worker_test_queue").await, 0, "their messages are gone");
}
