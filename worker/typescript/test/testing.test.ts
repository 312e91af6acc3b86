// Handlers alone, by pgtasker/testing: no native module is loaded in this file.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";
import * as v from "valibot";
import { z } from "zod";
import {
  PermanentError,
  RetryableError,
  type StepContext,
  api,
  batchable,
  capability,
  createConsumer,
  createWorker,
  decision,
  enqueueTask,
  events,
  handler,
} from "pgtasker";
import { run } from "pgtasker/testing";

const Order = z.object({ id: z.number().int(), lines: z.array(z.object({ sku: z.string() })) });
const Reserved = v.object({ amount: v.number() });
const worker = createWorker({ namespace: "unit", state: { url: "http://shop.test" } });

const charge = worker.handler(
  "charge",
  { context: Order, parents: { reserve: Reserved }, with: [api, events] },
  async ctx => {
    const { amount } = ctx.parents.reserve;
    const lines: number = ctx.context.lines.length;
    if (amount === 0) throw new PermanentError("nothing to charge", { code: "no_amount" });
    const response = await ctx.post(`${ctx.state.url}/charges?key=1`, {
      json: { amount, lines },
      idempotencySuffix: "a",
    });
    ctx.publish("payment.processed", { amount });
    return { receipt: response.json(z.object({ id: z.string() })).id };
  },
);

const order = { id: 7, lines: [{ sku: "cup" }] };
const state = { url: "http://shop.test" };

test("a handler runs alone, with requests and events", async () => {
  const ran = await run(charge, {
    context: order,
    parents: { reserve: { amount: 12 } },
    state,
    http: ({ json }) => ({ status: 201, json: { id: `r-${json.amount}` } }),
  });
  assert.deepEqual(ran.outcome, { type: "success", result: { receipt: "r-12" } });
  assert.deepEqual(ran.events, [{ name: "payment.processed", payload: { amount: 12 } }]);
  const [request] = ran.requests;
  assert.deepEqual(request?.json, { amount: 12, lines: 1 });
  assert.equal(request?.idempotencySuffix, "a");
});

test("what does not fit names the field", async () => {
  const step = { parents: { reserve: { amount: 1 } }, state };
  const { error } = await run(charge, { ...step, context: { id: 7, lines: [{ sku: 1 }] } });
  assert.match(error?.message ?? "", /^context\.lines\[0\]\.sku: /);
  assert.deepEqual([error?.code, error?.retryable], ["invalid_input", false]);
  const parent = await run(charge, { context: order, parents: { reserve: {} }, state });
  assert.match(parent.error?.message ?? "", /^parents\.reserve\.amount: /);
  const none = await run(charge, { context: order, parents: { pay: 1 }, state });
  assert.equal(
    none.error?.message,
    "parents.reserve: not a parent of step step (its parents: pay)",
  );
});

test("failures are told as the worker judges them", async () => {
  const nothing = { context: order, parents: { reserve: { amount: 0 } }, state };
  const { error, outcome } = await run(charge, nothing);
  assert.deepEqual([error?.code, error?.retryable, outcome.type], ["no_amount", false, "failure"]);
  const down = await run(charge, {
    context: order,
    parents: { reserve: { amount: 1 } },
    state,
    http: () => ({ status: 503 }),
  });
  assert.deepEqual([down.error?.code, down.error?.retryable], ["http_503", true]);
  const thrown = await run(() => {
    throw new Error("before the first await");
  });
  assert.match(thrown.error?.message ?? "", /^Error: before the first await \(.*testing\.test\.js/);
  const busy = await run(() => Promise.reject(new RetryableError("busy", { retryAfter: 5 })));
  assert.equal(busy.error?.retryAfter, 5);
});

test("without a schema, documents are read when they are asked for", async () => {
  const { result } = await run(
    ctx => {
      const { id } = ctx.context(Order);
      const { currency } = ctx.config(v.object({ currency: v.string() }));
      return [id, currency, ctx.parent("a"), ctx.parents.a, ctx.attempt, ctx.inputs()];
    },
    { context: order, config: { currency: "EUR" }, parents: { a: 1 }, attempt: 3 },
  );
  assert.deepEqual(result, [7, "EUR", 1, 1, 3, null]);
});

test("a parent that may be absent has a schema that says so", async () => {
  const Maybe = z.number().optional();
  const end = handler({ parents: { manager: Maybe } }, ctx => {
    const manager: number | undefined = ctx.parents.manager;
    return [manager ?? "none", ctx.parent("finance", Maybe) ?? "none"];
  });
  assert.deepEqual((await run(end, { parents: { manager: 1 } })).result, [1, "none"]);
  assert.deepEqual((await run(end, { parents: { finance: 2 } })).result, ["none", 2]);
  const misfit = await run(end, { parents: { manager: "x" } });
  assert.match(misfit.error?.message ?? "", /^parents\.manager: /);
});

test("asynchronous schemas are for the options", async () => {
  const later = z.object({ id: z.number().refine(async id => id > 0) });
  const inside = await run(ctx => ctx.context(later), { context: { id: 1 } });
  assert.match(inside.error?.message ?? "", /^context: its schema is asynchronous/);
  const option = handler({ context: later }, ctx => ctx.context.id);
  assert.equal((await run(option, { context: { id: 1 } })).result, 1);
  const misfit = await run(option, { context: { id: -1 } });
  assert.match(misfit.error?.message ?? "", /^context\.id: /);
});

test("decisions, batches, checkpoints", async () => {
  const route = handler({ with: [decision] }, ctx =>
    ctx.parent("amount") > 5 ? ctx.choose("manager", "finance").withResult(1) : ctx.chooseNone(),
  );
  assert.deepEqual((await run(route, { parents: { amount: 6 } })).outcome, {
    type: "decision",
    create_steps: ["manager", "finance"],
    result: 1,
  });
  assert.deepEqual((await run(route, { parents: { amount: 5 } })).outcome, {
    type: "decision",
    create_steps: [],
  });
  const cut = handler({ with: [batchable] }, ctx =>
    ctx.batches(ctx.split([0, 10], 4)).forWorker("add").withResult("cut"),
  );
  assert.deepEqual((await run(cut)).outcome, {
    type: "batches",
    cursors: [
      { start: 0, end: 3 },
      { start: 3, end: 6 },
      { start: 6, end: 8 },
      { start: 8, end: 10 },
    ],
    worker_step: "add",
    result: "cut",
  });
  const add = handler(ctx => {
    const { start, end } = ctx.cursor();
    const from = ctx.lastCheckpoint?.cursor ?? start;
    return from + 2 < end ? ctx.checkpoint(from + 2, from + 2 - start, { n: 1 }) : end;
  });
  assert.deepEqual((await run(add, { inputs: { start: 0, end: 5 } })).outcome, {
    type: "checkpoint",
    cursor: 2,
    items_processed: 2,
    accumulated: { n: 1 },
  });
  const checkpoint = { cursor: 4, itemsProcessed: 4 };
  assert.equal((await run(add, { inputs: { start: 0, end: 5 }, checkpoint })).result, 5);
  assert.match((await run(add)).error?.message ?? "", /no instance of a batch/);
});

test("cursors are cut as in Rust", async () => {
  const cut = handler(ctx => [
    [...ctx.split([0, 2], 5)].length,
    [...ctx.split([3, 3], 5)].length,
    [...ctx.split([0, 5], 0)].length,
    [...ctx.splitBy({ start: 1, end: 6 }, 2)].map(({ start, end }) => [start, end]),
  ]);
  const pairs = [[1, 3], [3, 5], [5, 6]];
  assert.deepEqual((await run(cut)).result, [2, 0, 1, pairs]);
  const many = await run(handler(ctx => ctx.batches(ctx.splitBy([0, 1_000_001], 1))));
  assert.equal(many.error?.code, "invalid_outcome");
});

test("pages of a batch, and of parents", async () => {
  const total = handler(async ctx => {
    const batch = ctx.batch("add");
    let sum = 0;
    for await (const page of batch.pages(z.number(), { size: 2 })) {
      for (const { result } of page) sum += result ?? 0;
    }
    return [batch.instances, batch.complete, batch.failed, batch.results(), sum];
  });
  const parents = { add: { instances: 3, complete: 2, failed: 1, results: null } };
  const instances = { add: [{ result: 1 }, { error: {} }, { result: 5 }] };
  assert.deepEqual((await run(total, { parents, instances })).result, [3, 2, 1, null, 6]);
  assert.match((await run(total, { parents: { add: 1 } })).error?.message ?? "", /no batch worker/);
  const join = handler({ paged: true }, async ctx => {
    const names: string[] = [];
    for await (const page of ctx.parentPages()) names.push(...page.map(([name]) => name));
    return names;
  });
  assert.deepEqual((await run(join, { parents: { a: 1, b: 2 } })).result, ["a", "b"]);
});

test("a capability of one's own, and only those that are included", async () => {
  const money = capability("money", {
    cents(this: StepContext): number {
      return this.config<{ cents: number }>().cents;
    },
  });
  const own = handler({ with: [money, events] }, ctx => ctx.cents() + 1);
  assert.equal((await run(own, { config: { cents: 4 } })).result, 5);
  const bare = handler({ with: [] }, ctx => "choose" in ctx || "publish" in ctx);
  assert.equal((await run(bare)).result, false);
});

test("a signal says why", async () => {
  const aborted = new AbortController();
  const waits = run(
    ctx =>
      new Promise((_, reject) => {
        ctx.signal.addEventListener("abort", () => reject(ctx.signal.reason));
        aborted.abort();
      }),
    { signal: aborted.signal },
  );
  const { error } = await waits;
  assert.deepEqual([error?.code, error?.retryable], ["cancelled", true]);
});

test("an own transaction ends the step, or rolls back", async () => {
  const log: string[] = [];
  const client = {
    async query(text: string) {
      log.push(text.split(" ")[0] ?? "");
      return { rows: [{ status: text.match(/'(\w+)' as status/)?.[1] }], command: "" };
    },
  };
  const deposit = handler(async ctx => {
    await ctx.transaction(client, async tx => {
      await tx.client.query("update accounts");
      tx.complete({ deposited: 5 });
    });
  });
  assert.deepEqual((await run(deposit)).result, { deposited: 5 });
  assert.deepEqual(log.splice(0), ["begin", "update", "select", "commit"]);
  assert.equal((await run(deposit, { status: "stale" })).error?.code, "stale");
  assert.deepEqual(log.splice(0), ["begin", "update", "select", "rollback"]);
  const forgets = handler(ctx => ctx.transaction(client, () => undefined));
  assert.equal((await run(forgets)).error?.code, "not_completed");
  assert.deepEqual(log.splice(0), ["begin", "rollback"]);
});

test("numbers pass unharmed, or not at all", async () => {
  const echo = handler(ctx => ctx.context());
  const big = { n: 2n ** 100n };
  const unsafe = await run(echo, { context: big });
  assert.deepEqual([unsafe.error?.code, unsafe.error?.retryable], ["unsafe_number", false]);
  assert.match(unsafe.error?.message ?? "", /^\/context\/n: /);
  assert.deepEqual((await run(echo, { context: big, bigint: true })).result, big);
});

test("names are checked where they are given", () => {
  const other = createWorker();
  other.handler("a", () => 1);
  assert.throws(() => other.handler("a", () => 1), /a handler a already/);
  assert.throws(() => other.handler("", () => 1), /has a name/);
  assert.throws(() => other.handler("b", 5 as never), /a handler is a function/);
  assert.throws(() => createWorker({ namespaces: [] } as never), /no option namespaces/);
});

test("options that nobody would read, or of another form, are refused", async () => {
  const wrong: [() => unknown, RegExp][] = [
    [() => createWorker({ concurrency: -1 }), /concurrency is -1: give a whole number/],
    [() => createWorker({ concurrency: "8" } as never), /concurrency is of the type string/],
    [() => createWorker({ logger: {} } as never), /logger .* debug, info, warn, and error/],
    [() => createConsumer({ visible: 5 } as never), /no option visible; it has .*visibleMs/],
    [() => createConsumer({} as never), /needs a namespace/],
    [() => createConsumer({ namespace: "a" }).handler(5 as never), /handler is a function/],
    [() => handler({ contxt: {} } as never, () => 1), /no option contxt; .*context/],
    [() => handler({ context: {} } as never, () => 1), /no Standard Schema/],
    [() => handler({ with: ["api"] } as never, () => 1), /with .* array of capabilities/],
    [() => createWorker().resolver(5 as never), /a resolver is a function/],
    [() => createWorker().publisher("a", 5 as never), /a publisher is a function/],
    [() => createWorker().publisher("", () => null), /a pattern of events is a text/],
    [() => createWorker().subscribe(5 as never), /a pattern of events is a text/],
    [() => createWorker().callable("empty", {}), /the callable empty has no methods/],
  ];
  for (const [give, told] of wrong) assert.throws(give, told);
  await assert.rejects(run(() => 1, { contxt: {} } as never), /no option contxt/);
  const task = { namespace: "a", name: "b", idempotency_key: "once" };
  const unknown = enqueueTask({ query: assert.fail } as never, task);
  await assert.rejects(unknown, /no option idempotency_key; it has .*idempotencyKey/);
});

test("the static methods of a class are handlers, and nothing that all functions have", () => {
  class Payments {
    static refund(): number {
      return 5;
    }
  }
  const shop = createWorker();
  shop.callable("payments", Payments);
  assert.throws(() => shop.handler("payments.refund", () => 1), /already/);
  shop.handler("payments.apply", () => 1);
});

test("what is given in place of a connection is not shown: it may be a URL", async () => {
  const url = "postgres://shop:hunter2@db/shop";
  for (const given of [url, undefined, {}, { idleCount: 0 }]) {
    const { error } = await run(ctx => ctx.transaction(given, (tx: any) => tx.complete(1)));
    assert.match(error?.message ?? "", /takes a Client or a Pool of pg, or postgres\.js/);
    assert.equal(error?.retryable, false);
  }
  const task = { namespace: "a", name: "b" };
  await assert.rejects(enqueueTask(url as never, task), /^TypeError: give a Client or a Pool/);
});

test("instances of a batch bring their summary", async () => {
  const total = handler(ctx => {
    const { instances, complete, failed, ...batch } = ctx.batch("add");
    return [instances, complete, failed, ctx.batch("add").results(), Object.keys(batch)];
  });
  const instances = { add: [{ result: 1 }, { error: { message: "no" } }, { result: 3 }] };
  assert.deepEqual((await run(total, { instances })).result, [3, 2, 1, [1, 3], []]);
  const parents = { add: { instances: 500, complete: 500, failed: 0, results: null } };
  assert.equal((await run(total, { instances, parents })).result[3], null);
});

test("whatever is thrown after an own transaction is logged, and harms nothing", async () => {
  const client = { query: async () => ({ rows: [{ status: "accepted" }], command: "" }) };
  const lines: string[] = [];
  const say = (message: string): unknown => lines.push(message);
  const logger = { debug: say, info: say, warn: say, error: say } as never;
  const late = handler(async ctx => {
    await ctx.transaction(client, tx => tx.complete(5));
    throw Object.create(null);
  });
  assert.equal((await run(late, { logger })).result, 5);
  assert.match(lines[0] ?? "", /thrown after .*: something was thrown that is no Error/);
});

test("CommonJS has the same, and its handlers and errors are as good here", async () => {
  const require = createRequire(import.meta.url);
  const cjs = require("pgtasker") as typeof import("pgtasker");
  assert.notEqual(cjs.PermanentError, PermanentError);
  const theirs = cjs.handler(() => {
    throw new cjs.PermanentError("no", { code: "theirs" });
  });
  assert.equal((await run(theirs)).error?.code, "theirs");
  const chooses = cjs.handler(ctx => ctx.choose("a"));
  assert.equal((await run(chooses)).outcome.type, "decision");
});
