// The three handlers, and what is done to an event about a payment before it leaves its step.
import { PermanentError, type Worker, type WorkerOptions, createWorker, events } from "pgtasker";
import { Order, amountOf, isValid, parcelsOf } from "./order.js";

/** The template's namespace, and so its queues'. */
export const NAMESPACE = "orders";

/** A worker with the handlers and the publisher of this example. */
export function shopWorker(options: WorkerOptions<undefined> = {}): Worker<undefined> {
  const worker = createWorker({ namespace: NAMESPACE, ...options });

  // Puts the goods aside, and tells of each line, which its result does not.
  worker.handler("order_reserve", { context: Order, with: [events] }, ctx => {
    const { order_id, lines } = ctx.context;
    for (const { item, quantity } of lines) {
      ctx.publish("stock.reserved", { order_id, item, quantity });
    }
    return { lines: lines.length };
  });

  // Its result is what `payment.processed` tells, its failure what `payment.failed` does.
  worker.handler("order_charge", { context: Order }, ctx => {
    const { order_id, currency, card } = ctx.context;
    if (!isValid(card)) {
      throw new PermanentError("the card was refused", { code: "card_refused" });
    }
    return { order_id, amount: amountOf(ctx.context), currency, card };
  });

  worker.handler("order_ship", { context: Order }, ctx => {
    return { order_id: ctx.context.order_id, parcels: parcelsOf(ctx.context) };
  });

  // A card's number never leaves whole, of a payment of nothing nobody is told, and the metadata
  // says of which order it is, which the payload of a failure does not.
  worker.publisher("payment.*", (event, ctx) => {
    if (event.payload.amount === 0) return null;
    const { card } = event.payload;
    if (typeof card === "string") event.payload.card = `**** ${card.slice(-4)}`;
    event.metadata = { order_id: ctx.context(Order).order_id, attempt: ctx.attempt };
    return event;
  });
  return worker;
}
