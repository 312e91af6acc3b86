// What the compiler must refuse, and the names that all four languages share.
import assert from "node:assert/strict";
import { test } from "node:test";
import pg from "pg";
import postgres from "postgres";
import * as v from "valibot";
import { z } from "zod";
import * as pgtasker from "pgtasker";
import { api, createWorker, decision, handler, transaction } from "pgtasker";

const Order = z.object({ id: z.number() });
const Reserved = v.object({ amount: v.number() });

/** Only compiled. */
export function compiled(): void {
  const worker = createWorker({ state: { pool: new pg.Pool() } });
  worker.handler("a", { context: Order, parents: { reserve: Reserved } }, async ctx => {
    const id: number = ctx.context.id;
    const amount: number = ctx.parents.reserve.amount;
    // @ts-expect-error the context has no such field
    ctx.context.name;
    // @ts-expect-error nor has the parent's result
    ctx.parents.reserve.amuont;
    // @ts-expect-error the context is a value here
    ctx.context(Order);
    const other: number = ctx.parent("other", Reserved).amount;
    await ctx.transaction(ctx.state.pool, async tx => {
      await tx.client.query("select 1");
      tx.complete();
    });
    return id + amount + other;
  });
  worker.handler("b", { with: [decision] }, ctx => {
    // @ts-expect-error it is not included
    ctx.post("http://example.com");
    // @ts-expect-error steps are named
    ctx.choose(1);
    return ctx.choose("x");
  });
  worker.handler("c", async ctx => {
    const id: number = ctx.context(Order).id;
    const typed = ctx.config<{ currency: string }>().currency;
    return [id, typed.length, (await ctx.get("http://example.com")).json(Order).id];
  });
  handler({ with: [transaction, api] }, async ctx => {
    await ctx.transaction(postgres(), async tx => {
      await tx.client`select 1`;
      tx.complete({ done: true });
    });
    await ctx.transaction(new pg.Client(), tx => tx.complete());
    // @ts-expect-error this is no connection
    await ctx.transaction({}, () => 1);
  });
}

test("the names of the table that all languages share", () => {
  const exported = [
    "createWorker", "createConsumer", "handler", "RetryableError", "PermanentError",
    "decision", "batchable", "api", "events", "transaction",
  ];
  for (const name of exported) assert.ok(name in pgtasker, name);
  const worker = createWorker();
  for (const name of ["handler", "callable", "resolver", "publisher", "subscribe", "run"]) {
    assert.equal(typeof (worker as never)[name], "function", name);
  }
});

test("a context has the names of the table", async () => {
  const { run } = await import("pgtasker/testing");
  const names = [
    "context", "config", "inputs", "parent", "parents", "taskId", "step", "attempt", "claimNo",
    "correlationId", "state", "choose", "chooseNone", "batches", "split", "splitBy", "cursor",
    "lastCheckpoint", "checkpoint", "batch", "post", "get", "put", "delete", "request",
    "transaction", "publish", "signal", "traceparent", "logger", "parentPages",
  ];
  const { result } = await run(ctx => names.filter(name => !(name in ctx)));
  assert.deepEqual(result, []);
});
