//! A step completed in its handler's own transaction: what the handler wrote and the end of its
//! step commit together or not at all, and nothing stays open.

use crate::world::{SOON, World};
use pgtasker_tests::eventually;
use pgtasker_worker::{StepContext, StepError, StepOutcome};
use serde_json::{Value, json};
use sqlx::{PgPool, query_scalar};
use uuid::Uuid;

/// A world with the table `effects`, an orchestrator, and a worker with this handler for the only
/// step.
async fn world<F, Fut>(timeout_seconds: i64, handler: F) -> World
where
    F: Fn(StepContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<StepOutcome, StepError>> + Send + 'static,
{
    let world = World::with(json!({"namespace": "test", "name": "flow", "version": "1", "steps": [
        {"name": "only", "handler": {"callable": "own"}, "timeout_seconds": timeout_seconds,
         "retry": {"max_attempts": 9, "backoff_base_ms": 0, "jitter": false}}]}))
    .await;
    sqlx::query("create table effects (attempt int, xid text default pg_current_xact_id()::text)")
        .execute(&world.db.pool)
        .await
        .unwrap();
    let pool = world.db.pool.clone();
    world.worker(|w| w.state(pool).handler("own", handler)).await;
    world
}

async fn write(tx: &mut sqlx::PgConnection, ctx: &StepContext) -> Result<(), StepError> {
    sqlx::query("insert into effects values ($1)").bind(ctx.attempt()).execute(tx).await?;
    Ok(())
}

async fn effects(world: &World) -> Vec<i32> {
    sqlx::query_scalar("select attempt from effects order by 1")
        .fetch_all(&world.db.pool)
        .await
        .unwrap()
}

/// The hops of the step, which show a second submit.
async fn path(world: &World, id: Uuid) -> Vec<String> {
    sqlx::query_scalar(
        "select to_state::text from tasker.step_transitions where task_id = $1 order by \
         transition_id",
    )
    .bind(id)
    .fetch_all(&world.db.pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn the_effect_and_the_completion_are_one_transaction_and_nothing_is_submitted_twice() {
    let world = world(60, async |ctx| {
        let mut tx = ctx.begin().await?;
        write(&mut tx, &ctx).await?;
        let settings: (String, String, bool) = sqlx::query_as(
            "select current_setting('transaction_isolation'), \
             current_setting('client_connection_check_interval'),
                    current_setting('application_name') like 'tasker ' || $1 || ' %'",
        )
        .bind(ctx.task_id().to_string())
        .fetch_one(&mut *tx)
        .await?;
        tx.complete(json!(settings)).await?;
        // What the handler does with its outcome after that has no meaning any more.
        Err(StepError::permanent("too late"))
    })
    .await;
    let id = world.enqueue(json!({})).await;
    assert_eq!(world.result(id).await, json!({"only": ["read committed", "1s", true]}));
    assert_eq!(
        path(&world, id).await,
        ["enqueued", "in_progress", "enqueued_for_orchestration", "complete"]
    );
    let (effect, completion): (String, String) = sqlx::query_as(
        "select e.xid, s.xmin::text from effects e, tasker.step_transitions s where s.to_state = \
         'enqueued_for_orchestration'",
    )
    .fetch_one(&world.db.pool)
    .await
    .unwrap();
    assert_eq!(effect, completion);
}

#[tokio::test]
async fn an_error_before_completion_rolls_back_and_the_step_is_tried_again() {
    let world = world(60, async |ctx| {
        let mut tx = ctx.begin().await?;
        write(&mut tx, &ctx).await?;
        if ctx.attempt() == 1 {
            sqlx::query("select 1 / 0").execute(&mut *tx).await?;
        }
        if ctx.attempt() == 2 {
            panic!("with its transaction open");
        }
        tx.complete(7).await
    })
    .await;
    let id = world.enqueue(json!({})).await;
    assert_eq!(world.result(id).await, json!({"only": 7}));
    assert_eq!(effects(&world).await, [3]);
    world.said(id, "only", "division by zero").await;
}

/// Two at once of one step could wait for each other, and the first to commit would leave nothing
/// to complete.
#[tokio::test]
async fn a_step_has_one_transaction_at_a_time() {
    let world = world(60, async |ctx| {
        let first = ctx.begin().await?;
        assert!(ctx.begin().await.unwrap_err().message().contains("open already"));
        first.rollback().await;
        ctx.begin().await?.complete(1).await
    })
    .await;
    let id = world.enqueue(json!({})).await;
    assert_eq!(world.result(id).await, json!({"only": 1}));
}

/// Its future is dropped in the midst of a statement that would hold the row for a minute.
#[tokio::test]
async fn a_handler_that_takes_too_long_leaves_no_transaction_open() {
    let world = world(1, async |ctx| {
        let mut tx = ctx.begin().await?;
        write(&mut tx, &ctx).await?;
        if ctx.attempt() == 1 {
            // Longer than the step may take, in statements that each may still run.
            sqlx::query("set local statement_timeout = 0").execute(&mut *tx).await?;
            sqlx::query("select pg_sleep(60)").execute(&mut *tx).await?;
        }
        tx.complete(ctx.attempt()).await
    })
    .await;
    let id = world.enqueue(json!({})).await;
    world.said(id, "only", "timed out").await;
    eventually("the sleeping backend to end", SOON, async || {
        let sleeping: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity where datname = current_database() and state = \
             'active' and query like 'select pg_sleep(60)%'",
        )
        .fetch_one(&world.db.pool)
        .await
        .unwrap();
        if sleeping == 0 { Ok(()) } else { Err(sleeping) }
    })
    .await;
    // The next attempt may have had to wait for the connection.
    let result = world.result(id).await;
    assert_eq!(
        json!(effects(&world).await),
        json!([result["only"]]),
        "that of the attempt that completed"
    );
}

/// The connection dies within the commit: the server rolled back, and the handler cannot know.
#[tokio::test]
async fn a_commit_that_dies_runs_the_step_again() {
    let world = world(60, async |ctx| {
        let mut tx = ctx.begin().await?;
        write(&mut tx, &ctx).await?;
        let done = tx.complete(ctx.claim_no()).await;
        assert_eq!(done.is_ok(), ctx.claim_no() == 2, "{done:?}");
        done
    })
    .await;
    sqlx::raw_sql(
        "create sequence commits;
         create function die() returns trigger language plpgsql as $$ begin
             if nextval('commits') = 1 then perform pg_terminate_backend(pg_backend_pid()); end if;
             return null;
         end $$;
         create constraint trigger die after insert on effects deferrable initially deferred for \
         each row execute function die();",
    )
    .execute(&world.db.pool)
    .await
    .unwrap();
    let id = world.enqueue(json!({})).await;
    assert_eq!(world.result(id).await, json!({"only": 2}));
    assert_eq!(effects(&world).await, [1], "once, and what the server took is no attempt");
}

/// The commit took place and its answer was lost: what the worker submits then does not count. The
/// handler does by itself what a worker in another language would: the call is the last statement
/// of its own transaction.
#[tokio::test]
async fn a_failure_after_a_commit_whose_answer_was_lost_is_a_duplicate() {
    let world = world(60, async |ctx| {
        let mut tx = ctx.state::<PgPool>()?.begin().await?;
        write(&mut tx, &ctx).await?;
        let outcome = json!({"type": "success", "result": "by hand"});
        let status: String = sqlx::query_scalar("select status from tasker.submit_results($1, $2)")
            .bind(Uuid::now_v7())
            .bind(json!([{
                "task_id": ctx.task_id(),
                "step": ctx.step(),
                "claim_no": ctx.claim_no(),
                "outcome": outcome,
            }]))
            .fetch_one(&mut *tx)
            .await?;
        assert_eq!(status, "accepted");
        tx.commit().await?;
        Err(StepError::retryable("the connection was lost"))
    })
    .await;
    let id = world.enqueue(json!({})).await;
    assert_eq!(world.result(id).await, json!({"only": "by hand"}));
    assert_eq!(effects(&world).await, [1]);
    assert_eq!(
        path(&world, id).await,
        ["enqueued", "in_progress", "enqueued_for_orchestration", "complete"]
    );
}

#[tokio::test]
async fn a_result_that_cannot_be_stored_rolls_back_and_fails_the_step() {
    let world = world(60, async |ctx| {
        let mut tx = ctx.begin().await?;
        write(&mut tx, &ctx).await?;
        tx.complete(json!({"text": "a\0b"})).await
    })
    .await;
    let id = world.enqueue(json!({})).await;
    assert_eq!(world.ended(id).await, "blocked_by_failures");
    let (_, attempt, _, error) = world.step(id, "only").await;
    assert_eq!((attempt, &error.as_ref().unwrap()["code"]), (1, &json!("invalid_result")));
    assert!(effects(&world).await.is_empty(), "{error:?}");
}

/// `--error-code 23505` finds it, as it does where a `sql` handler failed.
#[tokio::test]
async fn an_error_of_the_database_keeps_its_code_and_its_words() {
    let world = world(60, async |ctx| {
        let pool = ctx.state::<PgPool>()?;
        sqlx::query("select 1 / 0").execute(pool).await?;
        Ok(StepOutcome::success(()))
    })
    .await;
    let id = world.enqueue(json!({})).await;
    world.ended(id).await;
    let error = world.step(id, "only").await.3.unwrap();
    assert_eq!(error["code"], "22012", "{error}");
    assert_eq!(error["message"], "error returned from database: division by zero");
}

/// Not a transaction of its own, but the same care: what jsonb cannot hold costs its step and no
/// other.
#[tokio::test]
async fn one_result_with_a_nul_fails_its_step_and_the_rest_of_its_batch_goes_on() {
    let world = world(60, async |ctx| match ctx.context::<Value>()?["kind"].as_str() {
        Some("nul") => Ok(StepOutcome::success(json!({"list": [1, "a\0b"]}))),
        Some("message") => Ok(StepOutcome::permanent("line one\0line two")),
        _ => Ok(StepOutcome::success("fine")),
    })
    .await;
    let mut ids = Vec::new();
    for kind in ["good", "nul", "good", "message", "good"] {
        ids.push(world.enqueue(json!({"kind": kind})).await);
    }
    let mut errors = Vec::new();
    for id in &ids {
        world.ended(*id).await;
        errors.push(world.step(*id, "only").await.3);
    }
    assert_eq!([&errors[0], &errors[2], &errors[4]], [&None; 3]);
    let nul = errors[1].take().unwrap();
    assert_eq!((&nul["code"], &nul["retryable"]), (&json!("invalid_result"), &json!(false)));
    assert!(nul["message"].as_str().unwrap().ends_with("NUL (\\u0000), at /list/1"), "{nul}");
    assert_eq!(errors[3].take().unwrap()["message"], "line one\u{fffd}line two");
}

/// jsonb holds depths that serde_json does not read.
const DEEP: &str = "select tasker.enqueue_task('test', 'flow', format('{\"n\": %s1%s}', \
    repeat('[', 200), repeat(']', 200))::jsonb)";

/// The same before there are steps: the orchestrator reads contexts where the template has a schema
/// for them.
#[tokio::test]
async fn a_context_that_the_orchestrator_cannot_read_fails_its_task_and_no_other() {
    let world = World::new().await;
    world
        .apply(json!({
            "namespace": "test",
            "name": "flow",
            "version": "1",
            "input_schema": {"type": "object"},
            "steps": [{"name": "only", "handler": {"callable": "noop"}}],
        }))
        .await;
    let bad: Uuid = query_scalar(DEEP).fetch_one(&world.db.pool).await.unwrap();
    let good = world.enqueue(json!({"n": 1})).await;
    world.orchestrator().await;
    world.worker(|w| w).await;
    assert_eq!(world.result(good).await, json!({"only": null}));
    assert_eq!(world.ended(bad).await, "error");
    let error: Value = query_scalar("select error from tasker.tasks where task_id = $1")
        .bind(bad)
        .fetch_one(&world.db.pool)
        .await
        .unwrap();
    assert_eq!(error["code"], "invalid_context", "{error}");
}

#[tokio::test]
async fn a_context_that_the_worker_cannot_read_fails_its_step_and_no_other() {
    let world =
        world(60, async |ctx| ctx.context::<Value>().map(|_| StepOutcome::success("fine"))).await;
    let good = world.enqueue(json!({})).await;
    let bad: Uuid = query_scalar(DEEP).fetch_one(&world.db.pool).await.unwrap();
    let after = world.enqueue(json!({})).await;
    for id in [good, after] {
        assert_eq!(world.result(id).await, json!({"only": "fine"}));
    }
    assert_eq!(world.ended(bad).await, "blocked_by_failures");
    let (_, attempt, _, error) = world.step(bad, "only").await;
    let error = error.unwrap();
    assert_eq!((attempt, &error["code"]), (1, &json!("invalid_input")));
    assert!(
        error["message"].as_str().unwrap().starts_with("context: it is nested more than"),
        "{error}"
    );
}
