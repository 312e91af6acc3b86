// What plain TypeScript makes of the same orders, without an engine and without events.
import type { Books } from "./books.js";
import { type Figures, add, noFigures } from "./figures.js";
import { type Order, amountOf, isValid, parcelsOf } from "./order.js";

/** Currencies that the schema of `payment.processed` lets pass. */
const KNOWN = ["EUR", "USD"];

/** What is to come of a run. */
export interface Expected {
  readonly figures: Figures;
  readonly books: Books;
  /** Orders that were paid and of which the event became a dead letter. */
  readonly refused: number[];
  /** Orders of which `payment.processed` was kept back. */
  readonly gifts: number[];
  /** Tasks that complete. */
  complete: number;
}

/** What is to come of these orders. */
export function expectedOf(orders: readonly Order[]): Expected {
  const all: Expected = {
    figures: noFigures(),
    books: { paid: {}, mails: [] },
    refused: [],
    gifts: [],
    complete: 0,
  };
  orders.forEach(order => count(all, order));
  return all;
}

function count(all: Expected, order: Order): void {
  const { order_id, currency, card, lines } = order;
  for (const { item, quantity } of lines) add(all.figures.reserved, item, quantity);
  if (!isValid(card)) {
    all.figures.refused += 1;
    all.books.mails.push([order_id, "Not paid: the card was refused"]);
    return;
  }
  all.complete += 1;
  all.books.mails.push([order_id, `On its way, parcels: ${parcelsOf(order)}`]);
  if (amountOf(order) === 0) {
    all.gifts.push(order_id);
  } else if (KNOWN.includes(currency)) {
    add(all.figures.paid, currency, amountOf(order));
    add(all.books.paid, currency, amountOf(order));
  } else {
    all.refused.push(order_id);
  }
}
