//! A process is let die at every point there is; another one then finishes what it left behind, and
//! every step counts once. The points are in builds with debug assertions only.

#![cfg(debug_assertions)]

use pgtasker_core::failpoint::POINTS;
use pgtasker_tests::{TestDb, eventually, is_long};
use serde_json::{Value, json};
use sqlx::PgPool;
use std::{
    os::unix::process::ExitStatusExt,
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};
use tokio::{
    process::{Child, Command},
    sync::Semaphore,
    task::{JoinSet, LocalSet, spawn_local},
    time::{sleep, timeout},
};

/// Far longer than anything here takes on an idle machine.
const SOON: Duration = Duration::from_secs(40);
/// After which a process that still lives is given more to do.
const MORE_WORK: Duration = Duration::from_secs(10);
/// Points that are tried one after another in one database, each by a process of its own.
const CHAIN: usize = 7;
/// Databases at the same time.
const AT_ONCE: usize = 2;
const QUEUES: [&str; 3] =
    ["worker_test_queue", "orchestration_task_requests", "orchestration_step_results"];
/// What `abort` ends with.
const SIGABRT: i32 = 6;

/// An effect in the same database: once for each task.
const EFFECTS: &str = "
    create table effects (task_id text);
    create table counted (task_id text, item bigint);
    create function effect(p jsonb) returns void language sql as $$ insert into effects values (p \
    ->> 'task_id') $$;";

/// A step by name, handler, and parents.
type Step = (&'static str, &'static str, &'static [&'static str]);

/// Templates by name, each with its steps and how its task ends.
const SHAPES: [(&str, &[Step], &str); 11] = [
    (
        "diamond",
        &[
            ("a", "noop", &[]),
            ("b", "noop", &["a"]),
            ("c", "noop", &["a"]),
            ("d", "noop", &["b", "c"]),
        ],
        "complete",
    ),
    ("checked", &[("a", "noop", &[])], "complete"),
    ("retried", &[("a", "flaky", &[]), ("b", "noop", &["a"])], "complete"),
    ("failing", &[("a", "broken", &[]), ("b", "noop", &["a"])], "error"),
    ("late", &[("a", "late", &[]), ("b", "noop", &["a"])], "complete"),
    ("slow", &[("a", "slow", &[])], "complete"),
    ("effect", &[("a", "sql", &[]), ("b", "noop", &["a"])], "complete"),
    ("own", &[("a", "own", &[]), ("b", "noop", &["a"])], "complete"),
    ("batch", &[("a", "cut", &[]), ("b", "count", &["a"]), ("c", "noop", &["b"])], "complete"),
    ("lost", &[("a", "lose", &[])], "complete"),
    (MANY, &[("a", "cut_many", &[]), ("b", "noop", &["a"]), ("c", "noop", &["b"])], "complete"),
];
/// Makes enough instances for its result to be processed beside the queue: only for the point that
/// needs it.
const MANY: &str = "many";

fn template(name: &str, steps: &[Step]) -> Value {
    let steps: Vec<Value> = steps
        .iter()
        .map(|(step, handler, parents)| {
            let config = if *handler == "sql" {
                json!({
                    "function": "public.effect",
                })
            } else {
                json!({})
            };
            let kind = match *handler {
                "cut" | "cut_many" => "batchable",
                "count" => "batch_worker",
                _ if (name, *step) == (MANY, "b") => "batch_worker",
                _ => "standard",
            };
            json!({
                "name": step,
                "dependencies": parents,
                "type": kind,
                "handler": {"callable": handler, "config": config},
                "publishes_events": [{"name": "step.done", "condition": "success"}],
                "retry": {"max_attempts": 1_000, "backoff_base_ms": 20, "jitter": false},
            })
        })
        .collect();
    let mut template = json!({
        "namespace": "test",
        "name": name,
        "version": "1",
        "on_failure": "fail",
        "steps": steps,
    });
    if name == "checked" {
        template["input_schema"] = json!({"type": "object", "required": ["n"]});
    }
    template
}

async fn apply(pool: &PgPool, template: Value) {
    sqlx::query("select * from tasker.apply_template($1)")
        .bind(template)
        .execute(pool)
        .await
        .unwrap();
}

async fn enqueue(pool: &PgPool, name: &str) {
    sqlx::query("select tasker.enqueue_task('test', $1, $2)")
        .bind(name)
        .bind(json!({"n": 1}))
        .execute(pool)
        .await
        .unwrap();
}

fn engine(db: &TestDb, failpoint: Option<&str>) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_engine"));
    command.env("DATABASE_URL", &db.url).env_remove("TASKER_FAILPOINT").kill_on_drop(true);
    match failpoint {
        // Where nobody listens.
        Some(point @ "traces.after_call") => command
            .env("TASKER_FAILPOINT", point)
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9"),
        Some(point) => command.env("TASKER_FAILPOINT", point),
        None => command.env("TASKER_LATE", "yes"),
    };
    command.stdout(Stdio::null()).stderr(Stdio::inherit()).stdin(Stdio::null()).spawn().unwrap()
}

/// The end of a process that dies by itself.
async fn death(mut process: Child) -> Result<ExitStatus, &'static str> {
    timeout(SOON, process.wait())
        .await
        .map(|status| status.unwrap())
        .map_err(|_| "it was never reached")
}

/// The end of a process that dies at a point. It gets work again and again: all that there is may
/// go another way, as when steps that run alone leave no permits for what follows from a result.
async fn death_at(pool: &PgPool, point: &str, process: Child) -> Result<ExitStatus, &'static str> {
    let more_work = async {
        loop {
            enqueue_all(pool, point).await;
            sleep(MORE_WORK).await;
        }
    };
    tokio::select! {
        ended = death(process) => ended,
        () = more_work => unreachable!("it goes on and on"),
    }
}

/// A task of each shape that the point needs.
async fn enqueue_all(pool: &PgPool, point: &str) {
    for (name, ..) in SHAPES {
        if name != MANY || point.starts_with("slow_results") {
            enqueue(pool, name).await;
        }
    }
}

/// What the server still does for a dead process has its effect; then nothing is leased any more.
async fn expire_leases(pool: &PgPool) {
    eventually("the dead process to have no sessions", SOON, async || {
        let sql = "select count(*) from pg_stat_activity where datname = current_database() and \
            application_name = 'engine'";
        let left: i64 = sqlx::query_scalar(sql).fetch_one(pool).await.unwrap();
        if left == 0 { Ok(()) } else { Err(left) }
    })
    .await;
    for queue in QUEUES {
        let sql = format!("select pgmq.set_vt('{queue}', msg_id, 0) from pgmq.q_{queue}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(pool).await.unwrap();
    }
}

/// Waits until every task is as it should be.
async fn all_ended(pool: &PgPool) {
    eventually("all tasks to end as they should", SOON, async || {
        let sql = "select t.name, k.state::text from tasker.tasks k join tasker.templates t using \
             (template_id)";
        let tasks: Vec<(String, String)> = sqlx::query_as(sql).fetch_all(pool).await.unwrap();
        let is_right = |(name, state): &(String, String)| {
            SHAPES.iter().any(|(shape, _, end)| shape == name && end == state)
        };
        if tasks.iter().all(is_right) { Ok(()) } else { Err(tasks) }
    })
    .await;
}

/// By the audit, the events, and the effects: each step of each task once, and nothing left to do.
async fn everything_counted_once(pool: &PgPool) -> Result<(), String> {
    let wrong: Vec<(String, String, i64)> = sqlx::query_as(
        "select t.name, s.name, count(a.task_id)
           from tasker.steps s join tasker.tasks k using (task_id) join tasker.templates t using \
           (template_id)
           left join tasker.step_transitions a on a.task_id = s.task_id and a.name = s.name and \
           a.to_state = 'complete'
          group by 1, 2, s.task_id having count(a.task_id) <> case when t.name = 'failing' then 0 \
          else 1 end",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    if !wrong.is_empty() {
        return Err(format!("completions of steps: {wrong:?}"));
    }
    // full join: neither a step without its event nor an event of a step that did not complete by
    // that claim.
    let events: Vec<String> = sqlx::query_scalar(
        "select format('%s of %s: %s events, claim %s', coalesce(s.name, e.step), \
         coalesce(s.task_id, e.task_id), e.n, s.claim_no)
           from (select * from tasker.steps where state = 'complete') s
           full join (select (message ->> 'task_id')::uuid as task_id, message ->> 'step' as \
           step, (message ->> 'claim_no')::int as claim_no, count(*) as n
                        from pgmq.q_test_domain_events group by 1, 2, 3) e on e.task_id = \
                        s.task_id and e.step = s.name and e.claim_no = s.claim_no
          where e.n is distinct from 1 or s.name is null",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    if !events.is_empty() {
        return Err(format!("events of completed steps: {events:?}"));
    }
    let effects: (i64, i64, i64) = sqlx::query_as(
        "select count(*), count(distinct task_id),
                (select count(*) from tasker.tasks join tasker.templates t using (template_id) \
                where t.name in ('effect', 'own')) from effects",
    )
    .fetch_one(pool)
    .await
    .unwrap();
    if effects.0 != effects.2 || effects.1 != effects.2 {
        return Err(format!("effects, different ones, tasks: {effects:?}"));
    }
    let counted: (i64, i64, i64) = sqlx::query_as(
        "select count(*), count(distinct (task_id, item)),
                5 * (select count(*) from tasker.tasks join tasker.templates t using \
                (template_id) where t.name = 'batch') from counted",
    )
    .fetch_one(pool)
    .await
    .unwrap();
    if counted.0 != counted.2 || counted.1 != counted.2 {
        return Err(format!("items counted, different ones, all there are: {counted:?}"));
    }
    Ok(())
}

/// A process dies at each of the points, the next one finding what it left; the last one finishes
/// everything.
async fn survives(points: &[&str]) -> Result<(), String> {
    let db = TestDb::new().await;
    sqlx::raw_sql(EFFECTS).execute(&db.pool).await.unwrap();
    // On a slow machine one step may be held by several of the processes that die here.
    let bound = "update tasker.settings set max_worker_losses = 100, max_lease_losses = 1000";
    sqlx::raw_sql(bound).execute(&db.pool).await.unwrap();
    for (name, steps, _) in SHAPES {
        apply(&db.pool, template(name, steps)).await;
    }
    for point in points {
        if *point == "worker.before_alone" {
            // As if two workers had died with these.
            enqueue(&db.pool, "slow").await;
            let suspect =
                "update tasker.steps s set worker_losses = 2, lease_losses = 2 from tasker.tasks t
                            where t.task_id = s.task_id and t.name = 'slow'";
            sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
                "select tasker.start_tasks(100); {suspect}"
            )))
            .execute(&db.pool)
            .await
            .unwrap();
        }
        // Actors call once before they have work.
        let armed = if point.ends_with(".before_call") {
            format!("{point}:2")
        } else {
            (*point).to_owned()
        };
        let process = engine(&db, Some(&armed));
        let status =
            death_at(&db.pool, point, process).await.map_err(|why| format!("{point}: {why}"))?;
        if status.signal() != Some(SIGABRT) {
            return Err(format!("{point}: the process ended by itself: {status}"));
        }
        expire_leases(&db.pool).await;
    }
    let _survivor = engine(&db, None);
    all_ended(&db.pool).await;
    everything_counted_once(&db.pool).await?;
    for queue in QUEUES {
        eventually("the queues to be empty", SOON, async || {
            let length = "select queue_length from pgmq.metrics($1)";
            let left: i64 =
                sqlx::query_scalar(length).bind(queue).fetch_one(&db.pool).await.unwrap();
            if left == 0 { Ok(()) } else { Err(format!("{left} in {queue}")) }
        })
        .await;
    }
    Ok(())
}

#[tokio::test]
async fn whatever_a_process_dies_at_another_one_finishes_its_work_once() {
    let failed = LocalSet::new().run_until(failures()).await;
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

async fn failures() -> Vec<String> {
    let (places, mut running) = (Arc::new(Semaphore::new(AT_ONCE)), JoinSet::new());
    // By default every third; `.ci/run` sets LONG_TESTS and takes all.
    let points: Vec<_> = POINTS.iter().copied().step_by(if is_long() { 1 } else { 3 }).collect();
    for points in points.chunks(CHAIN) {
        let points = points.to_vec();
        let places = Arc::clone(&places);
        running.spawn_local(async move {
            let _place = places.acquire().await.unwrap();
            // A task of its own, so that a panic is one of these points.
            let ended = spawn_local({
                let points = points.clone();
                async move { survives(&points).await }
            });
            (points, ended.await)
        });
    }
    let mut failed = Vec::new();
    while let Some(ended) = running.join_next().await {
        match ended.unwrap() {
            (_, Ok(Ok(()))) => {}
            (points, Ok(Err(why))) => failed.push(format!("{points:?}: {why}")),
            (points, Err(panic)) => failed.push(format!("{points:?}: {panic}")),
        }
    }
    failed
}

/// With three attempts it took its neighbours into error with it; now it dies alone at last.
#[tokio::test]
async fn a_step_that_kills_its_process_ends_alone_and_its_neighbours_end_well() {
    let db = TestDb::new().await;
    for (name, handler) in [("poison", "die"), ("slow", "slow")] {
        let mut flow = template(name, &[("a", handler, &[])]);
        flow["steps"][0]["retry"]["max_attempts"] = json!(1);
        apply(&db.pool, flow).await;
    }
    for name in ["slow", "slow", "poison", "slow"] {
        enqueue(&db.pool, name).await;
    }
    for _ in 0..4 {
        let status = death(engine(&db, None)).await.unwrap();
        assert_eq!(status.signal(), Some(SIGABRT));
        // As if the time had passed in which a worker that lives is seen again.
        sqlx::query("delete from tasker.workers").execute(&db.pool).await.unwrap();
        expire_leases(&db.pool).await;
    }
    let mut last = engine(&db, None);
    let ends = "select s.state::text, s.attempt, s.error ->> 'code' from tasker.steps s join \
        tasker.tasks t using (task_id)
                 where t.name = 'poison' and s.state = 'error'";
    let end: (String, i32, String) = eventually("the step to fail", SOON, async || {
        sqlx::query_as(ends).fetch_optional(&db.pool).await.unwrap()
    })
    .await;
    assert_eq!(end, ("error".to_owned(), 0, "worker_lost".to_owned()));
    eventually("its neighbours", SOON, async || {
        let done = "select 1 from tasker.tasks where state = 'complete' having count(*) = 3";
        sqlx::query(done).fetch_optional(&db.pool).await.unwrap()
    })
    .await;
    assert_eq!(last.try_wait().unwrap(), None);
}
