// Decisions, batches, pages, and calls over HTTP.
import assert from "node:assert/strict";
import { type IncomingMessage, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, test } from "node:test";
import { z } from "zod";
import { api, batchable, decision } from "pgtasker";
import { flow, pool, until, working } from "./server.js";

after(() => pool.end());

test("a decision chooses which steps come into being", async () => {
  const branches = await flow(
    { name: "route", type: "decision", handler: "route" },
    { name: "low", dependencies: ["route"], handler: "noop" },
    { name: "manager", dependencies: ["route"], handler: "named" },
    { name: "finance", dependencies: ["route"], handler: "named" },
    {
      name: "end",
      type: "deferred",
      dependencies: ["low", "manager", "finance"],
      handler: "end",
    },
  );
  await working(
    branches,
    worker => {
      worker.handler("route", { with: [decision] }, ctx => {
        const amount: number = ctx.context<{ amount: number }>().amount;
        return amount > 5 ? ctx.choose("manager", "finance") : ctx.chooseNone();
      });
      worker.handler("named", ctx => ctx.step);
      worker.handler("end", ctx => ctx.parents);
    },
    async () => {
      const chosen = { manager: "manager", finance: "finance" };
      assert.deepEqual(await branches.result({ amount: 6 }), chosen);
      assert.equal(await branches.result({ amount: 1 }), null, "of the decision, now a leaf");
    },
  );
  await working(
    branches,
    worker => worker.handler("route", ctx => ctx.choose("nowhere")),
    async () => assert.equal((await branches.failure()).code, "invalid_outcome"),
  );
});

test("a batch with cursors, checkpoints, and pages", async () => {
  const sum = await flow(
    { name: "cut", type: "batchable", handler: "cut" },
    { name: "add", type: "batch_worker", dependencies: ["cut"], handler: "add" },
    { name: "total", dependencies: ["add"], handler: "total" },
  );
  const Cursor = z.object({ start: z.number(), end: z.number() });
  let checkpoints = 0;
  await working(
    sum,
    worker => {
      worker.handler("cut", { with: [batchable] }, ctx => {
        return ctx.batches(ctx.split([0, ctx.context<{ rows: number }>().rows], 7));
      });
      worker.handler("add", { with: [batchable] }, ctx => {
        const { start, end } = ctx.cursor(Cursor);
        const last = ctx.lastCheckpoint;
        const from: number = last?.cursor ?? start;
        const to = Math.min(end, from + 5);
        let total: number = last?.accumulated ?? 0;
        for (let n = from; n < to; n += 1) total += n;
        if (to === end) return total;
        checkpoints += 1;
        return ctx.checkpoint(to, to - start, total);
      });
      worker.handler("total", { with: [batchable] }, async ctx => {
        const batch = ctx.batch("add");
        const numbers: number[] = [];
        let total = 0;
        for await (const page of batch.pages(z.number(), { size: 3 })) {
          numbers.push(page.length);
          for (const { result, state } of page) {
            assert.equal(state, "complete");
            total += result ?? 0;
          }
        }
        return [batch.instances, batch.complete, batch.results()?.length, numbers, total];
      });
    },
    async () => {
      assert.deepEqual(await sum.result({ rows: 100 }), [7, 7, 7, [3, 3, 1], 4950]);
      assert.equal(checkpoints, 14);
      assert.deepEqual(await sum.result({ rows: 0 }), [0, 0, 0, [], 0]);
    },
  );
});

test("parents by pages", async () => {
  const names = ["a", "b", "c"];
  const join = await flow(
    ...names.map(name => ({ name, handler: "named" })),
    { name: "join", dependencies: names, handler: "join" },
  );
  await working(
    join,
    worker => {
      worker.handler("named", ctx => ctx.step);
      worker.handler("join", { paged: true }, async ctx => {
        const seen: unknown[] = [];
        for await (const page of ctx.parentPages(z.string())) seen.push(...page);
        return seen;
      });
    },
    async () => assert.deepEqual(await join.result(), names.map(name => [name, name])),
  );
});

interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

/** Answers with the status that the path names. */
async function web(): Promise<{ url: string; seen: Seen[]; close(): void }> {
  const seen: Seen[] = [];
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    const { method = "", url = "", headers } = request;
    seen.push({ method, url, headers, body });
    const status = Number.parseInt(url.slice(1), 10);
    response.writeHead(status, { "content-type": "application/json", "x-seen": "yes" });
    response.end(method === "HEAD" ? "" : '{"id": "r-1", "n": 5}');
  });
  await new Promise<void>(resolve => server.listen(0, "127.0.0.1", resolve));
  // A test that fails ends all the same.
  server.unref();
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, seen, close: () => server.close() };
}

test("calls over HTTP carry the step's key, and their failures are judged", async () => {
  const { url, seen, close } = await web();
  const calls = await flow({ name: "only", handler: "calls" });
  await working(
    calls,
    worker =>
      worker.handler("calls", { with: [api] }, async ctx => {
        const { path } = ctx.context<{ path: string }>();
        const response = await ctx.post(`${url}${path}?secret=1`, {
          json: { amount: 12n ** 20n },
          headers: { "X-Own": "1" },
          idempotencySuffix: "first",
          timeoutMs: 5_000,
          allowStatus: 404,
        });
        const bytes = await ctx.put(`${url}/200`, { body: new Uint8Array([1, 255]) });
        await ctx.put(`${url}/200`, { body: "text" });
        await ctx.delete(new URL(`${url}/200`));
        await ctx.request("PATCH", `${url}/200`);
        const { id } = response.json(z.object({ id: z.string() }));
        return [response.status, id, response.headers.get("x-seen"), bytes.bytes().length];
      }),
    async () => {
      assert.deepEqual(await calls.result({ path: "/200" }), [200, "r-1", "yes", 21]);
      const [post, put, text, remove, patch] = seen.splice(0);
      assert.equal(post?.body, `{"amount":${12n ** 20n}}`);
      assert.match(String(post?.headers["idempotency-key"]), /^[0-9a-f-]{36}:only:first$/);
      assert.deepEqual([post?.headers["tasker-attempt"], post?.headers["x-own"]], ["1", "1"]);
      assert.equal(put?.headers["content-type"], "application/octet-stream");
      assert.equal(text?.headers["content-type"], "text/plain;charset=utf-8");
      assert.deepEqual([text?.body, remove?.method, patch?.method], ["text", "DELETE", "PATCH"]);
      assert.deepEqual((await calls.result({ path: "/404" }))[0], 404);
      seen.splice(0);
      const refused = await calls.failure({ path: "/422" });
      assert.deepEqual([refused.code, refused.attempts], ["http_422", 1]);
      assert.ok(!refused.message.includes("secret"), refused.message);
      assert.deepEqual((await calls.failure({ path: "/503" })).code, "http_503");
      const keys = new Set(seen.slice(-2).map(({ headers }) => headers["idempotency-key"]));
      assert.equal(keys.size, 1, "both attempts have one key");
    },
  );
  close();
});

test("a step's trace is current where OpenTelemetry is", async () => {
  const { trace, context } = await import("@opentelemetry/api");
  const { AsyncLocalStorage } = await import("node:async_hooks");
  const { ROOT_CONTEXT } = await import("@opentelemetry/api");
  const storage = new AsyncLocalStorage<typeof ROOT_CONTEXT>();
  context.setGlobalContextManager({
    active: () => storage.getStore() ?? ROOT_CONTEXT,
    with: (active, run, self, ...args) =>
      storage.run(active, () => run.call(self as never, ...args)),
    bind: (_, target) => target,
    enable() {
      return this;
    },
    disable() {
      return this;
    },
  });
  const traced = await flow({ name: "only", handler: "traced" });
  const id = "0af7651916cd43dd8448eb211c80319c";
  let seen: string | undefined;
  await working(
    traced,
    worker =>
      worker.handler("traced", async () => {
        await Promise.resolve();
        seen = trace.getSpanContext(context.active())?.traceId;
      }),
    async () => {
      await traced.enqueue({}, { traceparent: `00-${id}-b7ad6b7169203331-01` });
      await until("it ran", () => seen !== undefined);
      assert.equal(seen, id);
    },
  );
});
