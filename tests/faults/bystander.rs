//! A worker of another language, badly written: it submits twice, comes late, and goes away without
//! a word; each time with events that name the submission. What it is answered is counted, and what
//! should have been refused and was not is remembered.

use crate::{load::NAMESPACE, rng::Rng};
use serde_json::{Value, json};
use sqlx::PgPool;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How long it waits for others to take a step away.
const PATIENCE: Duration = Duration::from_secs(8);

/// What it saw.
#[derive(Debug, Default)]
pub struct Answers {
    /// Second submits of the same claim, answered as such.
    pub duplicates: u32,
    /// Submits after another claim, answered as such.
    pub stale: u32,
    /// The ids of those submissions: no event may name them.
    pub refused: Vec<Uuid>,
    /// What was accepted and should not have been.
    pub wrong: Vec<String>,
}

#[derive(Debug, Clone)]
struct Claim {
    task_id: Uuid,
    step: String,
    claim_no: i32,
}

/// Runs until `stop`.
pub async fn run(pool: PgPool, seed: u64, stop: CancellationToken) -> Answers {
    let mut rng = Rng::new(seed, 2);
    let worker = Uuid::now_v7();
    let mut answers = Answers::default();
    while !stop.is_cancelled() {
        // Errors are part of the game: the server dies every now and then.
        if act(&pool, worker, &mut rng, &mut answers, &stop).await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    answers
}

async fn act(
    pool: &PgPool,
    worker: Uuid,
    rng: &mut Rng,
    answers: &mut Answers,
    stop: &CancellationToken,
) -> sqlx::Result<()> {
    let claims = claim(pool, worker).await?;
    let twice = rng.below(2) == 0;
    for claim in &claims {
        if twice {
            // It may be stale: cancelled with its task, or taken over.
            submit(pool, worker, claim, answers).await?;
            match submit(pool, worker, claim, answers).await?.as_str() {
                "duplicate" => answers.duplicates += 1,
                "stale" => answers.stale += 1,
                other => answers
                    .wrong
                    .push(format!("the second submit of {claim:?} was answered {other}")),
            }
        } else if taken_over(pool, claim, stop).await? {
            match submit(pool, worker, claim, answers).await?.as_str() {
                "stale" => answers.stale += 1,
                other => {
                    answers.wrong.push(format!("a late submit of {claim:?} was answered {other}"))
                }
            }
        }
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    Ok(())
}

/// A few steps whose handler does nothing but say its claim; others are given back.
async fn claim(pool: &PgPool, worker: Uuid) -> sqlx::Result<Vec<Claim>> {
    let rows: Vec<(Uuid, String, i32, String)> = sqlx::query_as(
        "select task_id, step, claim_no, handler from tasker.claim_steps($1, $2, 3, '1 s')",
    )
    .bind(NAMESPACE)
    .bind(worker)
    .fetch_all(pool)
    .await?;
    let (mine, others): (Vec<_>, Vec<_>) =
        rows.into_iter().partition(|(.., handler)| handler == "mark");
    if !others.is_empty() {
        let others: Vec<Value> = others
            .iter()
            .map(|(task_id, step, claim_no, _)| {
                json!({"task_id": task_id, "step": step, "claim_no": claim_no})
            })
            .collect();
        sqlx::query("select tasker.release_steps($1, $2)")
            .bind(worker)
            .bind(json!(others))
            .execute(pool)
            .await?;
    }
    Ok(mine
        .into_iter()
        .map(|(task_id, step, claim_no, _)| Claim { task_id, step, claim_no })
        .collect())
}

async fn submit(
    pool: &PgPool,
    worker: Uuid,
    claim: &Claim,
    answers: &mut Answers,
) -> sqlx::Result<String> {
    let Claim { task_id, step, claim_no } = claim;
    let submission = Uuid::now_v7();
    let results = json!([{
        "task_id": task_id,
        "step": step,
        "claim_no": claim_no,
        "outcome": {"type": "success", "result": {"claim_no": claim_no}},
        "events": [{"name": "step.done", "payload": {"submission": submission}}],
    }]);
    let status: String = sqlx::query_scalar("select status from tasker.submit_results($1, $2)")
        .bind(worker)
        .bind(results)
        .fetch_one(pool)
        .await?;
    if status != "accepted" {
        answers.refused.push(submission);
    }
    Ok(status)
}

/// Whether another has claimed the step meanwhile.
async fn taken_over(pool: &PgPool, claim: &Claim, stop: &CancellationToken) -> sqlx::Result<bool> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline && !stop.is_cancelled() {
        let now: i32 = sqlx::query_scalar(
            "select claim_no from tasker.steps where task_id = $1 and name = $2",
        )
        .bind(claim.task_id)
        .bind(&claim.step)
        .fetch_one(pool)
        .await?;
        if now > claim.claim_no {
            return Ok(true);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(false)
}
