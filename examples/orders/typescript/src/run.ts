// One run of the example: a worker, a consumer, and a dozen orders and three more.
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { type DomainEvent, enqueueTask, waitForTask } from "pgtasker";
import {
  type Books,
  booksOf,
  consumeInSql,
  install,
  refusedOrders,
  shopConsumer,
  waiting,
} from "./books.js";
import { type Expected, expectedOf } from "./expected.js";
import { type Figures, follow } from "./figures.js";
import { NAMESPACE, shopWorker } from "./handlers.js";
import { type Order, orderOf } from "./order.js";

/** Milliseconds for what is to happen. */
const PATIENCE = 60_000;

/** What came of it, and what was to come. */
export interface Ran {
  readonly figures: Figures;
  readonly books: Books;
  readonly refused: number[];
  readonly complete: number;
  /** Events consumed in SQL. */
  readonly inSql: number;
  readonly expected: Expected;
}

function numbered(from: number, to: number): Order[] {
  return Array.from({ length: to - from + 1 }, (_, i) => orderOf(from + i));
}

/** Enqueues a task for each order, waits for all, and returns how many have completed. */
async function settle(pool: pg.Pool, run: string, orders: readonly Order[]): Promise<number> {
  const tasks: string[] = [];
  for (const context of orders) {
    const task = { namespace: NAMESPACE, name: "order", context, correlationId: run };
    tasks.push(await enqueueTask(pool, task));
  }
  let complete = 0;
  for (const task of tasks) {
    const { state } = await waitForTask(pool, task, { timeoutMs: PATIENCE });
    complete += state === "complete" ? 1 : 0;
  }
  return complete;
}

async function untilConsumed(pool: pg.Pool, run: string): Promise<void> {
  const deadline = Date.now() + PATIENCE;
  while ((await waiting(pool, run)) > 0) {
    if (Date.now() > deadline) throw new Error("events are left in the queue");
    await sleep(20);
  }
}

/** The template must have been applied. */
export async function runOrders(
  databaseUrl: string,
  tell: (event: DomainEvent) => void,
): Promise<Ran> {
  const pool = new pg.Pool({ connectionString: databaseUrl });
  const run = randomUUID();
  await install(pool);
  const worker = shopWorker({ databaseUrl, graceMs: 5_000, log: "warn" });
  const figures = follow(worker, run, tell);
  const consumer = await shopConsumer(pool, databaseUrl);
  const [some, more] = [numbered(1, 12), numbered(13, 15)];
  try {
    await worker.start();
    await consumer.start();
    let complete = await settle(pool, run, some);
    await untilConsumed(pool, run);
    await consumer.stop();
    // Without a consumer the events wait until somebody calls pgmq.
    complete += await settle(pool, run, more);
    const inSql = await consumeInSql(pool);
    await worker.stop();
    return {
      figures: await figures,
      books: await booksOf(pool, run),
      refused: await refusedOrders(pool, run),
      complete,
      inSql,
      expected: expectedOf([...some, ...more]),
    };
  } finally {
    await Promise.all([worker.stop(), consumer.stop()]);
    await pool.end();
  }
}
