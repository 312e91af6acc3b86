//! The functions take their locks in one order (tasks, then steps, queue rows last) and wait only
//! where they must. One connection holds a lock; another calls with a lock_timeout, or is seen to
//! wait.

use pgtasker_tests::{
    engine::{Claim, Engine, flow},
    eventually,
};
use rstest::rstest;
use serde_json::{Value, json};
use sqlx::{
    AssertSqlSafe, PgConnection, Postgres, Transaction, postgres::PgRow, query, query_as,
    query_scalar,
};
use std::time::Duration;
use tokio::task::JoinHandle;
use uuid::Uuid;

const SOON: Duration = Duration::from_secs(10);
/// c follows a; b is beside them.
const FLOW: &[(&str, &[&str])] = &[("a", &[]), ("b", &[]), ("c", &["a"])];

async fn engine() -> Engine {
    let e = Engine::new().await;
    e.apply_flow(FLOW).await;
    e
}

/// A transaction in which waiting for a lock is an error.
async fn impatient(e: &Engine) -> Transaction<'static, Postgres> {
    let mut tx = e.pool().begin().await.unwrap();
    query("set local lock_timeout = '2s'").execute(&mut *tx).await.unwrap();
    tx
}

/// One call that must not wait.
async fn at_once(e: &Engine, sql: &str) -> Vec<PgRow> {
    let mut tx = impatient(e).await;
    let rows = query(AssertSqlSafe(sql.to_owned()))
        .fetch_all(&mut *tx)
        .await
        .unwrap_or_else(|e| panic!("{sql}: {e}"));
    tx.commit().await.unwrap();
    rows
}

/// Holds the rows that `select` locks.
async fn holding(e: &Engine, select: &str) -> Transaction<'static, Postgres> {
    let mut tx = impatient(e).await;
    let rows = query(AssertSqlSafe(select.to_owned())).fetch_all(&mut *tx).await.unwrap();
    assert!(!rows.is_empty(), "{select}");
    tx
}

/// Elements of `submit_results`, which serve as claims as well, as an SQL literal.
fn successes<'a>(claims: impl IntoIterator<Item = &'a Claim>) -> String {
    let element = |claim: &Claim| {
        json!({
            "task_id": claim.task_id,
            "step": claim.step,
            "claim_no": claim.claim_no,
            "outcome": {"type": "success"},
        })
    };
    format!("'{}'", claims.into_iter().map(element).collect::<Value>())
}

async fn statuses(connection: &mut PgConnection, call: &str) -> Vec<String> {
    let sql = format!("select status from tasker.{call}");
    query_scalar(AssertSqlSafe(sql))
        .fetch_all(connection)
        .await
        .unwrap_or_else(|e| panic!("{call}: {e}"))
}

/// A handler's own transaction that has completed its step and not yet committed.
async fn completing(e: &Engine, claim: &Claim) -> Transaction<'static, Postgres> {
    let mut tx = impatient(e).await;
    let call = format!("submit_results(gen_random_uuid(), {})", successes([claim]));
    assert_eq!(statuses(&mut tx, &call).await, ["accepted"]);
    tx
}

/// A call on a connection of its own that has to wait; returns when it is seen to do so.
async fn waiting(e: &Engine, sql: &str) -> JoinHandle<sqlx::Result<Vec<String>>> {
    let mut connection = e.pool().acquire().await.unwrap();
    let pid: i32 =
        query_scalar("select pg_backend_pid()").fetch_one(&mut *connection).await.unwrap();
    let call = AssertSqlSafe(sql.to_owned());
    let task = tokio::spawn(async move { query_scalar(call).fetch_all(&mut *connection).await });
    eventually(sql, SOON, async || {
        query_scalar("select cardinality(pg_blocking_pids($1)) > 0")
            .bind(pid)
            .fetch_one(e.pool())
            .await
            .unwrap_or(false)
    })
    .await;
    task
}

/// What a waiting call returned in the end; a deadlock would be an error.
async fn end(task: JoinHandle<sqlx::Result<Vec<String>>>) -> Vec<String> {
    tokio::time::timeout(SOON, task).await.unwrap().unwrap().unwrap()
}

/// Sorted as the database sorts them.
async fn two_tasks(e: &Engine) -> [Uuid; 2] {
    let mut ids = [e.start().await, e.start().await];
    ids.sort();
    ids
}

fn of<'a>(claims: &'a [Claim], id: Uuid, step: &str) -> &'a Claim {
    claims.iter().find(|c| c.task_id == id && c.step == step).unwrap()
}

#[tokio::test]
async fn a_claim_waits_for_nobody() {
    let e = engine().await;
    e.start().await;
    // Tasks are only read.
    let _tasks = holding(&e, "select from tasker.tasks for update").await;
    let _step = holding(&e, "select from tasker.steps where name = 'a' for update").await;
    let _message = holding(
        &e,
        "select from pgmq.q_worker_test_queue where message ->> 'step' = 'b' for update",
    )
    .await;
    assert!(
        at_once(&e, "select from tasker.claim_steps('test', gen_random_uuid(), 10)")
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn an_extension_waits_neither_for_steps_nor_for_messages_of_handlers_transactions() {
    let e = engine().await;
    e.start().await;
    let claims = e.claim(2).await;
    let own = completing(&e, of(&claims, claims[0].task_id, "a")).await;
    let _step = holding(&e, "select from tasker.steps where name = 'b' for update").await;
    let call = format!(
        "select status from tasker.extend_leases(gen_random_uuid(), {}, '1 hour')",
        successes(&claims)
    );
    assert_eq!(at_once(&e, &call).await.len(), 2);
    own.commit().await.unwrap();
    let seconds: f64 = query_scalar(
        "select extract(epoch from vt - clock_timestamp())::float8 from pgmq.q_worker_test_queue",
    )
    .fetch_one(e.pool())
    .await
    .unwrap();
    assert!(seconds > 3_000.0, "{seconds}: b was extended though a's message was held");
}

#[tokio::test]
async fn cancelling_does_not_wait_for_a_handlers_transaction_and_its_result_becomes_cancelled() {
    let e = engine().await;
    let id = e.start().await;
    let claims = e.claim(2).await;
    let own = completing(&e, of(&claims, id, "a")).await;
    at_once(&e, &format!("select tasker.cancel_task('{id}')")).await;
    assert_eq!(e.step_state(id, "b").await, "cancelled");
    own.commit().await.unwrap();
    e.process().await;
    assert_eq!(
        (e.task_state(id).await.as_str(), e.step_state(id, "a").await.as_str()),
        ("cancelled", "cancelled")
    );
}

/// A handler's own transaction must never stop an orchestrator or another worker of the same task.
#[rstest]
#[case::that_goes_on("block", r#"{"type": "success"}"#, "steps_in_process")]
#[case::that_fails("fail", r#"{"type": "failure", "message": "no", "retryable": false}"#, "error")]
#[tokio::test]
async fn results_of_a_task_do_not_wait_for_a_handlers_transaction(
    #[case] on_failure: &str,
    #[case] outcome: &str,
    #[case] state: &str,
) {
    let e = Engine::new().await;
    let mut template = flow(FLOW);
    template["on_failure"] = json!(on_failure);
    e.apply(template).await;
    let id = e.start().await;
    let claims = e.claim(2).await;
    e.submit(of(&claims, id, "b"), serde_json::from_str(outcome).unwrap()).await;
    let own = completing(&e, of(&claims, id, "a")).await;
    at_once(&e, "select tasker.process_step_results(10)").await;
    assert_eq!(e.task_state(id).await, state);
    own.rollback().await.unwrap();
}

#[tokio::test]
async fn a_workers_completion_does_not_wait_for_the_orchestrator_which_counts_after_it() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[]), ("b", &[]), ("c", &["a", "b"])]).await;
    for worker_first in [false, true] {
        let id = e.start().await;
        let claims = e.claim(2).await;
        let (a, b) = (of(&claims, id, "a"), of(&claims, id, "b"));
        assert_eq!(e.succeed(a, json!(1)).await, "accepted");
        let complete = format!("complete_steps(gen_random_uuid(), {})", successes([b]));
        let process = "select enqueued::text from tasker.process_step_results(10)";
        let mut first = impatient(&e).await;
        if worker_first {
            assert_eq!(statuses(&mut first, &complete).await, ["accepted"]);
            // It waits for a moment, then for nobody: the result comes again.
            at_once(&e, process).await;
            assert_eq!(e.step_state(id, "c").await, "pending");
            first.commit().await.unwrap();
            eventually("the result to come again", SOON, async || {
                e.process().await;
                e.step_state(id, "c").await == "enqueued"
            })
            .await;
        } else {
            query(process).execute(&mut *first).await.unwrap();
            let mut worker = impatient(&e).await;
            assert_eq!(statuses(&mut worker, &complete).await, ["accepted"]);
            worker.commit().await.unwrap();
            first.commit().await.unwrap();
            assert_eq!(e.process().await, (1, 1, 0));
        }
        assert_eq!(e.drain().await, ["c"]);
        assert_eq!(e.task_state(id).await, "complete");
    }
}

/// The lease ran out: the new claim holds the queue's row and wants the step, the late submit holds
/// the step and wants the queue's row.
#[tokio::test]
async fn a_late_submit_and_a_new_claim_do_not_wait_for_each_other() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    let id = e.start().await;
    let late = e.claim(1).await.remove(0);
    e.expire_leases().await;
    let mut claim = impatient(&e).await;
    let (msg_id, message): (i64, Value) =
        query_as("select msg_id, message from pgmq.read('worker_test_queue', 30, 1)")
            .fetch_one(&mut *claim)
            .await
            .unwrap();
    let submit = format!("submit_results(gen_random_uuid(), {})", successes([&late]));
    let mut late = impatient(&e).await;
    assert_eq!(statuses(&mut late, &submit).await, ["accepted"], "nobody had claimed the step yet");
    late.commit().await.unwrap();
    query("select tasker.claim_batch('worker_test_queue', gen_random_uuid(), $1, $2, '30 s')")
        .bind([msg_id])
        .bind([message])
        .execute(&mut *claim)
        .await
        .unwrap();
    claim.commit().await.unwrap();
    e.process().await;
    assert_eq!(e.task_state(id).await, "complete");
    assert_eq!(e.depth("worker_test_queue").await, 0);
}

/// And where the new claim has the step already, the late submit is busy, and stale when it comes
/// again.
#[tokio::test]
async fn a_late_submit_does_not_wait_for_a_new_claim() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    e.start().await;
    let late = e.claim(1).await.remove(0);
    e.expire_leases().await;
    let claim = holding(&e, "select from tasker.claim_steps('test', gen_random_uuid(), 1)").await;
    let submit = format!("submit_results(gen_random_uuid(), {})", successes([&late]));
    assert_eq!(statuses(&mut *impatient(&e).await, &submit).await, ["busy"]);
    claim.commit().await.unwrap();
    assert_eq!(statuses(&mut *impatient(&e).await, &submit).await, ["stale"]);
    assert_eq!(e.depth("worker_test_queue").await, 1, "the new claim's message is left alone");
}

/// Two batches name the same tasks the other way round. While both wait for the first task, neither
/// holds the second.
#[tokio::test]
async fn batches_of_results_lock_their_tasks_in_one_order() {
    let e = engine().await;
    let [low, high] = two_tasks(&e).await;
    for claim in e.claim(4).await {
        e.succeed(&claim, json!(1)).await;
    }
    query("select pgmq.purge_queue('orchestration_step_results')").execute(e.pool()).await.unwrap();
    let batch = |step: &str, ids: [Uuid; 2]| {
        let messages =
            ids.map(|id| json!({"task_id": id, "step": step, "claim_no": 1}).to_string());
        format!(
            "select enqueued::text from tasker.process_results_batch('{{1,2}}', array['{}', \
             '{}']::jsonb[])",
            messages[0], messages[1]
        )
    };
    let holder =
        holding(&e, &format!("select from tasker.tasks where task_id = '{low}' for update")).await;
    let one = waiting(&e, &batch("a", [low, high])).await;
    let two = waiting(&e, &batch("b", [high, low])).await;
    at_once(&e, &format!("select from tasker.tasks where task_id = '{high}' for update nowait"))
        .await;
    holder.rollback().await.unwrap();
    assert_eq!((end(one).await, end(two).await), (vec!["2".to_owned()], vec!["0".to_owned()]));
    assert_eq!(e.drain().await.len(), 2);
    assert_eq!(
        (e.task_state(low).await, e.task_state(high).await),
        ("complete".to_owned(), "complete".to_owned())
    );
}

/// A client, an operator, or a handler may hold a step for as long as it likes: what a worker says
/// of it is answered `busy`, and the rest of the batch goes on.
#[rstest]
#[case::results(
    "submit_results",
    "accepted",
    "select from tasker.steps where task_id = '{}' for update"
)]
#[case::releases(
    "release_steps",
    "released",
    "select from tasker.steps where task_id = '{}' for update"
)]
#[case::completions(
    "complete_steps",
    "accepted",
    "select from tasker.steps where task_id = '{}' for update"
)]
#[case::a_cancel("complete_steps", "accepted", "select tasker.cancel_task('{}')")]
#[tokio::test]
async fn a_workers_call_waits_for_no_step_that_somebody_holds(
    #[case] call: &str,
    #[case] status: &str,
    #[case] hold: &str,
) {
    let e = engine().await;
    let [held, free] = two_tasks(&e).await;
    let claims = e.claim(4).await;
    let (held_a, free_a) = (of(&claims, held, "a"), of(&claims, free, "a"));
    let holder = holding(&e, &hold.replace("{}", &held.to_string())).await;
    let sql = format!("{call}(gen_random_uuid(), {})", successes([held_a, free_a]));
    assert_eq!(statuses(&mut *impatient(&e).await, &sql).await, ["busy", status]);
    holder.rollback().await.unwrap();
    let sql = format!("{call}(gen_random_uuid(), {})", successes([held_a]));
    assert_eq!(statuses(&mut *impatient(&e).await, &sql).await, [status]);
}

/// A submit as the last statement of a transaction may wait, a short time.
#[tokio::test]
async fn a_submit_in_a_transaction_of_its_own_waits_a_short_time() {
    let e = engine().await;
    let [held, _] = two_tasks(&e).await;
    let claims = e.claim(4).await;
    let submit = |wait: &str| {
        let results = successes([of(&claims, held, "a")]);
        format!("submit_results(gen_random_uuid(), {results}, '{wait}')")
    };
    let hold = format!("select from tasker.steps where task_id = '{held}' for update");
    let holder = holding(&e, &hold).await;
    let mut own = e.pool().begin().await.unwrap();
    assert_eq!(statuses(&mut own, &submit("50 ms")).await, ["busy"]);
    let lock_timeout: String =
        query_scalar("show lock_timeout").fetch_one(&mut *own).await.unwrap();
    assert_eq!(lock_timeout, "0", "as before");
    drop(own);
    let patient = waiting(&e, &format!("select status from tasker.{}", submit("10 s"))).await;
    holder.rollback().await.unwrap();
    assert_eq!(end(patient).await, ["accepted"]);
}

/// A message that somebody holds stays, and a later reader drops it.
#[tokio::test]
async fn a_result_does_not_wait_for_a_message_that_somebody_holds() {
    let e = engine().await;
    let [held, free] = two_tasks(&e).await;
    let claims = e.claim(4).await;
    let both = [of(&claims, held, "a"), of(&claims, free, "a")];
    let message = format!(
        "select from pgmq.q_worker_test_queue where message ->> 'task_id' = '{held}' for update"
    );
    let holder = holding(&e, &message).await;
    let sql = format!("complete_steps(gen_random_uuid(), {})", successes(both));
    let mut call = impatient(&e).await;
    assert_eq!(statuses(&mut call, &sql).await, ["accepted", "accepted"]);
    call.commit().await.unwrap();
    let left = e.depth("worker_test_queue").await;
    holder.rollback().await.unwrap();
    e.expire_leases().await;
    assert_eq!(left, 5, "of b and c in both tasks, and the one that was held");
    e.claim(9).await;
    assert_eq!(e.depth("worker_test_queue").await, 4);
}

/// A queue that is gone or locked is no matter of the other namespaces.
#[tokio::test]
async fn leases_and_results_do_without_a_queue_that_is_gone() {
    let e = engine().await;
    let [one, other] = two_tasks(&e).await;
    let claims = e.claim(4).await;
    query("select pgmq.drop_queue('worker_test_queue')").execute(e.pool()).await.unwrap();
    let held = successes([of(&claims, one, "a"), of(&claims, other, "a")]);
    let extend = format!("extend_leases(gen_random_uuid(), {held})");
    assert_eq!(statuses(&mut *impatient(&e).await, &extend).await, ["extended", "extended"]);
    let submit = format!("submit_results(gen_random_uuid(), {held})");
    assert_eq!(statuses(&mut *impatient(&e).await, &submit).await, ["accepted", "accepted"]);
}

#[tokio::test]
async fn sending_what_is_due_skips_tasks_that_somebody_holds() {
    let e = engine().await;
    e.clock(0).await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let id: Uuid = query_scalar(
            "select tasker.enqueue_task('test', 'flow', p_run_at => tasker.now() + interval '1 \
             minute')",
        )
        .fetch_one(e.pool())
        .await
        .unwrap();
        ids.push(id);
    }
    e.initialize().await;
    e.clock(61).await;
    let holder =
        holding(&e, &format!("select from tasker.tasks where task_id = '{}' for update", ids[0]))
            .await;
    at_once(&e, "select tasker.enqueue_ready_steps(10)").await;
    assert_eq!(e.task_state(ids[0]).await, "waiting_for_dependencies");
    assert_eq!(e.task_state(ids[1]).await, "steps_in_process");
    holder.rollback().await.unwrap();
    assert_eq!(e.enqueue_ready().await, 2);
}

/// Two tasks have lost what moves them on; the sweep helps the one that nobody holds, without
/// waiting for the other.
#[rstest]
#[case::requests("orchestration_task_requests", false, 1)]
#[case::steps("worker_test_queue", true, 2)]
#[case::results("orchestration_step_results", true, 2)]
#[tokio::test]
async fn the_safety_net_skips_tasks_that_somebody_holds(
    #[case] queue: &str,
    #[case] started: bool,
    #[case] each: i32,
) {
    let e = engine().await;
    let ids = [e.enqueue(json!({})).await, e.enqueue(json!({})).await];
    if started {
        e.initialize().await;
    }
    if queue == "orchestration_step_results" {
        for claim in e.claim(4).await {
            e.succeed(&claim, json!(1)).await;
        }
    }
    query("select pgmq.purge_queue($1)").bind(queue).execute(e.pool()).await.unwrap();
    e.clock(300).await;
    let holder =
        holding(&e, &format!("select from tasker.tasks where task_id = '{}' for update", ids[0]))
            .await;
    let resent = |rows: Vec<PgRow>| sqlx::Row::get::<i32, _>(&rows[0], 0);
    let sweep = "select resent from tasker.finalize_tasks(100)";
    assert_eq!(resent(at_once(&e, sweep).await), each);
    holder.rollback().await.unwrap();
    assert_eq!(resent(at_once(&e, sweep).await), each, "now the other");
}

/// As vacuum full holds it, or a drop that is not committed.
#[tokio::test]
async fn a_queue_that_somebody_holds_hides_no_other_from_the_safety_net_and_from_people() {
    let e = engine().await;
    let mut other = flow(FLOW);
    other["namespace"] = json!("other");
    e.apply(other).await;
    e.start().await;
    query("select pgmq.purge_queue('worker_test_queue')").execute(e.pool()).await.unwrap();
    e.clock(300).await;
    let mut holder = impatient(&e).await;
    query("lock table pgmq.q_worker_other_queue in access exclusive mode")
        .execute(&mut *holder)
        .await
        .unwrap();
    let resent = at_once(&e, "select resent from tasker.finalize_tasks(100)").await;
    assert_eq!(sqlx::Row::get::<i32, _>(&resent[0], 0), 2);
    let shown =
        at_once(&e, "select queue from tasker.queue_overview where namespace = 'test'").await;
    assert_eq!(shown.len(), 1);
    holder.rollback().await.unwrap();
}
