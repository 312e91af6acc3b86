//! What one task, client, or namespace has or holds stops no other: batches are bounded by bytes,
//! halved down to the culprit, taken in turn, and wait for nobody.

use pgtasker_tests::{
    engine::{Engine, break_function, flow, growing_flow, pick},
    eventually,
};
use rstest::rstest;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Postgres, Transaction, query, query_as, query_scalar};
use std::time::Duration;
use uuid::Uuid;

const SOON: Duration = Duration::from_secs(20);

/// An engine with `test.flow` of one step `a`, whose contexts are checked, and the same in
/// namespace `other` unchecked.
async fn two_namespaces() -> Engine {
    let e = Engine::new().await;
    let mut checked = flow(&[("a", &[])]);
    checked["input_schema"] = json!({"type": "object"});
    e.apply(checked).await;
    let mut other = flow(&[("a", &[])]);
    other["namespace"] = json!("other");
    e.apply(other).await;
    e
}

async fn enqueue_other(e: &Engine) -> Uuid {
    query_scalar("select tasker.enqueue_task('other', 'flow')").fetch_one(e.pool()).await.unwrap()
}

/// Starts what one call takes, those to be checked too; returns how many, and the bytes that were
/// handed out.
async fn start_batch(e: &Engine, max: i32) -> (i32, usize) {
    let (taken, to_check): (i32, Value) =
        query_as("select taken, to_check from tasker.start_tasks($1)")
            .bind(max)
            .fetch_one(e.pool())
            .await
            .unwrap();
    let verdicts: Vec<Value> = to_check.as_array().unwrap().iter().map(verdict).collect();
    query("select tasker.initialize_tasks($1)")
        .bind(json!(verdicts))
        .execute(e.pool())
        .await
        .unwrap();
    let bytes =
        to_check.as_array().unwrap().iter().map(|r| r["context"].as_str().unwrap().len()).sum();
    (taken, bytes)
}

fn verdict(request: &Value) -> Value {
    json!({"msg_id": request["msg_id"], "task_id": request["task_id"]})
}

async fn count(e: &Engine, sql: &'static str) -> i64 {
    query_scalar(sql).fetch_one(e.pool()).await.unwrap()
}

/// Holds what `sql` locks, as a client who went to lunch does.
async fn holding(e: &Engine, sql: &str) -> Transaction<'static, Postgres> {
    let mut tx = e.pool().begin().await.unwrap();
    query(AssertSqlSafe(sql.to_owned())).execute(&mut *tx).await.unwrap();
    tx
}

/// A call that is an error if it takes long.
async fn at_once(e: &Engine, sql: &str) {
    let mut tx = e.pool().begin().await.unwrap();
    query("set local statement_timeout = '5s'").execute(&mut *tx).await.unwrap();
    query(AssertSqlSafe(sql.to_owned()))
        .execute(&mut *tx)
        .await
        .unwrap_or_else(|e| panic!("{sql}: {e}"));
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn requests_are_bounded_by_the_bytes_of_their_contexts_as_text() {
    let e = two_namespaces().await;
    query("update tasker.settings set max_context_bytes = 10000000")
        .execute(e.pool())
        .await
        .unwrap();
    // 60 of 600,000 characters, which are stored in a hundredth; 30 of 2.6 MB, which are stored in
    // 300 bytes.
    for (times, document) in [
        (60, "to_jsonb(repeat('x', 600000))"),
        (30, "to_jsonb(array(select 1e131071 from generate_series(1, 20)))"),
    ] {
        let sql = format!(
            "select count(tasker.enqueue_task('test', 'flow', jsonb_build_object('doc', \
             {document}))) from generate_series(1, {times})"
        );
        query(AssertSqlSafe(sql)).execute(e.pool()).await.unwrap();
    }
    let last = enqueue_other(&e).await;
    let mut taken = 0;
    let mut calls = 0;
    while taken < 91 {
        let (now, bytes) = start_batch(&e, 500).await;
        assert!(bytes <= 17 << 20, "{bytes}");
        taken += now;
        calls += 1;
        if calls == 3 {
            assert_eq!(
                e.task_state(last).await,
                "steps_in_process",
                "the other namespace does not wait for all of them"
            );
        }
        assert!(calls < 30, "{taken} of 91 after {calls} calls");
    }
    assert_eq!(
        count(&e, "select count(*) from tasker.tasks where state = 'steps_in_process'").await,
        91
    );
    assert_eq!(e.depth("orchestration_task_requests").await, 0);
    assert_eq!(count(&e, "select count(*) from tasker.held_requests").await, 0);
}

#[tokio::test]
async fn a_namespace_with_very_many_requests_delays_no_other() {
    let e = two_namespaces().await;
    query("select count(tasker.enqueue_task('test', 'flow')) from generate_series(1, 3000)")
        .execute(e.pool())
        .await
        .unwrap();
    let mut others = Vec::new();
    for _ in 0..5 {
        others.push(enqueue_other(&e).await);
    }
    for _ in 0..2 {
        start_batch(&e, 100).await;
    }
    for id in others {
        assert_eq!(e.task_state(id).await, "steps_in_process");
    }
    assert!(count(&e, "select count(*) from tasker.tasks where state = 'pending'").await > 2_500);
    // People see them, and the safety net takes none of them for lost.
    let held: i64 = count(
        &e,
        "select held from tasker.queue_overview where queue = 'orchestration_task_requests'",
    )
    .await;
    assert!(held > 2_500, "{held}");
    e.clock(300).await;
    assert_eq!(count(&e, "select tasker.resend_requests(100, tasker.now())::bigint").await, 0);
    while start_batch(&e, 500).await.0 > 0 {}
    assert_eq!(count(&e, "select count(*) from tasker.tasks where state = 'pending'").await, 0);
    assert_eq!(count(&e, "select count(*) from tasker.held_requests").await, 0);
}

#[tokio::test]
async fn a_request_that_an_orchestrator_took_to_its_grave_comes_again() {
    let e = two_namespaces().await;
    query(
        "insert into tasker.held_requests (task_id, namespace, next_at) select \
        tasker.enqueue_task('test', 'flow'), 'test', tasker.now()",
    )
    .execute(e.pool())
    .await
    .unwrap();
    let to_check = "select jsonb_array_length(to_check)::bigint from tasker.start_tasks(10)";
    assert_eq!(count(&e, to_check).await, 1);
    assert_eq!(count(&e, to_check).await, 0, "somebody has it");
    e.clock(31).await;
    assert_eq!(count(&e, to_check).await, 1);
}

#[tokio::test]
async fn tasks_start_beside_one_that_a_client_holds() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    let held = e.enqueue(json!({})).await;
    let others = [e.enqueue(json!({})).await, e.enqueue(json!({})).await];
    let client = holding(&e, &format!("select tasker.cancel_task('{held}')")).await;
    at_once(&e, "select tasker.start_tasks(100)").await;
    for id in others {
        assert_eq!(e.task_state(id).await, "steps_in_process");
    }
    client.rollback().await.unwrap();
    eventually("the held task to start", SOON, async || {
        query("select tasker.start_tasks(100)").execute(e.pool()).await.unwrap();
        e.task_state(held).await == "steps_in_process"
    })
    .await;
    assert_eq!(e.depth("orchestration_task_requests").await, 0);
}

#[tokio::test]
async fn results_are_processed_beside_one_whose_task_a_client_holds() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[]), ("b", &["a"])]).await;
    let ids = [e.start().await, e.start().await, e.start().await];
    for claim in e.claim(3).await {
        e.succeed(&claim, json!(1)).await;
    }
    let client = holding(&e, &format!("select tasker.cancel_task('{}')", ids[1])).await;
    at_once(&e, "select tasker.process_step_results(100)").await;
    for id in [ids[0], ids[2]] {
        assert_eq!(e.step_state(id, "b").await, "enqueued");
    }
    client.rollback().await.unwrap();
    eventually("the result to come again", SOON, async || {
        e.process().await;
        e.step_state(ids[1], "b").await == "enqueued"
    })
    .await;
}

#[tokio::test]
async fn a_dead_letter_that_an_operator_adds_holds_up_no_sweep() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    let ids = [e.start().await, e.start().await, e.start().await];
    e.clock(3 * 86_400).await;
    let operator = holding(&e, &format!("select tasker.add_dead_letter('{}')", ids[1])).await;
    at_once(&e, "select tasker.sweep_stale(100)").await;
    operator.commit().await.unwrap();
    assert_eq!(
        count(&e, "select count(*) from tasker.dead_letters where status = 'pending'").await,
        3
    );
}

#[tokio::test]
async fn a_dropped_queue_of_one_namespace_stops_no_other() {
    let e = two_namespaces().await;
    let mut chain = flow(&[("a", &[]), ("b", &["a"])]);
    chain["version"] = json!("2");
    e.apply(chain.clone()).await;
    let here = e.start().await;
    let there = enqueue_other(&e).await;
    let claims = e.claim(1).await;
    query("select pgmq.drop_queue('worker_other_queue')").execute(e.pool()).await.unwrap();
    at_once(&e, "select tasker.start_tasks(100)").await;
    e.succeed(&claims[0], json!(1)).await;
    assert_eq!(e.process().await, (1, 1, 0));
    // The search for lost messages: here b's is gone, there a's never was.
    query("select pgmq.purge_queue('worker_test_queue')").execute(e.pool()).await.unwrap();
    e.clock(300).await;
    assert_eq!(count(&e, "select resent::bigint from tasker.finalize_tasks(100)").await, 1);
    e.enqueue_ready().await;
    assert_eq!(e.drain().await, ["b"]);
    assert_eq!(e.task_state(here).await, "complete");
    // The queue comes back, and with it the work.
    chain["namespace"] = json!("other");
    e.apply(chain).await;
    e.clock(600).await;
    assert_eq!(count(&e, "select resent::bigint from tasker.finalize_tasks(100)").await, 1);
    assert_eq!(e.step_state(there, "a").await, "enqueued");
    assert_eq!(e.depth("worker_other_queue").await, 1);
}

/// Three results, of which that of `bad` cannot be processed for this SQLSTATE.
async fn with_a_culprit(sqlstate: &str) -> (Engine, Uuid) {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[]), ("bad", &[]), ("c", &["a"])]).await;
    let id = e.start().await;
    let other = e.start().await;
    for claim in e.claim(10).await {
        if claim.task_id == id || claim.step == "a" {
            e.succeed(&claim, json!(1)).await;
        }
    }
    let refuse = format!(
        "if 'bad' = any (p_steps) and not exists (select from tasker.steps s where s.task_id = \
         any (p_task_ids) and s.name = 'bad' and s.error is not null) \
                          then raise exception 'too much' using errcode = '{sqlstate}'; end if; \
                          with moved as ("
    );
    break_function(e.pool(), "settle_steps", "with moved as (", &refuse).await;
    assert_eq!(e.process().await.0, 3);
    assert_eq!(e.step_state(id, "c").await, "enqueued", "the rest of the batch goes on");
    assert_eq!(e.step_state(other, "c").await, "enqueued");
    (e, id)
}

#[tokio::test]
async fn a_batch_of_results_that_is_too_large_is_halved_down_to_the_culprit_which_fails_by_name() {
    let (e, id) = with_a_culprit("54000").await;
    assert_eq!(e.step_state(id, "bad").await, "error");
    let code = e
        .text("select error ->> 'code' from tasker.steps where task_id = $1 and name = 'bad'", id)
        .await;
    assert_eq!(code, "result_too_large");
}

#[tokio::test]
async fn a_result_that_became_a_dead_letter_is_not_sent_again_and_again() {
    let (e, id) = with_a_culprit("22012").await;
    assert_eq!(e.step_state(id, "bad").await, "enqueued_for_orchestration");
    assert_eq!(
        count(
            &e,
            "select count(*) from tasker.dead_letters where queue = 'orchestration_step_results'"
        )
        .await,
        1
    );
    e.clock(300).await;
    assert_eq!(count(&e, "select tasker.resend_results(100, tasker.now())::bigint").await, 0);
}

#[rstest]
#[case::in_the_queue(false)]
#[case::held_beside_the_queue(true)]
#[tokio::test]
async fn a_task_that_cannot_be_started_fails_by_itself_and_the_rest_of_its_batch_starts(
    #[case] held: bool,
) {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    let ids = [
        e.enqueue(json!({})).await,
        e.enqueue(json!({"bad": true})).await,
        e.enqueue(json!({})).await,
    ];
    break_function(
        e.pool(),
        "make_first_steps",
        "with made as (",
        "if exists (select from tasker.tasks t, unnest(p_task_ids, p_errors) i(id, error) where \
         t.task_id = i.id and i.error is null and t.context ? 'bad') \
         then raise exception 'too much' using errcode = '54000'; end if; with made as (",
    )
    .await;
    if held {
        query("select tasker.hold_requests()").execute(e.pool()).await.unwrap();
    }
    e.initialize().await;
    let states =
        [e.task_state(ids[0]).await, e.task_state(ids[1]).await, e.task_state(ids[2]).await];
    assert_eq!(states, ["steps_in_process", "error", "steps_in_process"]);
    assert_eq!(
        e.text("select error ->> 'code' from tasker.tasks where task_id = $1", ids[1]).await,
        "not_startable"
    );
    assert_eq!(e.depth("orchestration_task_requests").await, 0);
}

/// A task with a batch of this many instances whose cursors are stored, and another task with a
/// result.
async fn with_a_large_batch(instances: usize) -> (Engine, Uuid, Uuid) {
    let e = Engine::new().await;
    e.apply(growing_flow(&[
        ("split", "batchable", &[]),
        ("work", "batch_worker", &["split"]),
        ("sum", "deferred", &["work"]),
    ]))
    .await;
    let large = e.start().await;
    let mut chain = flow(&[("a", &[]), ("b", &["a"])]);
    chain["name"] = json!("chain");
    e.apply(chain).await;
    let small: Uuid = query_scalar("select tasker.enqueue_task('test', 'chain')")
        .fetch_one(e.pool())
        .await
        .unwrap();
    e.initialize().await;
    let claims = e.claim(10).await;
    e.split(&pick(&claims, "split"), (0..instances).map(|n| json!(n)).collect()).await;
    e.succeed(&pick(&claims, "a"), json!(1)).await;
    (e, large, small)
}

const SLOW: &str = "select count(*) from tasker.slow_results";

#[tokio::test]
async fn a_result_that_makes_many_instances_is_processed_beside_the_others() {
    let (e, large, small) = with_a_large_batch(1_500).await;
    query("select tasker.process_step_results(100, null, false)").execute(e.pool()).await.unwrap();
    assert_eq!(e.step_state(small, "b").await, "enqueued");
    assert_eq!(
        (e.step_state(large, "split").await.as_str(), count(&e, SLOW).await),
        ("enqueued_for_orchestration", 1)
    );
    e.clock(300).await;
    assert_eq!(
        count(&e, "select tasker.resend_results(100, tasker.now())::bigint").await,
        0,
        "it is not lost"
    );
    assert_eq!(count(&e, "select processed::bigint from tasker.process_slow_result()").await, 1);
    assert_eq!(e.step_state(large, "work_1500").await, "enqueued");
    assert_eq!((count(&e, SLOW).await, e.depth("orchestration_step_results").await), (0, 0));
}

#[tokio::test]
async fn a_result_that_takes_too_long_fails_after_three_tries_while_others_go_on() {
    let (e, large, small) = with_a_large_batch(10).await;
    assert_eq!(count(&e, "select tasker.set_aside(100)::bigint").await, 2);
    break_function(
        e.pool(),
        "create_steps",
        "with made as (",
        "perform pg_sleep(60); with made as (",
    )
    .await;
    let mut c = e.pool().acquire().await.unwrap();
    query("set statement_timeout = '300ms'").execute(&mut *c).await.unwrap();
    let call = "select timed_out from tasker.process_slow_result(null, true)";
    let mut tried = Vec::new();
    for minute in 0..4 {
        e.clock(minute * 40).await;
        // Another result is due first, once.
        for _ in 0..2 {
            tried.push(query_scalar::<_, i32>(call).fetch_one(&mut *c).await.unwrap());
        }
        if count(&e, SLOW).await == 0 {
            break;
        }
    }
    assert_eq!(e.step_state(small, "b").await, "enqueued");
    assert_eq!(tried.iter().sum::<i32>(), 3, "{tried:?}");
    assert_eq!(e.step_state(large, "split").await, "error");
    let code = e
        .text(
            "select error ->> 'code' from tasker.steps where task_id = $1 and name = 'split'",
            large,
        )
        .await;
    assert_eq!(code, "result_takes_too_long");
}

#[tokio::test]
async fn a_call_that_an_operator_cancels_fails_no_result() {
    let (e, large, _) = with_a_large_batch(10).await;
    query("select tasker.set_aside(100)").execute(e.pool()).await.unwrap();
    query("delete from tasker.slow_results where step = 'a'").execute(e.pool()).await.unwrap();
    break_function(
        e.pool(),
        "create_steps",
        "with made as (",
        "perform pg_sleep(60); with made as (",
    )
    .await;
    let mut c = e.pool().acquire().await.unwrap();
    query("set statement_timeout = '50s'").execute(&mut *c).await.unwrap();
    let pid: i32 = query_scalar("select pg_backend_pid()").fetch_one(&mut *c).await.unwrap();
    let call = tokio::spawn(async move {
        query("select tasker.process_slow_result(null, true)").execute(&mut *c).await
    });
    eventually("the call to sleep", SOON, async || {
        count(&e, "select count(*) from pg_stat_activity where wait_event = 'PgSleep'").await > 0
    })
    .await;
    query("select pg_cancel_backend($1)").bind(pid).execute(e.pool()).await.unwrap();
    assert!(call.await.unwrap().is_err());
    assert_eq!(count(&e, "select tries::bigint from tasker.slow_results").await, 0);
    assert_eq!(e.step_state(large, "split").await, "enqueued_for_orchestration");
}

#[tokio::test]
async fn a_lock_that_anybody_may_take_does_not_stop_an_applier() {
    let e = Engine::new().await;
    let _anybody =
        holding(&e, "select pg_advisory_lock(hashtextextended('tasker.apply_template', 0))").await;
    let template = flow(&[("a", &[])]).to_string();
    at_once(&e, &format!("select tasker.apply_template('{template}')")).await;
}

#[tokio::test]
async fn results_over_the_limit_of_an_answer_are_an_error_that_says_so_and_come_by_pages() {
    let e = Engine::new().await;
    let names: Vec<String> = (0..20).map(|n| format!("s{n:02}")).collect();
    let steps: Vec<(&str, &[&str])> =
        names.iter().map(|name| (name.as_str(), &[] as &[&str])).collect();
    e.apply_flow(&steps).await;
    let id = e.start().await;
    for claim in e.claim(100).await {
        e.succeed(&claim, json!("x".repeat(1_000_000))).await;
    }
    e.process().await;
    let call = "select tasker.task_result(task_id) from tasker.tasks";
    let error = query(call).execute(e.pool()).await.unwrap_err();
    let error = pgtasker_core::Error::from(error).to_string();
    assert!(error.contains("TK013") && error.contains("task_results"), "{error}");
    let mut read = Vec::new();
    for expected in [17, 3, 0] {
        let after: Option<&String> = read.last();
        let page: Vec<String> = query_scalar("select step from tasker.task_results($1, $2)")
            .bind(id)
            .bind(after)
            .fetch_all(e.pool())
            .await
            .unwrap();
        assert_eq!(page.len(), expected);
        read.extend(page);
    }
    assert_eq!(read, names);
}
