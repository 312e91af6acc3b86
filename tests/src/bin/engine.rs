//! An orchestrator and a worker in a process that tests may kill. DATABASE_URL says where;
//! TASKER_LATE, that the handler `late` is there as well; TASKER_FAILPOINT, where to die; the OTEL_
//! variables, where its traces go.

use pgtasker_core::db::{DbOptions, connect};
use pgtasker_orchestrator::{CONNECTIONS, Orchestrator};
use pgtasker_tests::handlers::count;
use pgtasker_worker::{Batchable, CancellationToken, StepContext, StepError, StepOutcome, Worker};
use serde_json::json;
use std::{error::Error, time::Duration};
use tracing::Instrument;
use tracing_subscriber::{layer::SubscriberExt, util::SubscriberInitExt};

/// Steps longer than a third of it are extended.
const LEASE: Duration = Duration::from_secs(2);

async fn done(_: StepContext) -> Result<StepOutcome, StepError> {
    Ok(StepOutcome::success(()))
}

/// Enqueues `test.diamond` in a span of its own, and returns what a call from the handler would
/// carry.
async fn nested(ctx: StepContext) -> Result<StepOutcome, StepError> {
    let enqueue = async {
        tracing::info!("an event of the span");
        let traceparent = pgtasker_telemetry::current_traceparent();
        let mut transaction = ctx.begin().await?;
        sqlx::query("select tasker.enqueue_task('test', 'diamond', p_traceparent => $1)")
            .bind(traceparent)
            .execute(&mut *transaction)
            .await?;
        transaction.complete(json!(ctx.traceparent())).await
    };
    enqueue.instrument(tracing::info_span!("enqueue another", n = 7)).await
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::var("DATABASE_URL")?;
    let traces = pgtasker_telemetry::start("engine");
    tracing_subscriber::registry().with(traces.map(|traces| traces.layer())).init();
    let pool = async |connections| {
        connect(&DbOptions::new(&url, "engine").max_connections(connections)).await
    };
    let orchestrator =
        Orchestrator::builder(pool(CONNECTIONS).await?).sweep_interval(Duration::from_millis(100));
    let mut worker = Worker::builder(pool(6).await?)
        .namespace("test")
        .lease(LEASE)
        .handler("flaky", |ctx| async move {
            if ctx.attempt() == 1 { Err(StepError::retryable("not yet")) } else { done(ctx).await }
        })
        .handler("nested", nested)
        .handler("broken", |_| async { Err(StepError::permanent("never")) })
        .handler("slow", |ctx| async move {
            tokio::time::sleep(LEASE / 2).await;
            done(ctx).await
        })
        .handler("own", |ctx| async move {
            let mut transaction = ctx.begin().await?;
            sqlx::query("insert into effects values ($1)")
                .bind(ctx.task_id().to_string())
                .execute(&mut *transaction)
                .await?;
            transaction.complete(json!(1)).await
        })
        .handler("cut", |ctx| async move { ctx.batches(ctx.split(0..5, 2)) })
        // The server ends its session, once: the step is given back.
        .handler("lose", |ctx| async move {
            if ctx.claim_no() == 1 {
                let mut transaction = ctx.begin().await?;
                let end = "select pg_terminate_backend(pg_backend_pid()), pg_sleep(1)";
                sqlx::query(end).execute(&mut *transaction).await?;
            }
            done(ctx).await
        })
        // More than a batch of results makes beside others.
        .handler("cut_many", |ctx| async move { ctx.batches(ctx.split_by(0..1_001, 1)) })
        .handler("count", count)
        .handler("die", |_| async { std::process::abort() });
    if std::env::var_os("TASKER_LATE").is_some() {
        worker = worker.handler("late", done);
    }
    let stop = CancellationToken::new();
    let worker = worker.build()?.run(stop.clone());
    tokio::try_join!(orchestrator.build()?.run(stop), worker)?;
    Ok(())
}
