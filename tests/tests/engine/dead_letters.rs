//! Dead letters: what makes one, what it keeps, and what people do with it. The clock is frozen;
//! nothing sleeps.

use serde_json::{Value, json};
use sqlx::{PgExecutor, PgPool};
use tasker_tests::engine::{Engine, flow, sqlstate};
use uuid::Uuid;

const MINUTE: i32 = 60;

/// Of the next 1,000 unfinished tasks: (staleness_timeout, worker_unavailable).
async fn sweep(executor: impl PgExecutor<'_>) -> (i32, i32) {
    sqlx::query_as("select staleness_timeout, worker_unavailable from tasker.sweep_stale(1000)")
        .fetch_one(executor)
        .await
        .unwrap()
}

async fn beat(e: &Engine, namespace: &str, handlers: &[&str]) {
    sqlx::query("select tasker.heartbeat($1, array[$2], $3)")
        .bind(e.worker)
        .bind(namespace)
        .bind(handlers)
        .execute(e.pool())
        .await
        .unwrap();
}

/// Reason and status of each entry of a task, oldest first.
async fn entries(pool: &PgPool, id: Uuid) -> Vec<(String, String)> {
    sqlx::query_as(
        "select reason, status from tasker.dlq_entries where task_id = $1 order by entry_id",
    )
    .bind(id)
    .fetch_all(pool)
    .await
    .unwrap()
}

async fn pending(pool: &PgPool, id: Uuid) -> Uuid {
    sqlx::query_scalar(
        "select entry_id from tasker.dlq_entries where task_id = $1 and status = 'pending'",
    )
    .bind(id)
    .fetch_one(pool)
    .await
    .unwrap()
}

async fn update(pool: &PgPool, entry: Uuid, status: Option<&str>, notes: &str, by: &str) {
    sqlx::query("select tasker.dlq_update($1, $2, $3, $4)")
        .bind(entry)
        .bind(status)
        .bind(notes)
        .bind(by)
        .execute(pool)
        .await
        .unwrap();
}

fn pair(reason: &str, status: &str) -> (String, String) {
    (reason.to_owned(), status.to_owned())
}

/// Everything about a task that an entry must not change.
async fn all_of(e: &Engine, id: Uuid) -> String {
    e.text(
        "select (to_jsonb(t) || jsonb_build_object('steps', (select jsonb_agg(to_jsonb(s) order \
         by s.name) from tasker.steps s where s.task_id = t.task_id),
                 'hops', (select count(*) from tasker.task_transitions a where a.task_id = \
                 t.task_id)))::text
           from tasker.tasks t where t.task_id = $1",
        id,
    )
    .await
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
        sqlx::query_as("select step, detail, snapshot from tasker.dlq_entries")
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
    let added: Uuid = sqlx::query_scalar("select tasker.dlq_add($1, 'look', 'ana')")
        .bind(id)
        .fetch_one(e.pool())
        .await
        .unwrap();
    assert_eq!(added, entry, "the note goes to the entry that is there");
    update(e.pool(), entry, Some("permanent_failure"), "", "ana").await;
    let second: Uuid =
        sqlx::query_scalar("select tasker.dlq_add($1)").bind(id).fetch_one(e.pool()).await.unwrap();
    assert_eq!(
        entries(e.pool(), id).await,
        [pair("max_retries_exceeded", "permanent_failure"), pair("manual", "pending")]
    );
    let reopened =
        sqlx::query("select tasker.dlq_update($1, 'pending')").bind(entry).execute(e.pool()).await;
    assert_eq!(reopened.unwrap_err().as_database_error().unwrap().code().unwrap(), "TK041");
    update(e.pool(), second, Some("cancelled"), "", "ana").await;
    update(e.pool(), entry, Some("pending"), "after all", "ana").await;
}

#[tokio::test]
async fn a_task_that_stands_still_becomes_one_and_is_not_changed_by_it() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    e.clock(0).await;
    let id = e.start().await;
    assert_eq!(e.claim(1).await.len(), 1);
    assert_eq!(sweep(e.pool()).await, (0, 0));
    e.clock(30 * MINUTE - 10).await;
    assert_eq!(sweep(e.pool()).await, (0, 0));
    let before = all_of(&e, id).await;
    e.clock(30 * MINUTE + 10).await;
    // Somebody works on the task: the sweep neither waits for it nor needs it.
    let mut holder = e.pool().begin().await.unwrap();
    sqlx::query("select from tasker.tasks for update").execute(&mut *holder).await.unwrap();
    sqlx::query("select from tasker.steps for update").execute(&mut *holder).await.unwrap();
    let mut sweeper = e.pool().acquire().await.unwrap();
    sqlx::query("set lock_timeout = '2s'").execute(&mut *sweeper).await.unwrap();
    assert_eq!(sweep(&mut *sweeper).await, (1, 0));
    holder.rollback().await.unwrap();
    assert_eq!(entries(e.pool(), id).await, [pair("staleness_timeout", "pending")]);
    assert_eq!(all_of(&e, id).await, before);
    e.clock(60 * MINUTE).await;
    assert_eq!(sweep(e.pool()).await, (0, 0), "it has one");
    assert_eq!(e.drain().await, [] as [String; 0]);
}

#[tokio::test]
async fn the_thresholds_are_the_templates_or_the_settings_by_state() {
    let e = Engine::new().await;
    let mut template = flow(&[("a", &[])]);
    template["steps"][0]["retry"] = json!({
        "max_attempts": 3,
        "backoff_base_ms": 3_600_000,
        "max_backoff_ms": 3_600_000,
        "jitter": false,
    });
    template["lifecycle"] =
        json!({"max_waiting_for_retry_minutes": 10, "max_duration_minutes": 50.5});
    e.apply(template).await;
    e.clock(0).await;
    let id = e.start().await;
    e.fail(&e.claim(1).await[0]).await;
    e.process().await;
    let staleness = async |seconds| {
        e.clock(seconds).await;
        sqlx::query_as::<_, (String, String, f64, Option<f64>)>(
            "select state::text, staleness, minutes_in_state::float8, threshold_minutes::float8 \
             from tasker.task_staleness where task_id = $1",
        )
        .bind(id)
        .fetch_one(e.pool())
        .await
        .unwrap()
    };
    let seen = async |seconds| staleness(seconds).await.1;
    let (state, _, minutes, threshold) = staleness(5 * MINUTE).await;
    assert_eq!((state.as_str(), threshold), ("waiting_for_retry", Some(10.0)));
    assert!((minutes - 5.0).abs() < 0.1, "{minutes}");
    assert_eq!(seen(8 * MINUTE - 10).await, "healthy");
    assert_eq!(seen(8 * MINUTE + 10).await, "warning");
    assert_eq!(seen(10 * MINUTE + 10).await, "stale");
    // An operator lets it fail: no threshold of its state any more, but its whole duration counts.
    e.clock(20 * MINUTE).await;
    sqlx::query("update tasker.steps set available_at = tasker.now()")
        .execute(e.pool())
        .await
        .unwrap();
    e.enqueue_ready().await;
    e.submit(&e.claim(1).await[0], json!({"type": "failure", "message": "no", "retryable": false}))
        .await;
    e.process().await;
    let (state, healthy, _, threshold) = staleness(40 * MINUTE).await;
    assert_eq!(
        (state.as_str(), healthy.as_str(), threshold),
        ("blocked_by_failures", "healthy", None)
    );
    assert_eq!(seen(41 * MINUTE).await, "warning");
    assert_eq!(seen(51 * MINUTE).await, "stale");
    assert_eq!(sweep(e.pool()).await, (0, 0), "it has an entry since it failed for good");
    update(e.pool(), pending(e.pool(), id).await, Some("permanent_failure"), "", "ana").await;
    assert_eq!(seen(52 * MINUTE).await, "stale");
    assert_eq!(sweep(e.pool()).await, (1, 0));
    let detail = e
        .text("select detail from tasker.dlq_entries where task_id = $1 and status = 'pending'", id)
        .await;
    assert!(detail.starts_with("not finished after 52"), "{detail}");
}

#[tokio::test]
async fn before_its_start_time_a_task_is_not_late() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    e.clock(0).await;
    sqlx::query(
        "select tasker.enqueue_task('test', 'flow', p_run_at => tasker.now() + interval '3 days')",
    )
    .execute(e.pool())
    .await
    .unwrap();
    e.initialize().await;
    let three_days = 3 * 24 * 60 * MINUTE;
    e.clock(three_days + 59 * MINUTE).await;
    assert_eq!(sweep(e.pool()).await, (0, 0));
    e.clock(three_days + 61 * MINUTE).await;
    assert_eq!(sweep(e.pool()).await, (1, 0), "ready for an hour, and nobody sent it");
}

#[tokio::test]
async fn a_handler_that_no_live_worker_has_is_one_after_a_while() {
    let e = Engine::new().await;
    let mut template = flow(&[("a", &[]), ("b", &[])]);
    template["steps"][1]["handler"]["callable"] = json!("rare");
    e.apply(template).await;
    e.clock(0).await;
    let id = e.start().await;
    // A worker without the handler takes the step again and again, and gives it back.
    for minute in 0..6 {
        e.clock(minute * MINUTE).await;
        beat(&e, "test", &["noop"]).await;
        beat_as(&e, "elsewhere", &["rare"]).await;
        for claim in e.claim(9).await.iter().filter(|claim| claim.step == "b") {
            release(&e, claim.task_id, claim.claim_no).await;
        }
        e.expire_leases().await;
        assert_eq!(sweep(e.pool()).await.1, i32::from(minute == 5), "minute {minute}");
    }
    let (step, detail): (String, String) =
        sqlx::query_as("select step, detail from tasker.dlq_entries where task_id = $1")
            .bind(id)
            .fetch_one(e.pool())
            .await
            .unwrap();
    assert_eq!(step, "b");
    assert!(detail.contains("no live worker of namespace test has the handler rare"), "{detail}");
}

#[tokio::test]
async fn a_step_that_waits_long_for_a_worker_that_lives_is_none() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    e.clock(0).await;
    let id = e.start().await;
    e.clock(6 * MINUTE).await;
    beat(&e, "test", &["noop"]).await;
    assert_eq!(sweep(e.pool()).await, (0, 0), "the worker is busy");
    e.clock(6 * MINUTE + 31).await;
    assert_eq!(sweep(e.pool()).await, (0, 1), "its heartbeat is too old");
    assert_eq!(entries(e.pool(), id).await, [pair("worker_unavailable", "pending")]);
}

#[tokio::test]
async fn a_worker_that_resolves_any_handler_serves_its_own_namespaces_only() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    e.clock(0).await;
    let id = e.start().await;
    e.clock(6 * MINUTE).await;
    beat(&e, "test", &["*", "other"]).await;
    assert_eq!(sweep(e.pool()).await, (0, 0), "it may have the handler");
    e.clock(6 * MINUTE + 31).await;
    beat(&e, "elsewhere", &["*"]).await;
    assert_eq!(sweep(e.pool()).await, (0, 1), "another namespace is not served by it");
    assert_eq!(entries(e.pool(), id).await, [pair("worker_unavailable", "pending")]);
}

async fn beat_as(e: &Engine, namespace: &str, handlers: &[&str]) {
    sqlx::query("select tasker.heartbeat('00000000-0000-0000-0000-000000000001', array[$1], $2)")
        .bind(namespace)
        .bind(handlers)
        .execute(e.pool())
        .await
        .unwrap();
}

async fn release(e: &Engine, task_id: Uuid, claim_no: i32) {
    sqlx::query("select * from tasker.release_steps($1, $2)")
        .bind(e.worker)
        .bind(json!([{"task_id": task_id, "step": "b", "claim_no": claim_no}]))
        .execute(e.pool())
        .await
        .unwrap();
}

#[tokio::test]
async fn the_sweep_goes_on_where_it_stopped_and_one_process_sweeps() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    e.clock(0).await;
    for _ in 0..250 {
        e.enqueue(json!({})).await;
    }
    e.initialize().await;
    e.clock(2000 * MINUTE).await;
    let call = || {
        sqlx::query_as::<_, (i32, bool)>(
            "select staleness_timeout + worker_unavailable, more from tasker.sweep_stale(200)",
        )
        .fetch_one(e.pool())
    };
    let mut other = e.pool().begin().await.unwrap();
    sqlx::query("select from tasker.sweeps where name = 'staleness' for update")
        .execute(&mut *other)
        .await
        .unwrap();
    assert_eq!(call().await.unwrap(), (0, false), "another process sweeps");
    other.rollback().await.unwrap();
    assert_eq!(call().await.unwrap(), (100, true), "at most 100 entries a call");
    assert_eq!(call().await.unwrap(), (100, true));
    assert_eq!(call().await.unwrap(), (50, false), "round");
    assert_eq!(call().await.unwrap(), (0, false), "and not again at once");
}

#[tokio::test]
async fn notes_and_who_are_kept() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    e.clock(0).await;
    let id = e.start().await;
    let entry: Uuid = sqlx::query_scalar("select tasker.dlq_add($1, 'slow today', 'ana')")
        .bind(id)
        .fetch_one(e.pool())
        .await
        .unwrap();
    update(e.pool(), entry, None, "asked the bank", "ben").await;
    update(e.pool(), entry, Some("permanent_failure"), "card stolen", "ben").await;
    let (notes, by, closed): (String, String, bool) = sqlx::query_as(
        "select notes, resolved_by, resolved_at = tasker.now() from tasker.dlq_entries",
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
        sqlstate(e.pool(), "select tasker.dlq_update(gen_random_uuid(), 'cancelled')").await,
        "TK040"
    );
    assert_eq!(
        sqlstate(e.pool(), "select tasker.dlq_update(gen_random_uuid(), 'done')").await,
        "TK041"
    );
    assert_eq!(sqlstate(e.pool(), "select tasker.dlq_add(gen_random_uuid())").await, "TK004");
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
        sqlx::query("select tasker.add_dead_letters(array[$1], array[$2], '{null}', '{x}')")
            .bind(id)
            .bind(reason)
            .execute(e.pool())
            .await
            .unwrap();
    }
    update(e.pool(), pending(e.pool(), ids[2]).await, Some("cancelled"), "", "ana").await;
    sqlx::query(
        "update tasker.dlq_entries set created_at = created_at - interval '1 hour' where task_id \
         = $1",
    )
    .bind(ids[3])
    .execute(e.pool())
    .await
    .unwrap();
    let order: Vec<Uuid> = sqlx::query_scalar("select task_id from tasker.dlq_overview")
        .fetch_all(e.pool())
        .await
        .unwrap();
    assert_eq!(order, [ids[3], ids[0], ids[1], ids[2]]);
    let counts: Vec<(String, String, i64)> =
        sqlx::query_as("select reason, status, entries from tasker.dlq_counts order by 1, 2")
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
        sqlx::query_scalar::<_, i32>("select tasker.dlq_retry($1, 'card network is back', 'ana')")
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
    let entry: Uuid =
        sqlx::query_scalar("select tasker.dlq_add($1)").bind(id).fetch_one(e.pool()).await.unwrap();
    let refused =
        sqlx::query("select tasker.dlq_retry($1)").bind(entry).execute(e.pool()).await.unwrap_err();
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
        sqlx::query_scalar("select entry_id from tasker.dlq_entries where reason = 'bad_message'")
            .fetch_one(e.pool())
            .await
            .unwrap();
    sqlx::query("select tasker.dlq_retry($1)").bind(entry).execute(e.pool()).await.unwrap();
    let message: Value =
        sqlx::query_scalar("select message from pgmq.read('orchestration_task_requests', 0, 9)")
            .fetch_one(e.pool())
            .await
            .unwrap();
    assert_eq!(message, json!({"odd": 1}));
    let status: String = sqlx::query_scalar("select status from tasker.dlq_entries")
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
