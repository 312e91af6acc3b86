//! Claims that the infrastructure took back: no attempts, counted apart, and bounded.

use crate::world::{SOON, World};
use pgtasker_tests::{
    engine::{Claim, Engine, flow, pick},
    eventually,
    invariants::assert_invariants,
};
use pgtasker_worker::{StepContext, StepError, StepOutcome};
use serde_json::{Value, json};
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use uuid::Uuid;

/// One task of one step that may be tried once only.
async fn one_attempt() -> (Engine, Uuid) {
    let e = Engine::new().await;
    let mut template = flow(&[("a", &[])]);
    template["steps"][0]["retry"]["max_attempts"] = json!(1);
    e.apply(template).await;
    let id = e.start().await;
    (e, id)
}

async fn set_max_losses(e: &Engine, max: i32) {
    let set = sqlx::query("update tasker.settings set max_lease_losses = $1").bind(max);
    set.execute(e.pool()).await.unwrap();
}

fn claim_json(claim: &Claim) -> Value {
    json!({"task_id": claim.task_id, "step": claim.step, "claim_no": claim.claim_no})
}

/// The answer of a call about one claim.
async fn call(e: &Engine, query: &'static str, claim: &Claim) -> String {
    let query = sqlx::query_scalar(query).bind(e.worker).bind(claim_json(claim));
    query.fetch_one(e.pool()).await.unwrap()
}

const LOSE: &str = "select status from tasker.release_steps($1, jsonb_build_array($2), p_reason \
    => 'disk full', p_lost => true)";
const RUN_ALONE: &str = "select tasker.run_alone($1, $2)";

/// Claims lost, those of them with their worker, and whether it is to be run alone.
async fn losses(e: &Engine) -> (i32, i32) {
    sqlx::query_as("select lease_losses, worker_losses from tasker.steps where name = 'a'")
        .fetch_one(e.pool())
        .await
        .unwrap()
}

/// Claims one step as a new worker: its losses, and whether it is to run alone.
async fn claim_as_another(e: &mut Engine) -> (i32, bool) {
    e.worker = Uuid::now_v7();
    sqlx::query_as("select lease_losses, run_alone from tasker.claim_steps('test', $1, 1)")
        .bind(e.worker)
        .fetch_one(e.pool())
        .await
        .unwrap()
}

async fn live(e: &Engine, worker: Uuid) {
    let beat = sqlx::query("select tasker.heartbeat($1, '{test}', '{noop}')").bind(worker);
    beat.execute(e.pool()).await.unwrap();
}

#[tokio::test]
async fn a_lost_lease_is_no_attempt_and_the_bound_of_losses_ends_the_step() {
    let (e, id) = one_attempt().await;
    set_max_losses(&e, 5).await;
    for lost in 0..5 {
        assert_eq!(e.claim(1).await[0].attempt, 1);
        assert_eq!(
            losses(&e).await,
            (lost, lost.min(2)),
            "from then on only those that it had alone"
        );
        e.expire_leases().await;
    }
    assert_eq!(e.claim(1).await, [], "the claim ends it in place of handing it out");
    e.process().await;
    assert_eq!(e.step_state(id, "a").await, "error");
    let error: Value =
        sqlx::query_scalar("select error from tasker.steps").fetch_one(e.pool()).await.unwrap();
    assert_eq!(
        (&error["code"], &error["attempt"]),
        (&json!("lease_expired"), &json!(0)),
        "{error}"
    );
    assert!(error["message"].as_str().unwrap().contains("5 claims were lost"), "{error}");
    assert_eq!(e.depth("worker_test_queue").await, 0);
    assert_invariants(e.pool()).await;

    // An operator's retry starts over.
    sqlx::query("select tasker.retry_step($1, 'a')").bind(id).execute(e.pool()).await.unwrap();
    assert_eq!(losses(&e).await, (0, 0));
    e.enqueue_ready().await;
    assert_eq!(e.claim(1).await[0].attempt, 1);
}

#[tokio::test]
async fn what_an_outage_took_goes_back_is_counted_and_bounded_too() {
    let (e, id) = one_attempt().await;
    set_max_losses(&e, 3).await;
    for lost in 1..=3 {
        let claim = e.claim(1).await.remove(0);
        assert_eq!(claim.attempt, 1);
        assert_eq!(call(&e, LOSE, &claim).await, "released");
        assert_eq!(losses(&e).await, (lost, 0), "the worker lives");
        assert_eq!(call(&e, LOSE, &claim).await, "stale");
        assert_invariants(e.pool()).await;
    }
    assert_eq!(e.step_state(id, "a").await, "enqueued_for_orchestration");
    e.process().await;
    let error: Value =
        sqlx::query_scalar("select error from tasker.steps").fetch_one(e.pool()).await.unwrap();
    assert_eq!((&error["code"], &error["retryable"]), (&json!("lease_expired"), &json!(false)));
    assert!(error["message"].as_str().unwrap().ends_with("disk full"), "{error}");
    assert_eq!(e.task_state(id).await, "blocked_by_failures");
}

#[tokio::test]
async fn what_a_handler_says_ends_the_row_of_losses() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    e.start().await;
    for outcome in
        [json!({"type": "failure", "message": "no"}), json!({"type": "checkpoint", "cursor": 1})]
    {
        e.claim(1).await;
        e.expire_leases().await;
        let claim = e.claim(1).await.remove(0);
        assert_eq!(losses(&e).await, (1, 1));
        assert_eq!(e.submit(&claim, outcome).await, "accepted");
        e.process().await;
        e.enqueue_ready().await;
        assert_eq!(losses(&e).await, (0, 0));
    }
    // A success says how many it took.
    e.claim(1).await;
    e.expire_leases().await;
    let claim = e.claim(1).await.remove(0);
    e.succeed(&claim, json!(1)).await;
    e.process().await;
    assert_eq!(losses(&e).await, (1, 1));
}

/// Sixty-three of sixty-four steps ended with the one that killed their worker.
#[tokio::test]
async fn a_step_that_lost_two_workers_runs_alone_and_ends_with_the_second_that_dies_then() {
    let (mut e, id) = one_attempt().await;
    assert_eq!(claim_as_another(&mut e).await, (0, false));
    e.expire_leases().await;
    assert_eq!(claim_as_another(&mut e).await, (1, false));
    e.expire_leases().await;
    assert_eq!(claim_as_another(&mut e).await, (2, true));
    // Lost before its turn came: another ran and may be to blame.
    e.expire_leases().await;
    assert_eq!(claim_as_another(&mut e).await, (3, true));
    let claim = Claim {
        task_id: id,
        step: "a".into(),
        attempt: 1,
        claim_no: 4,
        parents: json!({}),
        inputs: None,
        checkpoint: None,
    };
    assert_eq!(call(&e, RUN_ALONE, &Claim { claim_no: 3, ..claim.clone() }).await, "stale");
    assert_eq!(call(&e, RUN_ALONE, &claim).await, "alone");
    e.expire_leases().await;
    // One death alone may be chance: a machine that failed, or a kill.
    assert_eq!(claim_as_another(&mut e).await, (4, true));
    assert_eq!(losses(&e).await, (4, 3));
    assert_eq!(call(&e, RUN_ALONE, &Claim { claim_no: 5, ..claim }).await, "alone");
    e.expire_leases().await;
    let killed = e.worker;
    assert_eq!(e.claim(1).await, []);
    e.process().await;
    let error: Value =
        sqlx::query_scalar("select error from tasker.steps").fetch_one(e.pool()).await.unwrap();
    assert_eq!(error["code"], json!("worker_lost"), "{error}");
    assert!(error["message"].as_str().unwrap().contains(&killed.to_string()), "{error}");
    assert_invariants(e.pool()).await;
}

#[tokio::test]
async fn a_loss_says_nothing_of_a_step_whose_worker_lives_or_whose_server_was_restarted() {
    let (mut e, _) = one_attempt().await;
    for _ in 0..3 {
        claim_as_another(&mut e).await;
        live(&e, e.worker).await;
        e.expire_leases().await;
    }
    assert_eq!(claim_as_another(&mut e).await, (3, false), "they lived");
    assert_eq!(losses(&e).await, (3, 0));
    // As if the claim had been made before the server was started.
    sqlx::query("update tasker.steps set started_at = pg_postmaster_start_time() - interval '1 s'")
        .execute(e.pool())
        .await
        .unwrap();
    e.expire_leases().await;
    assert_eq!(claim_as_another(&mut e).await, (4, false));
    assert_eq!(losses(&e).await, (4, 0));
    // One that has long not been seen.
    e.clock(60).await;
    e.expire_leases().await;
    assert_eq!(claim_as_another(&mut e).await, (5, false));
    assert_eq!(losses(&e).await, (5, 1));
}

#[tokio::test]
async fn the_audit_says_whose_lease_ended_and_why() {
    let (mut e, id) = one_attempt().await;
    claim_as_another(&mut e).await;
    let gone = e.worker;
    e.expire_leases().await;
    claim_as_another(&mut e).await;
    let lives = e.worker;
    live(&e, lives).await;
    e.expire_leases().await;
    claim_as_another(&mut e).await;
    let reasons: Vec<String> = sqlx::query_scalar(
        "select reason from tasker.step_transitions where task_id = $1 and from_state = to_state \
         order by transition_id",
    )
    .bind(id)
    .fetch_all(e.pool())
    .await
    .unwrap();
    assert_eq!(
        reasons,
        [
            format!("the lease of worker {gone} ran out: it is gone"),
            format!(
                "the lease of worker {lives} ran out: it is alive, the server was restarted, or \
                 other steps may be to blame"
            ),
        ]
    );
}

#[tokio::test]
async fn releases_are_answered_in_order_and_no_delay_is_none() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[]), ("b", &[])]).await;
    e.start().await;
    let claims = e.claim(2).await;
    let (a, b) = (pick(&claims, "a"), pick(&claims, "b"));
    let asked = json!([
        claim_json(&b),
        {"task_id": "x", "step": "b", "claim_no": 1},
        {"task_id": a.task_id, "step": "a", "claim_no": a.claim_no + 5},
        claim_json(&a),
    ]);
    let answers: Vec<(Option<String>, String, Option<i32>)> = sqlx::query_as(
        "select step, status, claim_no from tasker.release_steps($1, $2, p_delay => null)",
    )
    .bind(e.worker)
    .bind(asked)
    .fetch_all(e.pool())
    .await
    .unwrap();
    let answer = |step: &str, status: &str, claim_no| {
        (Some(step.to_owned()), status.to_owned(), Some(claim_no))
    };
    assert_eq!(
        answers,
        [
            answer("b", "released", 1),
            answer("b", "stale", 1),
            answer("a", "stale", 6),
            answer("a", "released", 1)
        ]
    );
    assert_eq!(e.claim(2).await.len(), 2, "at once");
}

/// `test.flow` of one step with this handler, to be tried once.
fn once(handler: Value) -> Value {
    json!({"namespace": "test", "name": "flow", "version": "1",
           "steps": [{"name": "only", "handler": handler, "retry": {"max_attempts": 1}}]})
}

/// Ends the session in which a step of `slow` waits, once.
async fn end_session(world: &World) {
    eventually("its session", SOON, async || {
        sqlx::query_scalar::<_, bool>(
            "select pg_terminate_backend(pid) from pg_stat_activity
              where application_name like 'tasker %-%' and wait_event = 'PgSleep' limit 1",
        )
        .fetch_optional(&world.db.pool)
        .await
        .unwrap()
    })
    .await;
}

/// It failed for good, as if its function had.
#[tokio::test]
async fn a_sql_step_whose_session_the_server_ended_runs_again_and_that_is_no_attempt() {
    let world =
        World::with(once(json!({"callable": "sql", "config": {"function": "public.slow"}}))).await;
    sqlx::raw_sql(
        "create function public.slow(p jsonb) returns int language plpgsql as $$
         begin perform pg_sleep(2); return (p ->> 'attempt')::int; end $$",
    )
    .execute(&world.db.pool)
    .await
    .unwrap();
    let worker = world.worker(|w| w).await;
    let id = world.enqueue(json!({})).await;
    end_session(&world).await;
    assert_eq!(world.result(id).await, json!({"only": 1}));
    let losses: (i32, i32) = sqlx::query_as("select lease_losses, worker_losses from tasker.steps")
        .fetch_one(&world.db.pool)
        .await
        .unwrap();
    assert_eq!(losses, (1, 0));
    worker.stop().await;
}

#[tokio::test]
async fn a_handler_whose_own_transaction_was_lost_runs_again_and_that_is_no_attempt() {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    async fn deposit(ctx: StepContext) -> Result<StepOutcome, StepError> {
        let mut tx = ctx.begin().await?;
        if CALLS.fetch_add(1, Ordering::SeqCst) == 0 {
            sqlx::query("select pg_sleep(30)").execute(&mut *tx).await?;
        }
        tx.complete(ctx.attempt()).await
    }
    let world = World::with(once(json!({"callable": "deposit"}))).await;
    let worker = world.worker(|w| w.handler("deposit", deposit)).await;
    let id = world.enqueue(json!({})).await;
    end_session(&world).await;
    assert_eq!(world.result(id).await, json!({"only": 1}));
    worker.stop().await;
}

/// They starved the loop that extends the leases: each ran again while it ran.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handlers_that_block_all_threads_let_no_lease_run_out() {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    async fn block(_: StepContext) -> Result<StepOutcome, StepError> {
        CALLS.fetch_add(1, Ordering::SeqCst);
        // Not a wait for something: it keeps its thread for four leases, as a computation does.
        std::thread::sleep(Duration::from_secs(4));
        Ok(StepOutcome::success(1))
    }
    let world = World::with(once(json!({"callable": "block"}))).await;
    let worker = world.worker(|w| w.handler("block", block).lease(Duration::from_secs(1))).await;
    let ids = [world.enqueue(json!({})).await, world.enqueue(json!({})).await];
    for id in ids {
        assert_eq!(world.result(id).await, json!({"only": 1}));
    }
    let losses: i64 = sqlx::query_scalar("select sum(lease_losses) from tasker.steps")
        .fetch_one(&world.db.pool)
        .await
        .unwrap();
    assert_eq!((CALLS.load(Ordering::SeqCst), losses), (2, 0));
    worker.stop().await;
}

/// Dropped by recursion, it overflowed the stack and ended the process.
#[tokio::test]
async fn a_result_nested_beyond_any_stack_fails_its_step_and_nothing_else() {
    async fn nest(ctx: StepContext) -> Result<StepOutcome, StepError> {
        let nested = || (0..1_000_000).fold(json!(1), |inner, _| Value::Array(vec![inner]));
        ctx.publish("step.done", nested());
        Ok(StepOutcome::success(nested()))
    }
    let world = World::with(once(json!({"callable": "nest"}))).await;
    let worker = world.worker(|w| w.handler("nest", nest)).await;
    let id = world.enqueue(json!({})).await;
    assert_eq!(world.ended(id).await, "blocked_by_failures");
    let (_, _, _, error) = world.step(id, "only").await;
    assert_eq!(error.unwrap()["code"], json!("invalid_result"));
    worker.stop().await;
}
