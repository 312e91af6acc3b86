//! A worker of one's own: one handler, the database in DATABASE_URL, until SIGTERM or ctrl-c.
use pgtasker_worker::{ServeError, StepContext, StepError, StepOutcome, serve};
use serde_json::json;

#[derive(serde::Deserialize)]
struct Order {
    order_id: u64,
    cents: u64,
}

async fn charge_card(ctx: StepContext) -> Result<StepOutcome, StepError> {
    let Order { order_id, cents } = ctx.context()?;
    if cents == 0 {
        return Err(
            StepError::permanent(format!("order {order_id} costs nothing")).code("no_amount")
        );
    }
    // Here a card would be charged, once for each order_id: a step may run more than once.
    Ok(StepOutcome::success(json!({"order_id": order_id, "charged": cents})))
}

#[tokio::main]
async fn main() -> Result<(), ServeError> {
    serve(|worker| worker.namespace("shop").handler("charge_card", charge_card)).await
}
