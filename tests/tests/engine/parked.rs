//! Steps whose handler a live worker lacks: parked beside their queue, claimed by those that have
//! it.

use crate::world::{SOON, World};
use pgtasker_tests::{
    engine::{Claim, Engine, sqlstate},
    eventually,
    invariants::assert_invariants,
};
use pgtasker_worker::{StepContext, StepError, StepOutcome};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

const QUEUE: &str = "worker_test_queue";

/// `test.flow` with one step for each of these handlers, named as it is.
fn flow_of(handlers: &[&str]) -> Value {
    let steps: Vec<Value> = handlers
        .iter()
        .map(|handler| {
            json!({"name": handler, "handler": {"callable": handler},
                   "retry": {"max_attempts": 3, "backoff_base_ms": 0, "jitter": false}})
        })
        .collect();
    json!({"namespace": "test", "name": "flow", "version": "1", "steps": steps})
}

async fn engine(handlers: &[&str]) -> Engine {
    let e = Engine::new().await;
    e.apply(flow_of(handlers)).await;
    e
}

/// Claims up to `max` steps of these handlers, in the order of their claim.
async fn claim(e: &Engine, max: i32, handlers: &[&str]) -> Vec<Claim> {
    sqlx::query_as("select * from tasker.claim_steps('test', $1, $2, p_handlers => $3)")
        .bind(e.worker)
        .bind(max)
        .bind(handlers)
        .fetch_all(e.pool())
        .await
        .unwrap()
}

fn names(claims: &[Claim]) -> Vec<&str> {
    claims.iter().map(|claim| claim.step.as_str()).collect()
}

async fn count(e: &Engine, query: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(format!("select count(*) from {query}")))
        .fetch_one(e.pool())
        .await
        .unwrap()
}

async fn run(e: &Engine, query: &'static str) {
    sqlx::query(query).execute(e.pool()).await.unwrap();
}

async fn beat(e: &Engine, worker: Uuid, handlers: &[&str]) {
    sqlx::query("select tasker.heartbeat($1, '{test}', $2)")
        .bind(worker)
        .bind(handlers)
        .execute(e.pool())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_claim_takes_only_what_its_handlers_can_run_and_reads_past_the_rest_once() {
    let e = engine(&["mine", "other"]).await;
    for _ in 0..20 {
        e.enqueue(json!({})).await;
    }
    e.initialize().await;
    let audit = count(&e, "tasker.step_transitions").await;
    let first = claim(&e, 5, &["mine"]).await;
    assert_eq!(names(&first), ["mine"; 5]);
    let rest = claim(&e, 100, &["mine"]).await;
    assert_eq!((rest.len(), count(&e, "tasker.parked_steps").await), (15, 20));
    assert_eq!(claim(&e, 100, &["mine"]).await, []);
    assert_eq!(e.depth(QUEUE).await, 20, "what is parked has left the queue");
    assert_eq!(
        count(&e, "tasker.step_transitions").await,
        audit + 20,
        "parking is no hop, and no attempt"
    );
    assert_invariants(e.pool()).await;
    let (old, new) = (claim(&e, 10, &["other"]).await, claim(&e, 100, &["other"]).await);
    assert_eq!((old.len(), new.len(), old[0].attempt, old[0].claim_no), (10, 10, 1, 1));
    assert_eq!(count(&e, "tasker.parked_steps").await, 0);
    let (last, next) = (old.iter().map(|c| c.task_id).max(), new.iter().map(|c| c.task_id).min());
    assert!(last < next, "first in, first out");
    for claim in first.iter().chain(&rest).chain(&old).chain(&new) {
        assert_eq!(e.succeed(claim, json!(1)).await, "accepted");
    }
    e.process().await;
    assert_eq!(count(&e, "tasker.tasks where state = 'complete'").await, 20);
    assert_invariants(e.pool()).await;
}

#[tokio::test]
async fn while_workers_differ_steps_go_beside_the_queue_at_once_and_afterwards_they_go_back() {
    let e = engine(&["mine", "other"]).await;
    e.start().await;
    beat(&e, e.worker, &["mine"]).await;
    claim(&e, 10, &["mine"]).await;
    e.start().await;
    assert_eq!((e.depth(QUEUE).await, count(&e, "tasker.parked_steps").await), (2, 2));
    // One that may run anything, as an SQL worker without a list of handlers: both places are its.
    assert_eq!(e.claim(10).await.len(), 3);
    beat(&e, e.worker, &["mine", "other"]).await;
    run(&e, "select tasker.sweep_stale(10)").await;
    assert_eq!(count(&e, "tasker.parked_handlers").await, 0);
    e.start().await;
    assert_eq!(count(&e, "tasker.parked_steps").await, 0);
    assert_invariants(e.pool()).await;
}

#[tokio::test]
async fn a_name_with_an_exclamation_mark_is_left_out_of_any() {
    let e = engine(&["mine", "other"]).await;
    e.start().await;
    assert_eq!(names(&claim(&e, 10, &["*", "!other"]).await), ["mine"]);
    assert_eq!(names(&claim(&e, 10, &["*"]).await), ["other"]);
}

#[tokio::test]
async fn neither_the_queue_nor_what_is_parked_waits_for_the_other_to_be_empty() {
    let e = engine(&["mine", "other"]).await;
    for _ in 0..2 {
        for _ in 0..20 {
            e.enqueue(json!({})).await;
        }
        e.initialize().await;
        if count(&e, "tasker.parked_steps").await == 0 {
            assert_eq!(claim(&e, 100, &["mine"]).await.len(), 20);
        }
    }
    let mut seen = Vec::new();
    for _ in 0..20 {
        seen.extend(claim(&e, 1, &["mine", "other"]).await);
    }
    let others = names(&seen).into_iter().filter(|name| *name == "other").count();
    assert!((1..20).contains(&others), "{others} of 20, one at a time");
    let both = claim(&e, 10, &["mine", "other"]).await;
    assert!(both.len() == 10 && names(&both).contains(&"mine") && names(&both).contains(&"other"));
}

#[tokio::test]
async fn a_lease_that_ran_out_is_counted_by_the_next_claim_however_long_it_was_parked() {
    let e = engine(&["other"]).await;
    let id = e.start().await;
    let first = claim(&e, 1, &["other"]).await.remove(0);
    e.expire_leases().await;
    assert_eq!(claim(&e, 1, &["mine"]).await, []);
    assert_eq!(
        (e.step_state(id, "other").await.as_str(), e.depth(QUEUE).await),
        ("in_progress", 0)
    );
    assert_invariants(e.pool()).await;
    let (again, expired): (i32, bool) = sqlx::query_as(
        "select claim_no, expired from tasker.claim_steps('test', $1, 1, p_handlers => '{other}')",
    )
    .bind(e.worker)
    .fetch_one(e.pool())
    .await
    .unwrap();
    assert_eq!((again, expired), (2, true));
    assert_eq!(e.succeed(&first, json!("late")).await, "stale");
}

#[tokio::test]
async fn the_safety_net_leaves_parked_steps_alone_and_the_end_of_a_task_takes_them_away() {
    let e = engine(&["other"]).await;
    let id = e.start().await;
    claim(&e, 1, &["mine"]).await;
    e.clock(3600).await;
    let resent: i32 = sqlx::query_scalar("select resent from tasker.finalize_tasks(100)")
        .fetch_one(e.pool())
        .await
        .unwrap();
    assert_eq!((resent, e.depth(QUEUE).await), (0, 0));
    e.text("select tasker.cancel_task($1)::text", id).await;
    assert_eq!(count(&e, "tasker.parked_steps").await, 0);
    assert_invariants(e.pool()).await;
}

#[tokio::test]
async fn a_limit_holds_for_the_queue_and_for_each_handler_beside_it() {
    let e = engine(&["mine", "other"]).await;
    e.start().await;
    claim(&e, 10, &["mine"]).await;
    run(&e, "select tasker.limit_namespace('test', 3)").await;
    for _ in 0..10 {
        e.start().await;
    }
    e.enqueue_ready().await;
    // One of "mine" is claimed already, one of "other" was parked before.
    assert_eq!((e.depth(QUEUE).await, count(&e, "tasker.parked_steps").await), (4, 3));
    assert_eq!(
        claim(&e, 10, &["mine"]).await.len(),
        3,
        "what is parked takes no room in the queue"
    );
    e.enqueue_ready().await;
    assert_eq!((e.depth(QUEUE).await, count(&e, "tasker.parked_steps").await), (7, 3));
    let held: (i64, i64) =
        sqlx::query_as("select parked, held from tasker.queue_overview where namespace = 'test'")
            .fetch_one(e.pool())
            .await
            .unwrap();
    assert_eq!(held, (3, 12));
    assert_invariants(e.pool()).await;
}

#[tokio::test]
async fn every_view_says_that_no_live_worker_has_the_handler() {
    let e = engine(&["charg_card"]).await;
    let id = e.start().await;
    beat(&e, e.worker, &["charge_card"]).await;
    let why = "no live worker has the handler charg_card";
    let views = [
        "select waiting_for from tasker.step_overview where task_id = $1",
        "select waiting_for from tasker.task_overview where task_id = $1",
        "select waiting_for from tasker.show_step($1, 'charg_card')",
        "select waiting_for from tasker.parked_overview where $1 is not null",
    ];
    claim(&e, 1, &["charge_card"]).await;
    for view in views {
        assert_eq!(e.text(view, id).await, why, "{view}");
    }
    let warnings: Vec<String> =
        sqlx::query_scalar("select message from tasker.template_warnings($1)")
            .bind(flow_of(&["charg_card", "charge_card"]))
            .fetch_all(e.pool())
            .await
            .unwrap();
    assert!(warnings.len() == 1 && warnings[0].starts_with(why), "{warnings:?}");
    beat(&e, Uuid::now_v7(), &["charg_card"]).await;
    let none: Option<String> =
        sqlx::query_scalar(views[0]).bind(id).fetch_one(e.pool()).await.unwrap();
    assert_eq!(none, None);
}

#[tokio::test]
async fn a_step_that_its_last_worker_left_becomes_a_dead_letter_though_it_is_parked() {
    let e = engine(&["other"]).await;
    e.start().await;
    claim(&e, 1, &["other"]).await;
    e.expire_leases().await;
    claim(&e, 1, &["mine"]).await;
    e.clock(600).await;
    run(&e, "select tasker.sweep_stale(10)").await;
    assert_eq!(count(&e, "tasker.dead_letters where reason = 'worker_unavailable'").await, 1);
}

#[tokio::test]
async fn a_heartbeat_is_bounded_and_no_row_breaks_the_view() {
    let e = Engine::new().await;
    let refused = [
        "select tasker.heartbeat(gen_random_uuid(), array_fill('a'::text, array[101]), '{}')",
        "select tasker.heartbeat(gen_random_uuid(), '{a}', array_fill('a'::text, array[1001]))",
        "select tasker.heartbeat(gen_random_uuid(), '{a}', '{}', jsonb_build_object('x', \
         repeat('x', 9000)))",
        "select tasker.heartbeat(gen_random_uuid(), '{a}', '{}', '{\"n\":1e9000}')",
        "select tasker.heartbeat(gen_random_uuid(), '{a}', '{null}')",
        "select tasker.heartbeat(gen_random_uuid(), '{{a},{b}}', '{}')",
        "select tasker.heartbeat(gen_random_uuid(), null, null)",
        "select tasker.heartbeat(null, '{a}', '{}')",
        "select tasker.heartbeat(gen_random_uuid(), '{a}', '{}', '[1]')",
    ];
    for query in refused {
        assert_eq!(sqlstate(e.pool(), query).await, "TK014", "{query}");
    }
    let info = json!({
        "pid": "abc",
        "concurrency": 1.5,
        "in_flight": -1,
        "push": "maybe",
        "host": {"a": 1},
        "version": null,
    });
    sqlx::query("select tasker.heartbeat(gen_random_uuid(), '{test}', '{h}', $1)")
        .bind(info)
        .execute(e.pool())
        .await
        .unwrap();
    // As somebody who may write the table could leave it.
    run(
        &e,
        "insert into tasker.workers values (gen_random_uuid(), '{{a},{null}}', '{null}', \
        '[7]', now(), now())",
    )
    .await;
    let workers = pgtasker_client::calls::list_workers(e.pool()).await.unwrap();
    assert_eq!(workers.len(), 2);
    let worker = workers.iter().find(|worker| worker.handlers == ["h"]).unwrap();
    assert_eq!((worker.pid, worker.concurrency, worker.in_flight), (None, None, None));
}

async fn done(_: StepContext) -> Result<StepOutcome, StepError> {
    Ok(StepOutcome::success(1))
}

#[tokio::test]
async fn steps_of_a_handler_that_nobody_has_cost_next_to_nothing_until_a_worker_with_it_starts() {
    let world = World::with(flow_of(&["nobody_has"])).await;
    let pool = &world.db.pool;
    let idle = world.worker(|worker| worker.handler("another", done)).await;
    sqlx::query("select tasker.enqueue_tasks('test', 'flow', array_fill('{}'::jsonb, array[200]))")
        .execute(pool)
        .await
        .unwrap();
    eventually("all steps to be parked", SOON, async || {
        let parked: i64 = sqlx::query_scalar("select count(*) from tasker.parked_steps")
            .fetch_one(pool)
            .await
            .unwrap();
        if parked == 200 { Ok(()) } else { Err(parked) }
    })
    .await;
    let late = world.worker(|worker| worker.handler("nobody_has", done)).await;
    eventually("all tasks to be complete", SOON, async || {
        let open: i64 =
            sqlx::query_scalar("select count(*) from tasker.tasks where state <> 'complete'")
                .fetch_one(pool)
                .await
                .unwrap();
        if open == 0 { Ok(()) } else { Err(open) }
    })
    .await;
    let given_back: i64 = sqlx::query_scalar(
        "select count(*) from tasker.step_transitions where to_state = 'pending'",
    )
    .fetch_one(pool)
    .await
    .unwrap();
    assert_eq!(given_back, 0, "parked, and not claimed and given back again and again");
    late.stop().await;
    idle.stop().await;
}
