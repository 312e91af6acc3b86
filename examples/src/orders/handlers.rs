//! The three handlers, and what is done to an event about a payment before it leaves its step.

use super::{NAMESPACE, Order};
use pgtasker_worker::{Publication, StepContext, StepError, StepOutcome, WorkerBuilder};
use serde_json::json;

/// Adds the namespace, the handlers, and the publisher of this example.
pub fn register(builder: WorkerBuilder) -> WorkerBuilder {
    builder
        .namespace(NAMESPACE)
        .handler("order_reserve", reserve)
        .handler("order_charge", charge)
        .handler("order_ship", ship)
        .publisher("payment.*", publish_payment)
}

/// Puts the goods aside, and tells of each line, which its result does not: published by the
/// handler.
///
/// # Errors
/// The context is no [`Order`].
pub async fn reserve(ctx: StepContext) -> Result<StepOutcome, StepError> {
    let Order { order_id, lines, .. } = ctx.context()?;
    for line in &lines {
        ctx.publish(
            "stock.reserved",
            json!({"order_id": order_id, "item": line.item, "quantity": line.quantity}),
        );
    }
    Ok(StepOutcome::success(json!({"lines": lines.len()})))
}

/// Its result is what `payment.processed` tells, its failure what `payment.failed` does: the worker
/// publishes them.
///
/// # Errors
/// `card_refused`; the context is no [`Order`].
pub async fn charge(ctx: StepContext) -> Result<StepOutcome, StepError> {
    let order: Order = ctx.context()?;
    if !order.is_card_valid() {
        return Err(StepError::permanent("the card was refused").code("card_refused"));
    }
    let amount = order.amount();
    Ok(StepOutcome::success(json!({
        "order_id": order.order_id,
        "amount": amount,
        "currency": order.currency,
        "card": order.card,
    })))
}

/// Packs it.
///
/// # Errors
/// The context is no [`Order`].
pub async fn ship(ctx: StepContext) -> Result<StepOutcome, StepError> {
    let order: Order = ctx.context()?;
    Ok(StepOutcome::success(json!({"order_id": order.order_id, "parcels": order.parcels()})))
}

/// Every event about a payment: a card's number never leaves whole, and of a payment of nothing
/// nobody is told, and the metadata says of which order it is, which the payload of a failure does
/// not.
///
/// # Errors
/// The context is no [`Order`].
pub async fn publish_payment(
    mut event: Publication,
    ctx: StepContext,
) -> Result<Option<Publication>, StepError> {
    if event.payload["amount"] == 0 {
        return Ok(None);
    }
    if let Some(card) = event.payload["card"].as_str() {
        event.payload["card"] = masked(card).into();
    }
    let order: Order = ctx.context()?;
    event.metadata = json!({"order_id": order.order_id, "attempt": ctx.attempt()});
    Ok(Some(event))
}

/// The last four characters.
fn masked(card: &str) -> String {
    let from = card.char_indices().rev().nth(3).map_or(0, |(at, _)| at);
    format!("**** {}", &card[from..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_digits_are_left_of_a_card() {
        assert_eq!(["4242424242424241", "123", ""].map(masked), ["**** 4241", "**** 123", "**** "]);
    }
}
