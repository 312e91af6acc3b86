// The handlers of the conformance test in JavaScript: those of rust.rs, by the same names.
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { setTimeout as sleep } from "node:timers/promises";
import {
  PermanentError,
  RetryableError,
  createConsumer,
  createWorker,
} from "../../../worker/typescript/dist/esm/index.js";

// Both are among what the package's own tests use.
const require = createRequire(new URL("../../../worker/typescript/package.json", import.meta.url));
const pg = require("pg");
const { z } = require("zod");

const { CONFORMANCE_GATES: gates, DATABASE_URL: url } = process.env;
const namespace = process.env.TASKER_WORKER_NAMESPACE;

export const worker = createWorker({ bigint: true, state: "EUR" });

/** Tells the driver. */
function note(task, text) {
  process.stdout.write(`note ${task} ${text}\n`);
}

function isOpen(ctx, name) {
  return existsSync(`${gates}/${ctx.taskId}.${name}`);
}

/** Waits until the driver opens it. */
async function gate(ctx, name) {
  while (!isOpen(ctx, name)) await sleep(10);
}

worker.handler("echo", ctx => ctx.context());

const Order = z.object({
  order_id: z.int(),
  lines: z.array(z.object({ sku: z.string(), quantity: z.int() })),
  note: z.string().nullish(),
});

worker.handler("typed", { context: Order }, ({ context: { order_id, lines, note: said } }) => ({
  id: order_id,
  total: lines.reduce((sum, { quantity }) => sum + quantity, 0),
  skus: lines.map(({ sku }) => sku),
  note: said ?? null,
}));

worker.handler("typed_config", ctx => ctx.config(Order).order_id);
worker.handler("typed_parent", ctx => ctx.parent("a", Order).order_id);

worker.handler("fail", ctx => {
  const { kind, code, retry_after_ms: retryAfter, until, times = 1, ...said } = ctx.context();
  const message = said.message.repeat(times);
  if (until !== undefined && ctx.attempt >= until) return ctx.attempt;
  if (kind === "permanent") throw new PermanentError(message, { code });
  throw new RetryableError(message, { code, retryAfter });
});

class NoSuchItem extends Error {}

worker.handler("foreign", () => {
  throw new NoSuchItem("no such item", { cause: new RangeError("the shelf is empty") });
});

worker.handler("throw", () => {
  throw "thrown as it is";
});

worker.handler("bad", ctx => {
  const { kind, n = 0 } = ctx.context();
  const cycle = { a: [] };
  cycle.a.push(cycle);
  switch (kind) {
    case "nul":
      return { a: ["b\0"] };
    case "nul_key":
      return { a: { "b\0": 1 } };
    case "deep":
      return Array.from({ length: n }).reduce(inner => [inner], 1);
    case "large":
      return "x".repeat(n);
    case "nan":
      return { a: [NaN] };
    case "infinity":
      return [Infinity];
    case "object":
      return { a: [new Map()] };
    case "cycle":
      return cycle;
    default:
      return { a: "\ud800" };
  }
});

worker.handler("types", () => ({
  time: new Date(Date.UTC(2026, 0, 2, 3, 4, 5, 678)),
  ids: { half: 0.5, tenth: 0.1 },
  none: null,
  yes: true,
  big: 2n ** 64n - 1n,
}));

worker.handler("stubborn", async ctx => {
  note(ctx.taskId, "began");
  await gate(ctx, "go");
  note(ctx.taskId, "returns");
  return "done";
});

worker.handler("watchful", async ctx => {
  note(ctx.taskId, "began");
  await new Promise(resolve => ctx.signal.addEventListener("abort", resolve));
  note(ctx.taskId, "stops");
  throw new RetryableError("stopped");
});

worker.handler("patient", async ctx => {
  await new Promise(resolve => ctx.signal.addEventListener("abort", resolve));
});

worker.handler("linger", async ctx => {
  note(ctx.taskId, `began attempt ${ctx.attempt}`);
  await gate(ctx, "go");
  note(ctx.taskId, "returns");
  return ctx.attempt;
});

function quick(ctx) {
  note(ctx.taskId, `ran ${ctx.step}`);
  return ctx.step;
}

worker.handler("quick", quick);
if (process.env.CONFORMANCE_LACKS === undefined) worker.handler("elsewhere", quick);

worker.handler("about", ctx => ({
  step: ctx.step,
  handler: ctx.handler,
  attempt: ctx.attempt,
  claim_no: ctx.claimNo,
  correlation_id: ctx.correlationId,
  traceparent: ctx.traceparent,
  seconds: ctx.timeoutMs / 1_000,
  is_batch_instance: ctx.isBatchInstance,
  config: ctx.config(),
  inputs: ctx.inputs(),
  task: ctx.taskId,
}));

worker.handler("parent", ctx => ctx.parent(ctx.config().parent));
worker.handler("parents", ctx => ctx.parents);

worker.handler("stray", async ctx => {
  void Promise.reject(new Error("nobody awaits this"));
  return ctx.step;
});

worker.handler("after_fork", ctx => {
  execFileSync("true");
  return [ctx.step, true];
});

worker.callable("payments", {
  charge: ctx => [ctx.handler, ctx.state],
  refund: async ctx => [ctx.handler, ctx.state],
});

if (process.env.CONFORMANCE_RESOLVES !== undefined) {
  worker.resolver(async name =>
    name === "found" ? ctx => ["resolved", ctx.handler] : null,
  );
}

worker.handler("relay_typescript", ctx => {
  const [before] = Object.values(ctx.parents);
  return before ?? ctx.context();
});

worker.handler("announce", ctx => {
  const { events = [], fails, result = null } = ctx.context();
  for (const [name, payload] of events) ctx.publish(name, payload);
  if (fails === "permanent") throw new PermanentError("refused", { code: "card_refused" });
  if (fails !== undefined && ctx.attempt === 1) throw new RetryableError("busy", { code: "busy" });
  return result;
});

worker.publisher("paid.*", (event, ctx) => {
  const { amount } = event.payload;
  if (amount === 0) return null;
  if (amount === 13) throw new PermanentError("an unlucky amount");
  event.payload.seen = true;
  event.metadata = { attempt: ctx.attempt, order: ctx.context().order ?? null };
  return event;
});

const heard = worker.subscribe("heard.*");
void (async () => {
  for await (const { task_id, name, payload } of heard) {
    note(task_id, `heard ${name} ${JSON.stringify(payload)}`);
  }
})();

worker.handler("decide", ctx => {
  const { choose } = ctx.context();
  if (choose === undefined) return "no choice";
  if (choose.length === 0) return ctx.chooseNone();
  return ctx.choose(...choose).withResult({ chosen: choose.length });
});

worker.handler("cut", ctx => {
  const { rows, parts = 1, size } = ctx.context();
  const range = [0, rows];
  return ctx.batches(size === undefined ? ctx.split(range, parts) : ctx.splitBy(range, size));
});

worker.handler("cut_any", ctx => {
  const { cursors, worker: step } = ctx.context();
  const outcome = ctx.batches(cursors).withResult("cut");
  return step === undefined ? outcome : outcome.forWorker(step);
});

worker.handler("keep", ctx => {
  const last = ctx.lastCheckpoint;
  if (last === null) return ctx.checkpoint(ctx.context(), 3, ctx.context());
  return [last.cursor, last.itemsProcessed, last.accumulated];
});

worker.handler("add", ctx => {
  const { fails } = ctx.context();
  const { start, end } = ctx.cursor();
  const last = ctx.lastCheckpoint;
  const from = last?.cursor ?? start;
  const to = Math.min(end, from + 5);
  let sum = last?.accumulated ?? 0;
  for (let n = from; n < to; n += 1) sum += n;
  if (fails === start) throw new PermanentError("this one fails", { code: "failed" });
  return to < end ? ctx.checkpoint(to, to - start, sum) : sum;
});

worker.handler("total", async ctx => {
  const batch = ctx.batch("add");
  const { instances, complete, failed } = batch;
  const pages = [];
  const states = [];
  let sum = 0;
  for await (const page of batch.pages(z.number(), { size: 3 })) {
    pages.push(page.length);
    for (const one of page) {
      states.push([one.number, one.step, one.state]);
      sum += one.result ?? 0;
    }
  }
  return { instances, complete, failed, inline: batch.results(), pages, sum, states };
});

worker.handler("same_checkpoint", ctx => ctx.checkpoint({ at: 1 }, 1));

const pool = new pg.Pool({ connectionString: url, max: 4 });

worker.handler("book", async ctx => {
  const { kind } = ctx.context();
  await ctx.transaction(pool, async tx => {
    await tx.client.query("insert into conformance_effects values ($1)", [ctx.taskId]);
    note(ctx.taskId, "written");
    if (kind === "stale") await gate(ctx, "go");
    if (kind === "error") throw new PermanentError("sold out", { code: "sold_out" });
    if (kind === "sql") await tx.client.query("select 1 / 0");
    if (kind === "nul") return tx.complete(["\0"]);
    if (kind === "checkpoint" && ctx.lastCheckpoint === null) {
      return tx.completeWith(ctx.checkpoint(1, 1, "half"));
    }
    tx.complete({ booked: kind });
  });
  if (kind === "after") throw new PermanentError("after the end");
});

worker.handler("call", async ctx => {
  const { path, allow } = ctx.context();
  const response = await ctx.post(`${process.env.CONFORMANCE_WEB}${path}`, {
    json: { big: 2n ** 64n - 1n, text: "\u00fc" },
    headers: { "X-Own": "1" },
    idempotencySuffix: "first",
    ...(allow === undefined ? {} : { allowStatus: allow }),
  });
  return [response.status, response.headers.get("content-type"), response.json()];
});

// Holds up the loop.
worker.handler("compute", ctx => {
  note(ctx.taskId, "began");
  while (!isOpen(ctx, "go"));
  return ctx.claimNo;
});

worker.handler("nothing", () => undefined);

worker.handler("join", { paged: true }, async ctx => {
  const all = [];
  for await (const page of ctx.parentPages()) all.push(...page);
  return all;
});

export const consumer = createConsumer({ namespace: namespace.split(",")[0] });
let again = true;

consumer.handler(({ task_id, payload }) => {
  note(task_id, `consumes ${JSON.stringify(payload)}`);
  if (payload.kind === "never") throw new PermanentError("no such order");
  if (payload.kind === "again" && again) {
    again = false;
    throw new RetryableError("later");
  }
});
