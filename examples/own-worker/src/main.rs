//! A worker of one's own: one handler, the database in DATABASE_URL, until ctrl-c.
use serde_json::json;
use tasker_worker::{CancellationToken, DbOptions, StepContext, StepError, StepOutcome, Worker, connect};

#[derive(serde::Deserialize)]
struct Order {
    order_id: u64,
    cents: u64,
}

async fn charge_card(ctx: StepContext) -> Result<StepOutcome, StepError> {
    let Order { order_id, cents } = ctx.context()?;
    if cents == 0 {
        return Err(StepError::permanent(format!("order {order_id} costs nothing")).code("no_amount"));
    }
    // Here a card would be charged, once for each order_id: a step may run more than once.
    Ok(StepOutcome::success(json!({"order_id": order_id, "charged": cents})))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::var("DATABASE_URL").map_err(|_| "set DATABASE_URL to the database of Tasker")?;
    let pool = connect(&DbOptions::new(url, "own-worker")).await?;
    let worker = Worker::builder(pool).namespace("shop").handler("charge_card", charge_card).build()?;
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    tokio::spawn(async move { tokio::signal::ctrl_c().await.map(|()| stop.cancel()) });
    Ok(worker.run(shutdown).await?)
}
