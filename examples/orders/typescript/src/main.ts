// `DATABASE_URL=… npm start`: runs the orders and compares what came of them with what plain
// TypeScript computes. `npm run worker` runs the worker alone.
import assert from "node:assert/strict";
import { pathToFileURL } from "node:url";
import type { DomainEvent } from "pgtasker";
import type { Sums } from "./figures.js";
import { shopWorker } from "./handlers.js";
import { runOrders } from "./run.js";

/** For `pgtasker-worker`. */
export const worker = shopWorker();

function cents(currency: string, amount: number): string {
  return `${currency} ${(amount / 100).toFixed(2)}`;
}

function money(sums: Sums): string {
  return Object.entries(sums).sort().map(([currency, sum]) => cents(currency, sum)).join(", ");
}

function tell({ name, payload, metadata }: DomainEvent): void {
  const what: Record<string, () => [number, string]> = {
    "stock.reserved": () => [payload.order_id, `${payload.quantity} × ${payload.item}`],
    "payment.processed": () => [
      payload.order_id,
      `${cents(payload.currency, payload.amount)} by the card ${payload.card}`,
    ],
  };
  const [order, text] = what[name]?.() ?? [metadata?.order_id, payload.message];
  console.log(`  ${name.padEnd(18)} order ${String(order).padStart(2)}  ${text}`);
}

async function main(): Promise<void> {
  const url = process.env["DATABASE_URL"];
  if (!url) throw new Error("DATABASE_URL is not set: give the database of Tasker");
  console.log("Fast and broadcast events, as they happen in the worker's process:");
  const { figures, books, refused, complete, inSql, expected } = await runOrders(url, tell);
  console.log(`\nLive figures, made of them: paid ${money(figures.paid)}`);
  console.log(`Tables, made of durable events, the last ${inSql} in SQL: ${money(books.paid)}`);
  for (const [order, subject] of books.mails) console.log(`  mail  order ${order}  ${subject}`);
  console.log(`Kept back by the publisher: the payments of the orders ${expected.gifts.join(", ")}`);
  console.log(`Events that broke their schema: those of the orders ${refused.join(", ")}`);
  assert.deepEqual({ figures, books, refused, complete }, {
    figures: expected.figures,
    books: expected.books,
    refused: expected.refused,
    complete: expected.complete,
  });
  console.log("\nAll of it is as computed from the orders in plain TypeScript.");
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) await main();
