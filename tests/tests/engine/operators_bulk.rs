//! What operators do to many tasks at once, and while workers and orchestrators run.

#[allow(dead_code, reason = "each test file uses some of it")]
use crate::operations::{DIAMOND, complete_next, count, fail_for_good, reasons};
use crate::world::{SOON, World};
use pgtasker_tests::{
    engine::{Engine, flow},
    eventually,
    invariants::assert_invariants,
};
use pgtasker_worker::{StepContext, StepError, StepOutcome};
use serde_json::{Value, json};
use sqlx::PgPool;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use uuid::Uuid;

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
    assert_invariants(e.pool()).await;
    assert_eq!(e.enqueue_ready().await, 3);
    assert_eq!(e.drain().await, ["a", "b", "b", "b", "b", "c", "d", "d", "d", "d"]);
    for id in ids {
        assert_eq!(e.task_state(id).await, "complete");
        assert_eq!(
            e.text("select result::text from tasker.steps where task_id = $1 and name = 'c'", id)
                .await,
            "\"kept\""
        );
        assert_eq!(
            e.text("select claim_no::text from tasker.steps where task_id = $1 and name = 'c'", id)
                .await,
            "1"
        );
        assert_eq!(reasons(&e, id).await, ["retried by ana (login postgres): network is back"]);
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
    assert_eq!(reasons(&e, ids[0]).await, ["cancelled by ana (login postgres): wrong price"]);
    assert_eq!((e.enqueue_ready().await, e.depth("worker_test_queue").await), (0, 1));
}

#[tokio::test]
async fn a_filter_must_name_something_and_be_of_the_right_types() {
    let e = Engine::new().await;
    e.apply_flow(DIAMOND).await;
    let id = e.start().await;
    let refused = async |filter: Value| {
        let error = sqlx::query("select tasker.cancel_tasks($1)")
            .bind(filter)
            .execute(e.pool())
            .await
            .unwrap_err();
        let db = error.as_database_error().unwrap();
        assert_eq!(db.code().unwrap(), "TK030");
        db.message().to_owned()
    };
    assert_eq!(refused(json!({})).await, "an empty filter would match every task");
    assert!(refused(json!([])).await.contains("must be a JSON object"));
    assert_eq!(
        refused(json!({
            "namespase": "test",
            "states": ["done"],
            "task_ids": [7],
            "created_after": "soon",
            "name": null,
            "correlation_id": "x",
            "version": 1,
        }))
        .await,
        "\"correlation_id\" must be a uuid; \"created_after\" must be a time such as \
         2026-01-31T09:00:00Z; \"name\" must be a string; \
         unknown key \"namespase\"; \"states\" must be an array of task states; \"task_ids\" must \
         be an array of uuids; \"version\" must be a string"
    );
    let counted = async |filter: Value| -> i64 {
        sqlx::query_scalar("select tasker.count_tasks($1)")
            .bind(filter)
            .fetch_one(e.pool())
            .await
            .unwrap()
    };
    assert_eq!(counted(json!({"states": []})).await, 0, "no state is not every state");
    assert_eq!(counted(json!({"task_ids": []})).await, 0);
    let all = json!({
        "namespace": "test",
        "name": "flow",
        "version": "1",
        "states": ["steps_in_process"],
        "task_ids": [id],
        "correlation_id": id,
        "created_after": "2020-01-01T00:00:00Z",
        "created_before": "2999-01-01T00:00:00Z",
    });
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
    let template =
        flow(&[("a", &[]), ("b", &[]), ("c", &["a"])]).to_string().replace("noop", "work");
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
    let worker = world
        .worker(|w| w.lease(Duration::from_secs(60)).concurrency(2).handler("work", until_told))
        .await;
    let first = world.enqueue(json!({})).await;
    eventually("both steps to run", SOON, async || started.load(Ordering::SeqCst) == 2).await;
    let second = world.enqueue(json!({})).await;
    eventually("the second task to begin", SOON, async || {
        step_states(&world, second).await.len() == 3
    })
    .await;

    let cancelled_at = Instant::now();
    for (id, query) in [
        (second, "select tasker.cancel_task($1, 'wrong order', 'ana')"),
        (
            first,
            "select tasker.cancel_tasks(jsonb_build_object('task_ids', jsonb_build_array($1)), \
             'wrong order', 'ana')",
        ),
    ] {
        sqlx::query(query).bind(id).execute(&world.db.pool).await.unwrap();
    }
    eventually("the handlers to be told", SOON, async || told.load(Ordering::SeqCst) == 2).await;
    assert!(cancelled_at.elapsed() < Duration::from_secs(5), "{:?}", cancelled_at.elapsed());

    // The worker is free again and takes the next task: what was cancelled would have been before
    // it.
    let third = world.enqueue(json!({})).await;
    eventually("the third task to run", SOON, async || started.load(Ordering::SeqCst) == 4).await;
    let attempts: i64 =
        sqlx::query_scalar("select sum(attempt) from tasker.steps where task_id = $1")
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
    sqlx::query("select tasker.resolve_task($1)")
        .bind(third)
        .execute(&world.db.pool)
        .await
        .unwrap();
    worker.stop().await;
}

/// A nested loop would take minutes: planned on fresh tables, which look small.
#[tokio::test]
async fn a_task_of_twenty_thousand_steps_is_helped_in_linear_time() {
    let e = Engine::new().await;
    e.apply_flow(&[("c0", &[])]).await;
    let mut one = e.pool().acquire().await.unwrap();
    for query in [
        "insert into tasker.template_steps select (jsonb_populate_record(p, \
         jsonb_build_object('name', 'c' || i, 'position', i, 'level', 1, \
             'parent_count', case i when 20000 then 19999 else 1 end))).* from \
             tasker.template_steps p, generate_series(1, 20000) i",
        "insert into tasker.template_edges select p.template_id, 'c0', 'c' || i from \
         tasker.templates p, generate_series(1, 19999) i",
        "insert into tasker.template_edges select p.template_id, 'c' || i, 'c20000' from \
         tasker.templates p, generate_series(1, 19999) i",
        "select tasker.enqueue_task('test', 'flow')",
        "select * from tasker.start_tasks(1)",
        "set statement_timeout = '30s'",
        "select tasker.resolve_step(task_id, 'c0') from tasker.tasks",
        "update tasker.steps set state = 'cancelled' where waiting_on = 0 and state = 'pending'",
        "select tasker.retry_step(task_id, 'c1') from tasker.tasks",
        "select tasker.replay_tasks(array[task_id]) from tasker.tasks",
    ] {
        sqlx::query(query).execute(&mut *one).await.unwrap();
    }
    let held: i32 =
        sqlx::query_scalar("select held from tasker.tasks").fetch_one(e.pool()).await.unwrap();
    assert_eq!(held, 19_999);
}

/// Calls every operators' function at random; the invariants hold between any two calls.
async fn operate(pool: PgPool, ids: Vec<Uuid>, operator: usize) {
    for n in 0..150_usize {
        // The steps of a multiplicative generator are random enough, and the same in every run.
        let random = (n * 3 + operator + 1) * 7_919;
        let (id, step) = (ids[random % ids.len()], ["a", "b", "c", "d"][random / 7 % 4]);
        if n.is_multiple_of(5) {
            assert_invariants(&pool).await;
        }
        let call = match random / 11 % 8 {
            0..4 => "select tasker.retry_step($1, $2)::text",
            4 => "select tasker.resolve_step($1, $2, '1')::text",
            5 => "select tasker.retry_tasks(jsonb_build_object('task_ids', array[$1]), $2)::text",
            6 => {
                "select tasker.retry_tasks('{\"namespace\": \"test\"}', $1::text || $2, p_max => \
                 5)::text"
            }
            _ if n.is_multiple_of(5) => "select tasker.cancel_task($1, $2)::text",
            _ => "select tasker.reset_task($1, $2)::text",
        };
        if let Err(error) = sqlx::query(call).bind(id).bind(step).execute(&pool).await {
            let code = error.as_database_error().unwrap().code().unwrap().into_owned();
            assert!(
                ["TK031", "TK032", "TK033", "TK034"].contains(&code.as_str()),
                "{call}: {error}"
            );
        }
    }
}

/// Every task is complete where all its steps are satisfied, nothing was lost, and operators acted.
async fn all_ended_well(pool: &PgPool) {
    let ends: Vec<(String, i64)> = sqlx::query_as(
        "select t.state::text, count(*) \
         from tasker.tasks t \
         where (t.state = 'complete') = ( \
             select bool_and(s.satisfied) from tasker.steps s where s.task_id = t.task_id \
         ) \
         group by 1 \
         order by 1",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    assert_eq!(ends.iter().map(|(_, n)| n).sum::<i64>(), 40, "{ends:?}");
    assert!(ends.iter().any(|(state, n)| state == "complete" && *n > 0), "{ends:?}");
    let deadlocks: i64 = sqlx::query_scalar(
        "select deadlocks from pg_stat_database where datname = current_database()",
    )
    .fetch_one(pool)
    .await
    .unwrap();
    assert_eq!(deadlocks, 0);
    let dead: i64 =
        sqlx::query_scalar("select count(*) from tasker.dead_letters where reason = 'bad_message'")
            .fetch_one(pool)
            .await
            .unwrap();
    assert_eq!(dead, 0, "no message was unusable");
    let reasons: i64 = sqlx::query_scalar(
        "select count(distinct split_part(reason, ' by ', 1)) \
         from tasker.step_transitions \
         where reason ~ '^(retried|resolved|cancelled|reset) by '",
    )
    .fetch_one(pool)
    .await
    .unwrap();
    assert!(reasons >= 3, "operators did something: {reasons}");
}

/// Operators act while two orchestrators and two workers run steps of which a third fail.
#[tokio::test]
async fn operators_and_the_engine_may_act_at_the_same_time() {
    let template = flow(DIAMOND).to_string().replace("noop", "work");
    let world = World::with(serde_json::from_str(&template).unwrap()).await;
    world.orchestrator().await;
    let turn = Arc::new(AtomicUsize::new(0));
    let work = || {
        let turn = Arc::clone(&turn);
        move |_: StepContext| {
            let fails = turn.fetch_add(1, Ordering::SeqCst).is_multiple_of(3);
            async move {
                tokio::time::sleep(Duration::from_millis(2)).await;
                if fails { Err(StepError::permanent("boom")) } else { Ok(StepOutcome::success(1)) }
            }
        }
    };
    let workers = [
        world.worker(|w| w.concurrency(4).handler("work", work())).await,
        world.worker(|w| w.concurrency(4).handler("work", work())).await,
    ];
    let mut ids = Vec::new();
    for _ in 0..40 {
        ids.push(world.enqueue(json!({})).await);
    }
    let operators = (0..3).map(|n| tokio::spawn(operate(world.db.pool.clone(), ids.clone(), n)));
    for operator in operators.collect::<Vec<_>>() {
        operator.await.unwrap();
    }
    // In the end nothing fails for long, so that what is retried often enough is complete.
    eventually("every task to end", SOON * 3, async || {
        let pool = &world.db.pool;
        sqlx::query("select tasker.retry_tasks('{\"namespace\": \"test\"}')")
            .execute(pool)
            .await
            .unwrap();
        let left: Vec<String> =
            sqlx::query_scalar("select state::text from tasker.tasks where completed_at is null")
                .fetch_all(pool)
                .await
                .unwrap();
        if left.is_empty() { Ok(()) } else { Err(left) }
    })
    .await;
    all_ended_well(&world.db.pool).await;
    for worker in workers {
        worker.stop().await;
    }
}
