// What is made of durable events: payments are booked and customers get mails.
import { readFile } from "node:fs/promises";
import { type Consumer, type DomainEvent, PermanentError, createConsumer } from "pgtasker";
import type pg from "pg";
import { type Sums, add } from "./figures.js";
import { NAMESPACE } from "./handlers.js";

/** Books a payment; does nothing where it is booked already. */
const PAYMENT =
  "insert into shop.payments (event_id, correlation_id, order_id, amount, currency) " +
  "values ($1, $2, $3, $4, $5) on conflict (event_id) do nothing";

/** A statement that the examples of all languages share. */
async function statement(name: string): Promise<string> {
  return await readFile(new URL(`../../../src/orders/${name}.sql`, import.meta.url), "utf8");
}

/** Creates the tables; does nothing where they are there. */
export async function install(pool: pg.Pool): Promise<void> {
  await pool.query(await statement("schema"));
}

/** A consumer that writes to the tables. It may get an event twice: the second time is nothing. */
export async function shopConsumer(pool: pg.Pool, databaseUrl?: string): Promise<Consumer> {
  const url = databaseUrl === undefined ? {} : { databaseUrl };
  const consumer = createConsumer({ namespace: NAMESPACE, ...url });
  const mail = await statement("keep_mail");
  consumer.handler(async ({ id, name, correlation_id, payload, metadata }: DomainEvent) => {
    const write = async (order: unknown, subject: string): Promise<void> => {
      if (typeof order !== "number") {
        throw new PermanentError("it does not say of which order it is");
      }
      await pool.query(mail, [id, correlation_id, order, subject]);
    };
    switch (name) {
      case "payment.processed":
        await pool.query(PAYMENT, [
          id,
          correlation_id,
          payload.order_id,
          payload.amount,
          payload.currency,
        ]);
        break;
      case "order.shipped":
        await write(payload.order_id, `On its way, parcels: ${payload.parcels}`);
        break;
      case "payment.failed":
        await write(metadata.order_id, `Not paid: ${payload.message}`);
        break;
      default: // Not for us.
    }
  });
  return consumer;
}

/** Consumes whatever is there by plain pgmq calls, as from psql; returns how many events. */
export async function consumeInSql(pool: pg.Pool): Promise<number> {
  const consume = await statement("consume");
  for (let events = 0; ; ) {
    const { rowCount } = await pool.query(consume);
    if (!rowCount) return events;
    events += rowCount;
  }
}

/** How many events of the run nobody has consumed. */
export async function waiting(pool: pg.Pool, run: string): Promise<number> {
  const { rows } = await pool.query(await statement("waiting"), [run]);
  return Number(rows[0].count);
}

/** What the tables have of one run. */
export interface Books {
  /** Cents in each currency. */
  readonly paid: Sums;
  /** Order and subject, in order. */
  readonly mails: [number, string][];
}

/** Reads the tables. */
export async function booksOf(pool: pg.Pool, run: string): Promise<Books> {
  const paid: Sums = {};
  const payments = "select currency, amount from shop.payments where correlation_id = $1";
  for (const { currency, amount } of (await pool.query(payments, [run])).rows) {
    add(paid, currency, Number(amount));
  }
  const mails =
    "select order_id, subject from shop.mails where correlation_id = $1 order by 1, 2";
  const { rows } = await pool.query(mails, [run]);
  return { paid, mails: rows.map(({ order_id, subject }) => [Number(order_id), subject]) };
}

/** Orders whose event was not published, as it broke its schema. */
export async function refusedOrders(pool: pg.Pool, run: string): Promise<number[]> {
  const { rows } = await pool.query(await statement("refused"), [run]);
  return rows.map(({ order_id }) => Number(order_id));
}
