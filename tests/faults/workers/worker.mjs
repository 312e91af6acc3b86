// A worker of the fault test on Node, with the handlers of load.rs.

import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { PermanentError, RetryableError, createWorker } from "pgtasker";
import pg from "pg";

const PLANNED = "as it should";
const [PARTS, PART_CLAIMS] = [2, 4];
const BOOK = readFileSync(process.env.FAULTS_BOOK_SQL, "utf8");

const worker = createWorker({ namespace: ["faults", "bank"], leaseMs: 2_000, log: "off" });

// Not by way of the proxy: when a connection falls silent, this driver waits for ever.
const pool = new pg.Pool({
  connectionString: process.env.FAULTS_DIRECT_URL,
  application_name: "faults typescript",
  connectionTimeoutMillis: 5_000,
  max: 8,
});
// Backends are killed while nobody uses them, too.
pool.on("error", () => {});

/** The same for the same step. */
function dice(ctx) {
  let hash = 0x811c9dc5;
  for (const letter of ctx.taskId + ctx.step) {
    hash = Math.imul(hash ^ letter.charCodeAt(0), 0x01000193) >>> 0;
  }
  return hash;
}

async function mark(ctx, atMostMs) {
  const atMost = ctx.claimNo > 1 ? Math.max(atMostMs, 300) : atMostMs;
  await sleep(dice(ctx) % (atMost + 1));
  return { claim_no: ctx.claimNo };
}

worker.handler("mark", ctx => mark(ctx, 0));
worker.handler("slow", ctx => mark(ctx, 200));

worker.handler("flaky", ctx => {
  if (ctx.attempt > dice(ctx) % 4) return mark(ctx, 20);
  throw dice(ctx) % 7 === 0 ? PLANNED : new RetryableError(PLANNED);
});

worker.handler("fail", () => {
  throw new PermanentError(PLANNED);
});

worker.handler("parts", async ctx => {
  const done = ctx.lastCheckpoint?.cursor ?? 0;
  const upto = done + PARTS;
  for (let part = done + 1; part <= upto; part++) ctx.publish("part.done", { part });
  if (ctx.attempt === 1 && (dice(ctx) + done) % 5 === 0) throw new RetryableError(PLANNED);
  const isLast = upto >= PART_CLAIMS * PARTS;
  const end = isLast ? { claim_no: ctx.claimNo } : ctx.checkpoint(upto, upto);
  if (dice(ctx) % 2 === 1) return end;
  return ctx.transaction(pool, async tx => (isLast ? tx.complete(end) : tx.completeWith(end)));
});

function book(ctx, account, amount) {
  return ctx.transaction(pool, async tx => {
    const { rows } = await tx.client.query(BOOK, [account, amount, ctx.taskId]);
    if (rows.length === 0) {
      const text = `account ${account} is not there, or has too little`;
      throw new PermanentError(text, { code: "cannot_book" });
    }
    tx.complete({ account, balance: Number(rows[0].balance) });
  });
}

worker.handler("transfer_withdraw", ctx => book(ctx, ctx.context().from, -ctx.context().amount));
worker.handler("transfer_deposit", ctx => book(ctx, ctx.context().to, ctx.context().amount));

async function hear(events) {
  for await (const event of events) {
    // Fast events are told once or not at all; what is not written down was not heard.
    const values = [event.id, event.task_id, event.step, event.claim_no];
    await pool.query("insert into faults.heard values ($1, $2, $3, $4)", values).catch(() => {});
  }
}

void hear(worker.subscribe("step.ended"));
const look = setInterval(() => {
  if (worker.id === null || worker.id === undefined) return;
  process.stdout.write(`id ${worker.id}\n`);
  clearInterval(look);
}, 10);
try {
  await worker.run();
} catch (error) {
  process.stderr.write(`worker: ${error.message}\n`);
  process.exit(1);
}
process.exit();
