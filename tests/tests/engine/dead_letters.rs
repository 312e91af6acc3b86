//! Dead letters: what makes one, what it keeps, and what people do with it. The clock is frozen;
//! nothing sleeps.

use pgtasker_tests::engine::{Engine, sqlstate};
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

/// Reason and status of each entry of a task, oldest first.
pub(crate) async fn entries(pool: &PgPool, id: Uuid) -> Vec<(String, String)> {
    sqlx::query_as(
        "select reason, status from tasker.dead_letters where task_id = $1 order by entry_id",
    )
    .bind(id)
    .fetch_all(pool)
    .await
    .unwrap()
}

pub(crate) async fn pending(pool: &PgPool, id: Uuid) -> Uuid {
    sqlx::query_scalar(
        "select entry_id from tasker.dead_letters where task_id = $1 and status = 'pending'",
    )
    .bind(id)
    .fetch_one(pool)
    .await
    .unwrap()
}

pub(crate) async fn update(
    pool: &PgPool,
    entry: Uuid,
    status: Option<&str>,
    notes: &str,
    by: &str,
) {
    sqlx::query("select tasker.update_dead_letter($1, $2, $3, $4)")
        .bind(entry)
        .bind(status)
        .bind(notes)
        .bind(by)
        .execute(pool)
        .await
        .unwrap();
}

pub(crate) fn pair(reason: &str, status: &str) -> (String, String) {
    (reason.to_owned(), status.to_owned())
}

/// Fails a step until its attempts are used up.
async fn exhaust(e: &Engine) {
    for _ in 0..3 {
        e.enqueue_ready().await;
        e.fail(&e.claim(1).await[0]).await;
        e.process().await;
    }
}

#[tokio::test]
async fn a_step_out_of_attempts_is_one_with_a_snapshot_of_its_task() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[]), ("b", &["a"])]).await;
    let id = e.start().await;
    exhaust(&e).await;
    assert_eq!(entries(e.pool(), id).await, [pair("max_retries_exceeded", "pending")]);
    let (step, detail, snapshot): (String, String, Value) =
        sqlx::query_as("select step, detail, snapshot from tasker.dead_letters")
            .fetch_one(e.pool())
            .await
            .unwrap();
    assert_eq!((step.as_str(), detail.as_str()), ("a", "boom"));
    assert_eq!(snapshot["state"], "blocked_by_failures");
    assert_eq!(
        (&snapshot["steps"][0]["name"], &snapshot["steps"][0]["attempt"]),
        (&json!("a"), &json!(3))
    );
    assert_eq!(
        (&snapshot["steps"][1]["state"], &snapshot["step_count"]),
        (&json!("pending"), &json!(2))
    );
}

#[tokio::test]
async fn a_step_that_lost_too_many_leases_is_one_and_so_is_a_permanent_failure() {
    let e = Engine::new().await;
    sqlx::query("update tasker.settings set max_lease_losses = 1").execute(e.pool()).await.unwrap();
    e.apply_flow(&[("a", &[])]).await;
    let lost = e.start().await;
    assert_eq!(e.claim(1).await.len(), 1);
    e.expire_leases().await;
    assert_eq!(e.claim(1).await, []);
    e.process().await;
    assert_eq!(entries(e.pool(), lost).await, [pair("max_retries_exceeded", "pending")]);

    let refused = e.start().await;
    e.submit(&e.claim(1).await[0], json!({"type": "failure", "message": "no", "retryable": false}))
        .await;
    e.process().await;
    assert_eq!(e.task_state(refused).await, "blocked_by_failures");
    assert_eq!(entries(e.pool(), refused).await, [pair("permanent_failure", "pending")]);
}

#[tokio::test]
async fn a_task_has_one_pending_entry_at_a_time() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[]), ("b", &[])]).await;
    let id = e.start().await;
    for _ in 0..3 {
        e.enqueue_ready().await;
        for claim in e.claim(9).await {
            e.fail(&claim).await;
        }
        e.process().await;
    }
    assert_eq!(
        entries(e.pool(), id).await,
        [pair("max_retries_exceeded", "pending")],
        "both steps failed"
    );
    let entry = pending(e.pool(), id).await;
    let added: Uuid = sqlx::query_scalar("select tasker.add_dead_letter($1, 'look', 'ana')")
        .bind(id)
        .fetch_one(e.pool())
        .await
        .unwrap();
    assert_eq!(added, entry, "the note goes to the entry that is there");
    update(e.pool(), entry, Some("permanent_failure"), "", "ana").await;
    let second: Uuid = sqlx::query_scalar("select tasker.add_dead_letter($1)")
        .bind(id)
        .fetch_one(e.pool())
        .await
        .unwrap();
    assert_eq!(
        entries(e.pool(), id).await,
        [pair("max_retries_exceeded", "permanent_failure"), pair("manual", "pending")]
    );
    let reopened = sqlx::query("select tasker.update_dead_letter($1, 'pending')")
        .bind(entry)
        .execute(e.pool())
        .await;
    assert_eq!(reopened.unwrap_err().as_database_error().unwrap().code().unwrap(), "TK041");
    update(e.pool(), second, Some("cancelled"), "", "ana").await;
    update(e.pool(), entry, Some("pending"), "after all", "ana").await;
}

#[tokio::test]
async fn notes_and_who_are_kept() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    e.clock(0).await;
    let id = e.start().await;
    let entry: Uuid = sqlx::query_scalar("select tasker.add_dead_letter($1, 'slow today', 'ana')")
        .bind(id)
        .fetch_one(e.pool())
        .await
        .unwrap();
    update(e.pool(), entry, None, "asked the bank", "ben").await;
    update(e.pool(), entry, Some("permanent_failure"), "card stolen", "ben").await;
    let (notes, by, closed): (String, String, bool) = sqlx::query_as(
        "select notes, resolved_by, resolved_at = tasker.now() from tasker.dead_letters",
    )
    .fetch_one(e.pool())
    .await
    .unwrap();
    let lines: Vec<&str> = notes.lines().map(|line| line.split_once("Z ").unwrap().1).collect();
    let note = |who: &str, what: &str| format!("{who} (login postgres): {what}");
    assert_eq!(
        lines,
        [note("ana", "slow today"), note("ben", "asked the bank"), note("ben", "card stolen")]
    );
    assert_eq!((by.as_str(), closed), ("ben (login postgres)", true));
    assert_eq!(e.task_state(id).await, "steps_in_process");
    assert_eq!(
        sqlstate(e.pool(), "select tasker.update_dead_letter(gen_random_uuid(), 'cancelled')")
            .await,
        "TK040"
    );
    assert_eq!(
        sqlstate(e.pool(), "select tasker.update_dead_letter(gen_random_uuid(), 'done')").await,
        "TK041"
    );
    assert_eq!(
        sqlstate(e.pool(), "select tasker.add_dead_letter(gen_random_uuid())").await,
        "TK004"
    );
}

#[tokio::test]
async fn the_overview_begins_with_what_is_most_urgent() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    e.clock(0).await;
    let ids = [e.start().await, e.start().await, e.start().await, e.start().await];
    for (id, reason) in
        ids.iter().zip(["manual", "staleness_timeout", "worker_unavailable", "manual"])
    {
        sqlx::query("select tasker.add_task_dead_letters(array[$1], array[$2], '{null}', '{x}')")
            .bind(id)
            .bind(reason)
            .execute(e.pool())
            .await
            .unwrap();
    }
    update(e.pool(), pending(e.pool(), ids[2]).await, Some("cancelled"), "", "ana").await;
    sqlx::query(
        "update tasker.dead_letters set created_at = created_at - interval '1 hour' where task_id \
         = $1",
    )
    .bind(ids[3])
    .execute(e.pool())
    .await
    .unwrap();
    let order: Vec<Uuid> = sqlx::query_scalar("select task_id from tasker.dead_letter_overview")
        .fetch_all(e.pool())
        .await
        .unwrap();
    assert_eq!(order, [ids[3], ids[0], ids[1], ids[2]]);
    let counts: Vec<(String, String, i64)> = sqlx::query_as(
        "select reason, status, entries from tasker.dead_letter_counts order by 1, 2",
    )
    .fetch_all(e.pool())
    .await
    .unwrap();
    assert_eq!(counts[0], ("manual".to_owned(), "pending".to_owned(), 2));
    assert_eq!(counts.len(), 3);
}

#[tokio::test]
async fn retrying_an_entry_replays_its_task_and_closes_it() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[]), ("b", &["a"])]).await;
    let id = e.start().await;
    exhaust(&e).await;
    let entry = pending(e.pool(), id).await;
    let retry = || {
        sqlx::query_scalar::<_, i32>(
            "select tasker.retry_dead_letter($1, 'card network is back', 'ana')",
        )
        .bind(entry)
        .fetch_one(e.pool())
    };
    assert_eq!(retry().await.unwrap(), 1);
    assert_eq!(entries(e.pool(), id).await, [pair("max_retries_exceeded", "manually_resolved")]);
    let why: String = sqlx::query_scalar(
        "select reason from tasker.step_transitions where from_state = 'error' and to_state = \
         'pending'",
    )
    .fetch_one(e.pool())
    .await
    .unwrap();
    assert_eq!(why, "retried by ana (login postgres): card network is back");
    e.enqueue_ready().await;
    assert_eq!(e.drain().await, ["a", "b"]);
    assert_eq!(e.task_state(id).await, "complete");
    let again = retry().await.unwrap_err();
    assert_eq!(again.as_database_error().unwrap().code().unwrap(), "TK041");
}

#[tokio::test]
async fn an_entry_with_nothing_to_replay_stays_pending() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    let id = e.start().await;
    let entry: Uuid = sqlx::query_scalar("select tasker.add_dead_letter($1)")
        .bind(id)
        .fetch_one(e.pool())
        .await
        .unwrap();
    let refused = sqlx::query("select tasker.retry_dead_letter($1)")
        .bind(entry)
        .execute(e.pool())
        .await
        .unwrap_err();
    assert_eq!(refused.as_database_error().unwrap().code().unwrap(), "TK042");
    assert_eq!(entries(e.pool(), id).await, [pair("manual", "pending")]);
}

#[tokio::test]
async fn retrying_a_message_sends_it_to_its_queue_again() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    sqlx::query("select pgmq.send('orchestration_task_requests', '{\"odd\": 1}')")
        .execute(e.pool())
        .await
        .unwrap();
    e.initialize().await;
    assert_eq!(e.depth("orchestration_task_requests").await, 0);
    let entry: Uuid =
        sqlx::query_scalar("select entry_id from tasker.dead_letters where reason = 'bad_message'")
            .fetch_one(e.pool())
            .await
            .unwrap();
    sqlx::query("select tasker.retry_dead_letter($1)").bind(entry).execute(e.pool()).await.unwrap();
    let message: Value =
        sqlx::query_scalar("select message from pgmq.read('orchestration_task_requests', 0, 9)")
            .fetch_one(e.pool())
            .await
            .unwrap();
    assert_eq!(message, json!({"odd": 1}));
    let status: String = sqlx::query_scalar("select status from tasker.dead_letters")
        .fetch_one(e.pool())
        .await
        .unwrap();
    assert_eq!(status, "manually_resolved");
}

#[tokio::test]
async fn a_snapshot_is_bounded() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[]), ("b", &["a"])]).await;
    let long: Vec<String> = (0..20_000).map(|n| format!("{:x}", n * 7919)).collect();
    let id = e.enqueue(json!({"long": long})).await;
    e.initialize().await;
    e.succeed(&e.claim(1).await[0], json!(long)).await;
    e.process().await;
    sqlx::query(
        "insert into tasker.steps (task_id, name, template_step, waiting_on, max_attempts, \
         updated_at, created_at)
         select $1, 'b_' || n, 'b', 1, 1, tasker.now(), tasker.now() from generate_series(1, \
         1200) n",
    )
    .bind(id)
    .execute(e.pool())
    .await
    .unwrap();
    let snapshot: Value = sqlx::query_scalar("select tasker.task_snapshot($1)")
        .bind(id)
        .fetch_one(e.pool())
        .await
        .unwrap();
    assert!(
        snapshot["context"]["$omitted"].as_str().unwrap().ends_with("bytes as stored"),
        "{snapshot}"
    );
    assert_eq!(snapshot["steps"].as_array().unwrap().len(), 1000);
    assert_eq!(snapshot["step_count"], 1202);
    assert!(snapshot.to_string().len() < 500_000);
}
