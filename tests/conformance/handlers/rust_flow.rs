//! Decisions, batches, pages, and transactions of one's own.

use super::{Outcome, gate, is_open, note};
use pgtasker_worker::{
    Api, Batchable, Cursor, Decision, StepContext, StepError, StepOutcome, WorkerBuilder, sqlx,
};
use serde::Deserialize;
use serde_json::{Value, json};

pub fn register(worker: WorkerBuilder) -> WorkerBuilder {
    worker
        .handler("decide", decide)
        .handler("cut", cut)
        .handler("cut_any", cut_any)
        .handler("keep", keep)
        .handler("add", add)
        .handler("total", total)
        .handler("same_checkpoint", same_checkpoint)
        .handler("book", book)
        .handler("call", call)
        .handler("compute", compute)
        .handler("nothing", |_| async { Ok(StepOutcome::success(())) })
        .paged_handler("join", join)
}

/// Chooses the steps that its context names.
async fn decide(ctx: StepContext) -> Outcome {
    #[derive(Deserialize)]
    struct Choice {
        choose: Option<Vec<String>>,
    }
    Ok(match ctx.context::<Choice>()?.choose {
        None => StepOutcome::success("no choice"),
        Some(steps) if steps.is_empty() => ctx.choose_none(),
        Some(steps) => {
            let count = steps.len();
            ctx.choose(steps).with_result(json!({"chosen": count}))
        }
    })
}

#[derive(Deserialize)]
struct Rows {
    rows: u64,
    parts: Option<u64>,
    size: Option<u64>,
    fails: Option<u64>,
}

async fn cut(ctx: StepContext) -> Outcome {
    let Rows { rows, parts, size, .. } = ctx.context()?;
    match size {
        Some(size) => ctx.batches(ctx.split_by(0..rows, size)),
        None => ctx.batches(ctx.split(0..rows, parts.unwrap_or(1))),
    }
}

/// Cursors of any form, for one of several batch workers.
async fn cut_any(ctx: StepContext) -> Outcome {
    #[derive(Deserialize)]
    struct Cut {
        cursors: Vec<Value>,
        worker: Option<String>,
    }
    let Cut { cursors, worker } = ctx.context()?;
    let outcome = ctx.batches(cursors)?.with_result("cut");
    Ok(match worker {
        Some(worker) => outcome.for_worker(worker),
        None => outcome,
    })
}

/// Keeps its context in a checkpoint, and returns it from there.
async fn keep(ctx: StepContext) -> Outcome {
    match ctx.last_checkpoint::<Value, Value>()? {
        None => ctx.checkpoint(ctx.context::<Value>()?, 3, ctx.context::<Value>()?),
        Some(last) => {
            Ok(StepOutcome::success(json!([last.cursor, last.items_processed, last.accumulated])))
        }
    }
}

/// Five items at a time.
async fn add(ctx: StepContext) -> Outcome {
    let fails = ctx.context::<Rows>()?.fails;
    let cursor: Cursor = ctx.cursor()?;
    let (from, sum) = match ctx.last_checkpoint::<u64, u64>()? {
        Some(last) => (last.cursor, last.accumulated),
        None => (cursor.start, 0),
    };
    let to = cursor.end.min(from + 5);
    let sum = sum + (from..to).sum::<u64>();
    if fails == Some(cursor.start) {
        return Err(StepError::permanent("this one fails").code("failed"));
    }
    if to < cursor.end {
        return ctx.checkpoint(to, to - cursor.start, sum);
    }
    Ok(StepOutcome::success(sum))
}

async fn total(ctx: StepContext) -> Outcome {
    let batch = ctx.batch("add")?;
    let inline = batch.results::<u64>()?;
    let mut pages = batch.pages::<u64>().page_size(3);
    let (mut sizes, mut sum, mut states) = (Vec::new(), 0, Vec::new());
    while let Some(page) = pages.next_page().await? {
        sizes.push(page.len());
        for instance in page {
            states.push(json!([instance.number, instance.step, instance.state.to_string()]));
            sum += instance.result.unwrap_or(0);
        }
    }
    Ok(StepOutcome::success(json!({
        "instances": batch.instances(), "complete": batch.complete(), "failed": batch.failed(),
        "inline": inline, "pages": sizes, "sum": sum, "states": states,
    })))
}

async fn same_checkpoint(ctx: StepContext) -> Outcome {
    ctx.checkpoint(json!({"at": 1}), 1, Value::Null)
}

/// Writes a row in the transaction that ends the step.
async fn book(ctx: StepContext) -> Outcome {
    #[derive(Deserialize)]
    struct Kind {
        kind: String,
    }
    let Kind { kind } = ctx.context()?;
    let mut tx = ctx.begin().await?;
    sqlx::query("insert into conformance_effects values ($1)")
        .bind(ctx.task_id())
        .execute(&mut *tx)
        .await?;
    note(ctx.task_id(), "written");
    match kind.as_str() {
        "stale" => gate(&ctx, "go").await,
        "error" => return Err(StepError::permanent("sold out").code("sold_out")),
        "sql" => {
            sqlx::query("select 1 / 0").execute(&mut *tx).await?;
        }
        "checkpoint" if ctx.last_checkpoint::<u64, Value>()?.is_none() => {
            return tx.complete_with(ctx.checkpoint(1, 1, json!("half"))?).await;
        }
        "nul" => return tx.complete(json!(["\0"])).await,
        _ => {}
    }
    let outcome = tx.complete(json!({"booked": kind})).await?;
    match kind.as_str() {
        // It comes too late.
        "after" => Err(StepError::permanent("after the end")),
        _ => Ok(outcome),
    }
}

/// Calls the service that the driver is.
async fn call(ctx: StepContext) -> Outcome {
    #[derive(Deserialize)]
    struct Call {
        path: String,
        allow: Option<u16>,
    }
    let Call { path, allow } = ctx.context()?;
    let url = format!("{}{path}", std::env::var("CONFORMANCE_WEB")?);
    let mut request = ctx.post(&url).json(&json!({"big": u64::MAX, "text": "\u{fc}"}));
    request = request.header("X-Own", "1").idempotency_suffix("first");
    if let Some(status) = allow {
        request = request.allow_status(status);
    }
    let response = request.send().await?;
    let status = response.status();
    let kind = response.header("content-type").map(ToOwned::to_owned);
    let body: Value = response.json().await?;
    Ok(StepOutcome::success(json!([status, kind, body])))
}

/// Computes until the gate is open, and never gives way.
async fn compute(ctx: StepContext) -> Outcome {
    note(ctx.task_id(), "began");
    let task = ctx.task_id();
    let work = move || {
        while !is_open(task, "go") {
            std::hint::spin_loop();
        }
    };
    tokio::task::spawn_blocking(work).await?;
    Ok(StepOutcome::success(ctx.claim_no()))
}

async fn join(ctx: StepContext) -> Outcome {
    let (mut pages, mut all) = (ctx.parent_pages(), Vec::new());
    while let Some(page) = pages.next_page::<Value>().await? {
        all.extend(page.into_iter().map(|(name, result)| json!([name, result])));
    }
    Ok(StepOutcome::success(Value::Array(all)))
}
