//! The work: tasks of mixed shapes, enqueued so that some are always open, and their handlers.

use crate::{events, growing, rng::Rng};
use pgtasker_examples::transfer;
use pgtasker_worker::{Batchable, StepContext, StepError, StepOutcome, WorkerBuilder};
use serde_json::{Value, json};
use sqlx::PgPool;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

/// All templates but the transfer are in it.
pub const NAMESPACE: &str = "faults";
/// Between these the money moves. So much that nobody ever runs out.
pub const ACCOUNTS: i64 = 20;
/// In each, in cents.
pub const BALANCE: i64 = 1_000_000_000;
/// What a handler says that fails as it should.
pub const PLANNED: &str = "as it should";
/// Results of a step that does its work in parts.
const PART_CLAIMS: u64 = 4;
/// Tasks enqueued by one call.
const BATCH: usize = 25;

/// Name, and steps with their parents and handlers.
type Shape = (&'static str, &'static [(&'static str, &'static [&'static str], &'static str)]);

const SHAPES: &[Shape] = &[
    (
        "linear",
        &[("a", &[], "mark"), ("b", &["a"], "mark"), ("c", &["b"], "mark"), ("d", &["c"], "mark")],
    ),
    (
        "diamond",
        &[
            ("a", &[], "mark"),
            ("b", &["a"], "mark"),
            ("c", &["a"], "slow"),
            ("d", &["b", "c"], "mark"),
        ],
    ),
    (
        "tree",
        &[
            ("a", &[], "mark"),
            ("b1", &["a"], "mark"),
            ("b2", &["a"], "flaky"),
            ("c1", &["b1"], "mark"),
            ("c2", &["b1"], "slow"),
            ("c3", &["b2"], "mark"),
            ("c4", &["b2"], "mark"),
            ("d", &["c1", "c2", "c3", "c4"], "mark"),
        ],
    ),
    ("retries", &[("a", &[], "flaky"), ("b", &["a"], "flaky"), ("c", &["b"], "mark")]),
    ("parts", &[("a", &[], "mark"), ("b", &["a"], "parts"), ("c", &["b"], "parts")]),
    ("effects", &[("a", &[], "sql"), ("b", &["a"], "sql"), ("c", &["b"], "sql")]),
    (
        "fails",
        &[
            ("a", &[], "mark"),
            ("b", &["a"], "fail"),
            ("c", &["a"], "slow"),
            ("d", &["b", "c"], "mark"),
        ],
    ),
];

/// Tables and templates.
pub async fn install(pool: &PgPool) {
    sqlx::raw_sql(include_str!("effects.sql")).execute(pool).await.unwrap();
    for (name, steps) in SHAPES {
        let steps: Vec<Value> = steps
            .iter()
            .map(|(name, parents, handler)| {
                let config = match *handler {
                    "sql" => json!({"function": "faults.effect"}),
                    _ => json!({}),
                };
                json!({
                    "name": name,
                    "dependencies": parents,
                    "handler": {"callable": handler, "config": config},
                    "publishes_events": events::declared(handler),
                    "retry": {"max_attempts": 50, "backoff": "fixed", "backoff_base_ms": 50},
                })
            })
            .collect();
        let template = json!({
            "namespace": NAMESPACE,
            "name": name,
            "version": "1",
            "on_failure": "fail",
            "steps": steps,
        });
        sqlx::query("select * from tasker.apply_template($1)")
            .bind(template)
            .execute(pool)
            .await
            .unwrap();
    }
    growing::install(pool).await;
    // As many as attempts: here workers die by chance, every second.
    let bounds = "update tasker.settings set max_lease_losses = 50, max_worker_losses = 50";
    sqlx::query(bounds).execute(pool).await.unwrap();
    transfer::install(pool, ACCOUNTS, BALANCE).await.unwrap();
    events::install(pool).await;
}

/// Gives a worker the handlers.
pub fn register(builder: WorkerBuilder) -> WorkerBuilder {
    transfer::register(builder.namespace(NAMESPACE))
        .handler("mark", |ctx| mark(ctx, 0))
        .handler("slow", |ctx| mark(ctx, 200))
        .handler("flaky", flaky)
        .handler("parts", parts)
        .handler("fail", |_| async { Ok(StepOutcome::permanent(PLANNED)) })
}

/// Says by which claim it was done: the check compares it with the claim that counts. A later claim
/// takes its time, so that late results of earlier ones meet it at work.
async fn mark(ctx: StepContext, at_most_ms: u64) -> Result<StepOutcome, StepError> {
    let at_most_ms = if ctx.claim_no() > 1 { at_most_ms.max(300) } else { at_most_ms };
    tokio::time::sleep(Duration::from_millis(dice(&ctx) % (at_most_ms + 1))).await;
    Ok(StepOutcome::success(json!({"claim_no": ctx.claim_no()})))
}

/// Fails up to three times, in one of its ways.
async fn flaky(ctx: StepContext) -> Result<StepOutcome, StepError> {
    let dice = dice(&ctx);
    let failures = i32::try_from(dice % 4).unwrap_or(0);
    if ctx.attempt() > failures {
        return mark(ctx, 20).await;
    }
    if dice.is_multiple_of(7) {
        std::panic::panic_any(PLANNED)
    }
    Err(StepError::retryable(PLANNED))
}

/// Saves where it is [`PART_CLAIMS`] times, each time with events of its own, half of them in a
/// transaction of its own. What it publishes before it fails must not be told.
async fn parts(ctx: StepContext) -> Result<StepOutcome, StepError> {
    let done = ctx.last_checkpoint::<u64, Value>()?.map_or(0, |last| last.cursor);
    let upto = done + events::PARTS;
    for part in done + 1..=upto {
        ctx.publish(events::PART, json!({"part": part}));
    }
    let dice = dice(&ctx);
    if ctx.attempt() == 1 && (dice + done).is_multiple_of(5) {
        return Err(StepError::retryable(PLANNED));
    }
    let outcome = match upto < PART_CLAIMS * events::PARTS {
        true => ctx.checkpoint(upto, upto, Value::Null)?,
        false => StepOutcome::success(json!({"claim_no": ctx.claim_no()})),
    };
    if dice.is_multiple_of(2) {
        return ctx.begin().await?.complete_with(outcome).await;
    }
    Ok(outcome)
}

/// The same for the same step.
fn dice(ctx: &StepContext) -> u64 {
    let seed = ctx
        .step()
        .bytes()
        .fold(ctx.task_id().as_u128() as u64, |hash, byte| hash.rotate_left(7) ^ u64::from(byte));
    Rng::new(seed, 9).next()
}

/// Keeps `open` tasks open until `stop`; returns how many of each template there must be. A batch
/// whose commit is in doubt is enqueued again with the same idempotency keys.
pub async fn run(
    pool: PgPool,
    seed: u64,
    open: i64,
    stop: CancellationToken,
) -> BTreeMap<String, i64> {
    let mut rng = Rng::new(seed, 1);
    let mut enqueued = BTreeMap::new();
    let mut batch = 0;
    let names: Vec<&str> =
        SHAPES.iter().map(|(name, _)| *name).chain(growing::NAMES.iter().copied()).collect();
    while !stop.is_cancelled() {
        let count = sqlx::query_scalar::<_, i64>(
            "select count(*) from tasker.tasks where completed_at is null",
        );
        match count.fetch_one(&pool).await {
            Ok(count) if count < open => {}
            _ => {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        }
        batch += 1;
        // Each of them once, to begin with.
        let shape = if batch <= names.len() + 1 { batch - 1 } else { rng.below(names.len() + 1) };
        let (namespace, name) =
            names.get(shape).map_or((transfer::NAMESPACE, "transfer"), |name| (NAMESPACE, *name));
        let contexts = transfer::contexts(ACCOUNTS, BATCH, rng.next());
        let keys: Vec<String> = (0..BATCH).map(|n| format!("{batch}-{n}")).collect();
        loop {
            let enqueue = sqlx::query(
                "select tasker.enqueue_task($1, $2, i.context, p_idempotency_key => i.key) from \
                 unnest($3::jsonb[], $4::text[]) i(context, key)",
            );
            match enqueue
                .bind(namespace)
                .bind(name)
                .bind(&contexts)
                .bind(&keys)
                .execute(&pool)
                .await
            {
                Ok(_) => break,
                // In doubt, and the server may be away for a moment.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
        *enqueued.entry(name.to_owned()).or_insert(0) += BATCH as i64;
    }
    enqueued
}

/// Waits until every task has ended, the messages of cancelled steps have been dropped, and the
/// events been consumed; returns the tasks that do not end, with their steps.
pub async fn settled(pool: &PgPool, patience: Duration) -> Vec<String> {
    let deadline = Instant::now() + patience;
    loop {
        let open: Result<i64, _> = sqlx::query_scalar(
            "select (select count(*) from tasker.tasks where completed_at is null) + (select \
             sum(depth) from tasker.queue_overview)::bigint",
        )
        .fetch_one(pool)
        .await;
        if matches!(open, Ok(0)) {
            return Vec::new();
        }
        if Instant::now() > deadline {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    sqlx::query_scalar(
        "select format('stuck: task %s (%s) is %s: %s', t.task_id, t.name, t.state,
                       (select string_agg(format('%s %s attempt %s claim %s', s.name, s.state, \
                       s.attempt, s.claim_no), ', ' order by s.name)
                          from tasker.steps s where s.task_id = t.task_id and not s.satisfied))
           from tasker.tasks t where t.completed_at is null",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}
