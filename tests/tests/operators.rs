//! What operators do to tasks and steps: retry, resolve, reset, cancel, one or many; each audited with who and why.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "each test file uses some of it")]
mod world;

use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tasker_tests::{
    engine::{Claim, Engine, flow},
    eventually,
};
use tasker_worker::{StepContext, StepOutcome};
use uuid::Uuid;
use world::{SOON, World};

const DIAMOND: &[(&str, &[&str])] = &[("a", &[]), ("b", &["a"]), ("c", &["a"]), ("d", &["b", "c"])];

/// A diamond, and one task of it.
async fn diamond() -> (Engine, Uuid) {
    let e = Engine::new().await;
    e.apply_flow(DIAMOND).await;
    let id = e.start().await;
    (e, id)
}

async fn call(e: &Engine, query: &'static str, id: Uuid) -> Result<bool, (String, String)> {
    sqlx::query_scalar(query).bind(id).fetch_one(e.pool()).await.map_err(|error| {
        let db = error.as_database_error().unwrap();
        (db.code().unwrap().into_owned(), db.message().to_owned())
    })
}

async fn code(e: &Engine, query: &'static str, id: Uuid) -> String {
    call(e, query, id).await.unwrap_err().0
}

async fn count(e: &Engine, query: &'static str, filter: Value) -> i32 {
    sqlx::query_scalar(query).bind(filter).fetch_one(e.pool()).await.unwrap()
}

async fn complete_next(e: &Engine, step: &str) {
    let claim = claim_one(e, step).await;
    assert_eq!(e.succeed(&claim, json!(step)).await, "accepted");
    e.process().await;
}

async fn claim_one(e: &Engine, step: &str) -> Claim {
    let claims = e.claim(1).await;
    assert_eq!(claims.len(), 1, "{step}");
    assert_eq!(claims[0].step, step);
    claims.into_iter().next().unwrap()
}

async fn fail_for_good(e: &Engine, claim: &Claim) {
    let outcome = json!({"type": "failure", "message": "boom", "code": "declined", "retryable": false});
    assert_eq!(e.submit(claim, outcome).await, "accepted");
    e.process().await;
}

/// Everything of a task that operators' functions keep: its counters must be what its steps say.
async fn assert_counted(e: &Engine) {
    let wrong: Vec<String> = sqlx::query_scalar(
        "select format('%s %s: %s', t.task_id, t.state, to_jsonb(c)) from tasker.tasks t
          cross join lateral (select count(*) filter (where not s.satisfied) as remaining,
                 count(*) filter (where s.state in ('enqueued', 'in_progress', 'enqueued_for_orchestration')) as active,
                 count(*) filter (where s.state = 'error') as failed,
                 count(*) filter (where s.state = 'pending' and s.waiting_on = 0) as waiting
            from tasker.steps s where s.task_id = t.task_id) c
          where t.completed_at is null and t.state <> 'pending'
            and (t.remaining, t.active, t.failed, t.held + t.waiting_retry) <> (c.remaining, c.active, c.failed, c.waiting)
         union all
         select format('%s %s waits on %s, not %s', s.task_id, s.name, s.waiting_on, c.n) from tasker.steps s
           join tasker.tasks t on t.task_id = s.task_id
          cross join lateral (select count(*) as n from tasker.template_edges x join tasker.steps q on q.task_id = s.task_id and q.name = x.parent
                               where x.template_id = t.template_id and x.child = s.template_step and not q.satisfied) c
          where s.state = 'pending' and s.waiting_on <> c.n",
    )
    .fetch_all(e.pool())
    .await
    .unwrap();
    assert_eq!(wrong, Vec::<String>::new());
}

async fn reasons(e: &Engine, id: Uuid) -> Vec<String> {
    sqlx::query_scalar(
        "select distinct r.reason from (select reason from tasker.task_transitions where task_id = $1
                                        union all select reason from tasker.step_transitions where task_id = $1) r
          where r.reason like '% by %' order by 1",
    )
    .bind(id)
    .fetch_all(e.pool())
    .await
    .unwrap()
}

async fn result(e: &Engine, id: Uuid) -> Option<Value> {
    sqlx::query_scalar("select tasker.task_result($1)").bind(id).fetch_one(e.pool()).await.unwrap()
}

#[tokio::test]
async fn a_failed_step_runs_again_with_all_its_attempts() {
    let (e, id) = diamond().await;
    complete_next(&e, "a").await;
    let claims = e.claim(2).await;
    fail_for_good(&e, &claims[0]).await;
    assert_eq!(e.succeed(&claims[1], json!("c")).await, "accepted");
    e.process().await;
    assert_eq!(e.task_state(id).await, "blocked_by_failures");

    let retry = "select tasker.retry_step($1, 'b', 'card network was down', 'ana')";
    assert_eq!(call(&e, retry, id).await, Ok(true));
    assert_counted(&e).await;
    assert_eq!(e.task_state(id).await, "waiting_for_dependencies");
    assert_eq!(
        e.text("select coalesce(error::text, 'none') from tasker.tasks where task_id = $1", id).await,
        "none"
    );
    assert_eq!(call(&e, retry, id).await, Ok(false), "a second call changes nothing");
    assert_eq!(e.submit(&claims[0], json!({"type": "success"})).await, "stale");

    assert_eq!(e.enqueue_ready().await, 1);
    let again = claim_one(&e, "b").await;
    assert_eq!((again.attempt, again.claim_no > claims[0].claim_no), (1, true));
    assert_eq!(e.succeed(&again, json!("b")).await, "accepted");
    e.process().await;
    assert_counted(&e).await;
    complete_next(&e, "d").await;
    assert_eq!(e.task_state(id).await, "complete");
    assert_eq!(reasons(&e, id).await, ["retried by ana: card network was down"]);
    assert_eq!(
        e.text("select string_agg(from_state || ' ' || to_state, ',' order by transition_id) from tasker.task_transitions where task_id = $1 and reason like 'retried%'", id).await,
        "blocked_by_failures evaluating_results,evaluating_results waiting_for_dependencies"
    );
    assert_eq!(code(&e, retry, id).await, "TK031");
}

#[tokio::test]
async fn what_cannot_be_retried_is_refused_and_says_what_to_do() {
    let (e, id) = diamond().await;
    assert_eq!(code(&e, "select tasker.retry_step($1, 'nope')", id).await, "TK032");
    assert_eq!(code(&e, "select tasker.retry_step($1, null)", id).await, "TK032");
    assert_eq!(code(&e, "select tasker.retry_step($1, 'a')", Uuid::now_v7()).await, "TK004");
    assert_eq!(call(&e, "select tasker.retry_step($1, 'a')", id).await, Ok(false), "it waits in its queue");
    complete_next(&e, "a").await;
    assert_eq!(code(&e, "select tasker.retry_step($1, 'a')", id).await, "TK033");

    let claims = e.claim(2).await;
    fail_for_good(&e, &claims[0]).await;
    assert_eq!(call(&e, "select tasker.resolve_step($1, 'd', '7')", id).await, Ok(true));
    let (code_, message) = call(&e, "select tasker.retry_step($1, 'b')", id).await.unwrap_err();
    assert_eq!(code_, "TK033");
    assert!(message.contains("\"d\" is resolved_manually"), "{message}");
    assert_counted(&e).await;

    assert_eq!(call(&e, "select tasker.cancel_task($1, 'wrong order', 'ana')", id).await, Ok(true));
    assert_eq!(code(&e, "select tasker.retry_step($1, 'b')", id).await, "TK031");
    assert_eq!(code(&e, "select tasker.reset_task($1)", id).await, "TK031");
    assert_eq!(code(&e, "select tasker.resolve_step($1, 'b')", id).await, "TK031");
    assert_eq!(call(&e, "select tasker.cancel_task($1)", id).await, Ok(false));
    assert_eq!(call(&e, "select tasker.resolve_task($1)", id).await, Ok(false));
    assert_eq!(reasons(&e, id).await, ["cancelled by ana: wrong order", "resolved by postgres"]);
}

#[tokio::test]
async fn a_resolved_step_counts_down_once_and_its_late_result_is_stale() {
    let (e, id) = diamond().await;
    complete_next(&e, "a").await;
    let claims = e.claim(2).await;
    let resolve = "select tasker.resolve_step($1, 'b', '{\"paid\": true}', 'seen at the bank', 'ana')";
    assert_eq!(call(&e, resolve, id).await, Ok(true));
    assert_eq!(call(&e, resolve, id).await, Ok(false));
    assert_counted(&e).await;
    assert_eq!(e.task_state(id).await, "steps_in_process", "c still runs");
    assert_eq!(e.submit(&claims[0], json!({"type": "success", "result": "late"})).await, "stale");
    e.expire_leases().await;
    assert_eq!(
        e.claim(10).await.iter().map(|c| c.step.as_str()).collect::<Vec<_>>(),
        ["c"],
        "b's message is dropped"
    );
    assert_eq!(call(&e, "select tasker.resolve_step($1, 'c')", id).await, Ok(true));
    assert_eq!(e.task_state(id).await, "waiting_for_dependencies");
    assert_counted(&e).await;
    assert_eq!(e.enqueue_ready().await, 1);
    let last = claim_one(&e, "d").await;
    assert_eq!(last.parents, json!({"b": {"paid": true}, "c": null}));
    assert_eq!(call(&e, "select tasker.resolve_step($1, 'd', '5')", id).await, Ok(true));
    assert_eq!(e.task_state(id).await, "complete");
    assert_eq!(result(&e, id).await, Some(json!({"d": 5})));
    assert_eq!(e.submit(&last, json!({"type": "success"})).await, "stale");
    assert_eq!(
        call(&e, "select tasker.resolve_step($1, 'd', '6')", id).await,
        Ok(false),
        "not an error either"
    );
    e.expire_leases().await;
    assert_eq!((e.claim(10).await, e.depth("worker_test_queue").await), (vec![], 0));
    assert!(reasons(&e, id).await.contains(&"resolved by ana: seen at the bank".to_owned()));
}

#[tokio::test]
async fn a_result_that_waits_to_be_processed_does_not_undo_a_resolution() {
    let (e, id) = diamond().await;
    let claim = claim_one(&e, "a").await;
    assert_eq!(e.succeed(&claim, json!("worker")).await, "accepted");
    assert_eq!(call(&e, "select tasker.resolve_step($1, 'a', '\"operator\"')", id).await, Ok(true));
    assert_eq!(e.process().await, (1, 0, 0));
    assert_counted(&e).await;
    assert_eq!(e.enqueue_ready().await, 2);
    assert_eq!(e.claim(1).await[0].parents, json!({"a": "operator"}));
}

#[tokio::test]
async fn a_step_held_by_its_handlers_transaction_is_waited_for_only_shortly() {
    let (e, id) = diamond().await;
    claim_one(&e, "a").await;
    let mut handler = e.pool().begin().await.unwrap();
    sqlx::query("select from tasker.steps where name = 'a' for no key update")
        .execute(&mut *handler)
        .await
        .unwrap();
    assert_eq!(code(&e, "select tasker.resolve_step($1, 'a')", id).await, "TK034");
    handler.rollback().await.unwrap();
    assert_eq!(call(&e, "select tasker.resolve_step($1, 'a')", id).await, Ok(true));
}

#[tokio::test]
async fn a_resolved_task_keeps_the_operators_result() {
    let (e, id) = diamond().await;
    complete_next(&e, "a").await;
    let claims = e.claim(1).await;
    let resolve = "select tasker.resolve_task($1, '{\"refund\": 7}', 'done by hand', 'ana')";
    assert_eq!(call(&e, resolve, id).await, Ok(true));
    assert_eq!(call(&e, resolve, id).await, Ok(false));
    assert_eq!(e.task_state(id).await, "resolved_manually");
    assert_eq!(result(&e, id).await, Some(json!({"refund": 7})));
    assert_eq!(e.submit(&claims[0], json!({"type": "success"})).await, "stale");
    for step in ["b", "c", "d"] {
        assert_eq!(e.step_state(id, step).await, "cancelled");
    }
    e.expire_leases().await;
    assert_eq!((e.claim(10).await, e.enqueue_ready().await), (vec![], 0));
    assert_eq!(reasons(&e, id).await, ["resolved by ana: done by hand"]);

    let pending = e.enqueue(json!({})).await;
    assert_eq!(call(&e, "select tasker.resolve_task($1)", pending).await, Ok(true));
    e.initialize().await;
    assert_eq!(e.task_state(pending).await, "resolved_manually");
    assert_eq!(result(&e, pending).await, Some(json!({})));
}

/// A diamond whose first failure ends the task, in error by `b` while `c` is being run.
async fn failed_task() -> (Engine, Uuid, Claim) {
    let e = Engine::new().await;
    let mut template = flow(DIAMOND);
    template["on_failure"] = json!("fail");
    e.apply(template).await;
    let id = e.start().await;
    complete_next(&e, "a").await;
    let claims = e.claim(2).await;
    fail_for_good(&e, &claims[0]).await;
    assert_eq!(e.task_state(id).await, "error");
    (e, id, claims[1].clone())
}

#[tokio::test]
async fn a_task_in_error_begins_again_and_keeps_its_results() {
    let (e, id, running) = failed_task().await;
    let (code_, message) = call(&e, "select tasker.retry_step($1, 'b')", id).await.unwrap_err();
    assert_eq!((code_.as_str(), message.contains("error")), ("TK031", true));
    let reset = "select tasker.reset_task($1, 'network is back', 'ana')";
    assert_eq!(call(&e, reset, id).await, Ok(true));
    assert_eq!(call(&e, reset, id).await, Ok(false));
    assert_counted(&e).await;
    assert_eq!(
        e.text("select concat_ws(' ', state, error::text, completed_at, failed) from tasker.tasks where task_id = $1", id).await,
        "waiting_for_dependencies 0"
    );
    assert_eq!(e.succeed(&running, json!("late")).await, "stale", "of the claim before the reset");
    assert_eq!(e.enqueue_ready().await, 2);
    e.expire_leases().await;
    assert_eq!(
        e.drain().await,
        ["b", "c", "d"],
        "a is not run again, and c once although it has two messages"
    );
    assert_eq!(e.task_state(id).await, "complete");
    assert_eq!(e.depth("worker_test_queue").await, 0);
    assert_eq!(
        e.text("select result::text from tasker.steps where task_id = $1 and name = 'c'", id).await,
        "\"c\""
    );
    assert_eq!(reasons(&e, id).await, ["reset by ana: network is back"]);
    let path = e.task_path(id).await;
    let at = path.iter().position(|s| s == "error").unwrap();
    assert_eq!(
        path[at..at + 5],
        ["error", "enqueuing_steps", "steps_in_process", "evaluating_results", "waiting_for_dependencies"]
    );
    assert_eq!(code(&e, reset, id).await, "TK031", "it is complete now");
}

#[tokio::test]
async fn a_step_resolved_in_a_task_in_error_counts_at_the_reset() {
    let (e, id, _) = failed_task().await;
    assert_eq!(call(&e, "select tasker.resolve_step($1, 'b', '1')", id).await, Ok(true));
    assert_eq!(
        (e.task_state(id).await.as_str(), e.step_state(id, "d").await.as_str()),
        ("error", "cancelled")
    );
    assert_eq!(call(&e, "select tasker.reset_task($1)", id).await, Ok(true));
    assert_counted(&e).await;
    assert_eq!(e.enqueue_ready().await, 1);
    e.expire_leases().await;
    assert_eq!(e.drain().await, ["c", "d"]);
    assert_eq!(e.task_state(id).await, "complete");
}

#[tokio::test]
async fn a_task_whose_steps_were_all_resolved_in_error_is_complete_at_the_reset() {
    let (e, id, _) = failed_task().await;
    for query in [
        "select tasker.resolve_step($1, 'b')",
        "select tasker.resolve_step($1, 'c')",
        "select tasker.resolve_step($1, 'd', '1')",
    ] {
        assert_eq!(call(&e, query, id).await, Ok(true));
    }
    assert_eq!(call(&e, "select tasker.reset_task($1)", id).await, Ok(true));
    assert_eq!(e.task_state(id).await, "complete");
    assert_eq!(result(&e, id).await, Some(json!({"d": 1})));
}

#[tokio::test]
async fn a_task_whose_context_was_refused_is_checked_again() {
    let e = Engine::new().await;
    e.apply_flow(DIAMOND).await;
    let id = e.enqueue(json!({})).await;
    let refuse = "select i.failed from (select jsonb_agg(jsonb_build_object('msg_id', r.msg_id, 'task_id', r.task_id, 'error', '{\"message\": \"no\"}'::jsonb)) as v
                    from tasker.take_task_requests(10) r) r, tasker.initialize_tasks(r.v) i";
    let failed: i32 = sqlx::query_scalar(refuse).fetch_one(e.pool()).await.unwrap();
    assert_eq!((failed, e.task_state(id).await.as_str()), (1, "error"));
    assert_eq!(count(&e, "select tasker.retry_tasks($1)", json!({"task_ids": [id]})).await, 1);
    assert_eq!(e.task_state(id).await, "pending");
    e.initialize().await;
    assert_eq!(e.drain().await.len(), 4);
    assert_eq!(e.task_state(id).await, "complete");
}

#[tokio::test]
async fn a_bulk_replay_runs_only_the_failed_part_and_keeps_results() {
    let e = Engine::new().await;
    e.apply_flow(DIAMOND).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let id = e.start().await;
        complete_next(&e, "a").await;
        let claims = e.claim(2).await;
        assert_eq!(e.succeed(&claims[1], json!("kept")).await, "accepted");
        fail_for_good(&e, &claims[0]).await;
        ids.push(id);
    }
    let untouched = e.start().await;
    let retry = "select tasker.retry_tasks($1, 'network is back', 'ana', 2)";
    let filter = json!({"namespace": "test", "name": "flow", "error_code": "declined"});
    assert_eq!(count(&e, retry, json!({"namespace": "test", "error_code": "other"})).await, 0);
    assert_eq!(
        [
            count(&e, retry, filter.clone()).await,
            count(&e, retry, filter.clone()).await,
            count(&e, retry, filter).await
        ],
        [2, 1, 0]
    );
    assert_counted(&e).await;
    assert_eq!(e.enqueue_ready().await, 3);
    assert_eq!(e.drain().await, ["a", "b", "b", "b", "b", "c", "d", "d", "d", "d"]);
    for id in ids {
        assert_eq!(e.task_state(id).await, "complete");
        assert_eq!(
            e.text("select result::text from tasker.steps where task_id = $1 and name = 'c'", id).await,
            "\"kept\""
        );
        assert_eq!(
            e.text("select claim_no::text from tasker.steps where task_id = $1 and name = 'c'", id).await,
            "1"
        );
        assert_eq!(reasons(&e, id).await, ["retried by ana: network is back"]);
    }
    assert_eq!(reasons(&e, untouched).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_bulk_cancel_takes_what_matches_and_skips_what_is_held() {
    let e = Engine::new().await;
    e.apply_flow(DIAMOND).await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(e.start().await);
    }
    let mut holder = e.pool().begin().await.unwrap();
    sqlx::query("select from tasker.tasks where task_id = $1 for no key update")
        .bind(ids[0])
        .execute(&mut *holder)
        .await
        .unwrap();
    let cancel = "select tasker.cancel_tasks($1, 'wrong price', 'ana')";
    assert_eq!(count(&e, cancel, json!({"task_ids": ids[..3]})).await, 2, "never waits");
    holder.rollback().await.unwrap();
    assert_eq!(count(&e, cancel, json!({"task_ids": ids[..3]})).await, 1);
    assert_eq!(count(&e, cancel, json!({"task_ids": ids[..3]})).await, 0);
    assert_eq!(
        e.claim(10).await.iter().map(|c| c.task_id).collect::<Vec<_>>(),
        [ids[3]],
        "queued steps never start"
    );
    assert_eq!(reasons(&e, ids[0]).await, ["cancelled by ana: wrong price"]);
    assert_eq!((e.enqueue_ready().await, e.depth("worker_test_queue").await), (0, 1));
}

#[tokio::test]
async fn a_filter_must_name_something_and_be_of_the_right_types() {
    let e = Engine::new().await;
    e.apply_flow(DIAMOND).await;
    let id = e.start().await;
    let refused = async |filter: Value| {
        let error =
            sqlx::query("select tasker.cancel_tasks($1)").bind(filter).execute(e.pool()).await.unwrap_err();
        let db = error.as_database_error().unwrap();
        assert_eq!(db.code().unwrap(), "TK030");
        db.message().to_owned()
    };
    assert_eq!(refused(json!({})).await, "an empty filter would match every task");
    assert!(refused(json!([])).await.contains("must be a JSON object"));
    assert_eq!(
        refused(json!({"namespase": "test", "states": ["done"], "task_ids": [7], "created_after": "soon", "name": null, "correlation_id": "x", "version": 1})).await,
        "\"correlation_id\" must be a uuid; \"created_after\" must be a time such as 2026-01-31T09:00:00Z; \"name\" must be a string; \
         unknown key \"namespase\"; \"states\" must be an array of task states; \"task_ids\" must be an array of uuids; \"version\" must be a string"
    );
    let counted = async |filter: Value| -> i64 {
        sqlx::query_scalar("select tasker.count_tasks($1)").bind(filter).fetch_one(e.pool()).await.unwrap()
    };
    assert_eq!(counted(json!({"states": []})).await, 0, "no state is not every state");
    assert_eq!(counted(json!({"task_ids": []})).await, 0);
    let all = json!({"namespace": "test", "name": "flow", "version": "1", "states": ["steps_in_process"], "task_ids": [id],
                     "correlation_id": id, "created_after": "2020-01-01T00:00:00Z", "created_before": "2999-01-01T00:00:00Z"});
    assert_eq!(counted(all.clone()).await, 1);
    for (key, other) in [
        ("namespace", json!("x")),
        ("name", json!("x")),
        ("version", json!("2")),
        ("states", json!(["error"])),
        ("task_ids", json!([Uuid::nil()])),
        ("correlation_id", json!(Uuid::nil())),
        ("created_after", json!("2998-01-01")),
        ("created_before", json!("2020-01-02")),
        ("error_code", json!("x")),
    ] {
        let mut filter = all.clone();
        filter[key] = other;
        assert_eq!(counted(filter).await, 0, "{key}");
    }
    assert_eq!(e.task_state(id).await, "steps_in_process");
}

/// The states of a task's steps, by their names.
async fn step_states(world: &World, id: Uuid) -> Vec<String> {
    sqlx::query_scalar("select state::text from tasker.steps where task_id = $1 order by name")
        .bind(id)
        .fetch_all(&world.db.pool)
        .await
        .unwrap()
}

/// A worker with a lease of a minute whose handler runs until it is told to stop.
#[tokio::test]
async fn running_handlers_learn_of_a_cancel_within_seconds_and_nothing_after_them_starts() {
    let template = flow(&[("a", &[]), ("b", &[]), ("c", &["a"])]).to_string().replace("noop", "work");
    let world = World::with(serde_json::from_str(&template).unwrap()).await;
    let (started, told) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (started_by, told_by) = (Arc::clone(&started), Arc::clone(&told));
    let until_told = move |ctx: StepContext| {
        started_by.fetch_add(1, Ordering::SeqCst);
        let told_by = Arc::clone(&told_by);
        async move {
            ctx.cancelled().cancelled().await;
            told_by.fetch_add(1, Ordering::SeqCst);
            Ok(StepOutcome::success("late"))
        }
    };
    // Two may run at once: the steps of the second task stay queued.
    let worker =
        world.worker(|w| w.lease(Duration::from_secs(60)).concurrency(2).handler("work", until_told)).await;
    let first = world.enqueue(json!({})).await;
    eventually("both steps to run", SOON, async || started.load(Ordering::SeqCst) == 2).await;
    let second = world.enqueue(json!({})).await;
    eventually("the second task to begin", SOON, async || step_states(&world, second).await.len() == 3).await;

    let cancelled_at = Instant::now();
    for (id, query) in [
        (second, "select tasker.cancel_task($1, 'wrong order', 'ana')"),
        (
            first,
            "select tasker.cancel_tasks(jsonb_build_object('task_ids', jsonb_build_array($1)), 'wrong order', 'ana')",
        ),
    ] {
        sqlx::query(query).bind(id).execute(&world.db.pool).await.unwrap();
    }
    eventually("the handlers to be told", SOON, async || told.load(Ordering::SeqCst) == 2).await;
    assert!(cancelled_at.elapsed() < Duration::from_secs(5), "{:?}", cancelled_at.elapsed());

    // The worker is free again and takes the next task: what was cancelled would have been before it.
    let third = world.enqueue(json!({})).await;
    eventually("the third task to run", SOON, async || started.load(Ordering::SeqCst) == 4).await;
    let attempts: i64 = sqlx::query_scalar("select sum(attempt) from tasker.steps where task_id = $1")
        .bind(second)
        .fetch_one(&world.db.pool)
        .await
        .unwrap();
    assert_eq!(attempts, 0, "queued steps never start");
    for id in [first, second] {
        assert_eq!(step_states(&world, id).await, ["cancelled"; 3]);
        assert_eq!(world.ended(id).await, "cancelled");
    }
    sqlx::query("select tasker.resolve_step($1, s, '1') from unnest('{a,b}'::text[]) s")
        .bind(third)
        .execute(&world.db.pool)
        .await
        .unwrap();
    eventually("the handlers to be told of the resolution, and c to run", SOON, async || {
        (told.load(Ordering::SeqCst), started.load(Ordering::SeqCst)) == (4, 5)
    })
    .await;
    sqlx::query("select tasker.resolve_task($1)").bind(third).execute(&world.db.pool).await.unwrap();
    worker.stop().await;
}
