// Single steps against a real server: documents, failures, time, and cancellation.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import {
  PermanentError,
  RetryableError,
  cancelTask,
  taskResult,
  waitForTask,
} from "pgtasker";
import { Lines, SOON, flow, pool, stateOf, until, working } from "./server.js";

after(() => pool.end());

const nested = (levels: number): unknown => (levels > 0 ? [nested(levels - 1)] : "in");
const torture = {
  "": { "": [] },
  "a/b~c": "ä€\u{1F600}\u2028\"\\\n",
  big: 123456789012345678901234567890n,
  huge: 10n ** 400n,
  negative: -9007199254740993n,
  deep: nested(90),
  tiny: 5e-324,
  none: null,
  flags: [true, false],
};

test("a document comes back as it was, digit by digit", async () => {
  const echo = await flow({ name: "only", handler: "echo" });
  await working(
    echo,
    worker => worker.handler("echo", ctx => ctx.context()),
    async () => assert.deepEqual(await echo.result(torture, true), torture),
    { bigint: true },
  );
});

test("a number that would be rounded is a failure with its place", async () => {
  const echo = await flow({ name: "only", handler: "echo" });
  const configure = (worker: import("pgtasker").Worker) =>
    worker.handler("echo", ctx => ctx.context());
  await working(echo, configure, async () => {
    const failure = await echo.failure({ a: [1, 9007199254740993n] });
    assert.equal(failure.code, "unsafe_number");
    assert.match(failure.message, /^\/context\/a\/1: /);
    assert.equal(failure.attempts, 1);
  });
  await working(
    echo,
    configure,
    async () => {
      const id = await pool.query(
        "select tasker.enqueue_task($1, 'flow', '{\"d\": 0.1234567890123456789012345}') as id",
        [echo.namespace],
      );
      await waitForTask(pool, id.rows[0].id);
      const error = "select error from tasker.step_overview where task_id = $1";
      const { rows } = await pool.query(error, [id.rows[0].id]);
      assert.match(rows[0].error.message, /^\/context\/d: /);
    },
    { bigint: true },
  );
});

test("a context that does not fit names the field", async () => {
  const typed = await flow({ name: "only", handler: "typed" });
  const Order = z.object({ customer: z.object({ name: z.string() }) });
  const configure = (worker: import("pgtasker").Worker) =>
    worker.handler("typed", { context: Order }, ctx => ctx.context.customer.name);
  await working(typed, configure, async () => {
    assert.equal(await typed.result({ customer: { name: "Ada" } }), "Ada");
    const failure = await typed.failure({ customer: { name: 7 } });
    assert.equal(failure.code, "invalid_input");
    assert.match(failure.message, /^context\.customer\.name: /);
  });
});

test("both errors, and any other", async () => {
  const fails = await flow({ name: "only", handler: "fails" });
  const times: number[] = [];
  await working(
    fails,
    worker =>
      worker.handler("fails", async ctx => {
        const { how } = ctx.context<{ how: string }>();
        if (how === "permanent") throw new PermanentError("never", { code: "no_amount" });
        if (how === "foreign") {
          throw new TypeError("outer", { cause: new RangeError("inner") });
        }
        times.push(Date.now());
        if (ctx.attempt === 1) throw new RetryableError("busy", { code: "b", retryAfter: 700 });
        return ctx.attempt;
      }),
    async () => {
      const permanent = await fails.failure({ how: "permanent" });
      assert.deepEqual([permanent.code, permanent.message], ["no_amount", "never"]);
      assert.equal(permanent.attempts, 1);
      assert.equal(await fails.result({ how: "retry" }), 2);
      const [first = 0, second = 0] = times;
      assert.ok(second - first >= 650, `${second - first} ms`);
      const foreign = await fails.failure({ how: "foreign" });
      assert.match(foreign.message, /^TypeError: outer: RangeError: inner \(.*steps\.test\.js:\d+/);
      assert.equal(foreign.attempts, 2);
    },
  );
});

test("a handler that outlives its timeout keeps its place until it returns", async () => {
  const slow = await flow({
    name: "only",
    handler: "slow",
    timeout_seconds: 1,
    retry: { retryable: false },
  });
  let running = 0;
  let most = 0;
  let why: unknown;
  await working(
    slow,
    worker =>
      worker.handler("slow", async ctx => {
        running += 1;
        most = Math.max(most, running);
        ctx.signal.addEventListener("abort", () => {
          why = ctx.signal.reason.code;
        });
        if (ctx.context().slow) await sleep(2_500);
        running -= 1;
        return "done";
      }),
    async () => {
      const first = await slow.enqueue({ slow: true });
      await until("it runs", () => running === 1);
      const second = slow.result({});
      await until("the first has timed out", async () => {
        return (await stateOf(first)).state === "blocked_by_failures";
      });
      assert.equal(running, 1, "it still runs");
      assert.equal(await second, "done");
      assert.deepEqual([most, why], [1, "timeout"]);
    },
    { concurrency: 1 },
  );
});

test("a handler that blocks the thread loses no lease, and is warned of", async () => {
  const blocks = await flow({ name: "only", handler: "blocks" });
  const lines = new Lines();
  await working(
    blocks,
    worker =>
      worker.handler("blocks", ctx => {
        const until = Date.now() + 2_500;
        while (Date.now() < until);
        return [ctx.attempt, ctx.claimNo];
      }),
    async () => {
      // The second is sent while the first one blocks.
      const later = { runAt: new Date(Date.now() + 1_500) };
      const ids = await Promise.all([blocks.enqueue(), blocks.enqueue({}, later)]);
      for (const id of ids) {
        assert.equal((await waitForTask(pool, id)).state, "complete");
        assert.deepEqual(await taskResult(pool, id), { only: [1, 1] });
      }
      await until("the warning", () => lines.all.some(({ message }) => /blocking/.test(message)));
    },
    { leaseMs: 1_000, logger: lines },
  );
});

test("a cancelled task aborts the handler's signal", async () => {
  const waits = await flow({ name: "only", handler: "waits" });
  let ended: string | undefined;
  let since = 0;
  await working(
    waits,
    worker =>
      worker.handler("waits", async ctx => {
        since = Date.now();
        await sleep(SOON, undefined, { signal: ctx.signal }).catch(() => {
          ended = ctx.signal.reason.code;
        });
        ctx.signal.throwIfAborted();
      }),
    async () => {
      const id = await waits.enqueue();
      await until("it runs", () => since > 0);
      assert.equal(await cancelTask(pool, id, "test"), true);
      const at = Date.now();
      await until("the handler is told", () => ended !== undefined);
      assert.equal(ended, "cancelled");
      assert.ok(Date.now() - at < 5_000);
      assert.equal((await stateOf(id)).state, "cancelled");
    },
  );
});

test("what cannot be stored names its place", async () => {
  const results: Record<string, unknown> = {
    undefined: { a: [undefined] },
    map: { m: new Map() },
    nan: [Number.NaN],
    lone: { s: "\ud800" },
    nul: { s: "a\0b" },
    function: { f: () => 1 },
  };
  const bad = await flow({ name: "only", handler: "bad" });
  await working(
    bad,
    worker => worker.handler("bad", ctx => results[ctx.context().which]),
    async () => {
      const places = ["/a/0", "/m", "/0", "/s", "/s", "/f"];
      for (const [n, which] of Object.keys(results).entries()) {
        const place = places[n] ?? "";
        const failure = await bad.failure({ which });
        assert.equal(failure.code, "invalid_result", which);
        assert.ok(failure.message.endsWith(`at ${place}`), failure.message);
        assert.equal(failure.attempts, 1);
      }
      assert.equal(await bad.result({ which: "none" }), null);
    },
  );
});

test("methods of a callable, state, and a resolver", async () => {
  class Payments {
    #count = 0;
    refund(ctx: import("pgtasker").Context) {
      this.#count += 1;
      return [ctx.handler, ctx.state, this.#count];
    }
  }
  const method = await flow({ name: "only", handler: { callable: "payments", method: "refund" } });
  await working(
    method,
    worker => worker.callable("payments", new Payments()),
    async () => assert.deepEqual(await method.result(), ["payments.refund", { a: 1 }, 1]),
    { state: { a: 1 } },
  );
  const resolved = await flow({ name: "only", handler: "plugin_7" });
  const asked: string[] = [];
  await working(
    resolved,
    worker =>
      worker.resolver(async name => {
        asked.push(name);
        return name === "plugin_7" ? ctx => ctx.handler : null;
      }),
    async () => {
      assert.equal(await resolved.result(), "plugin_7");
      assert.equal(await resolved.result(), "plugin_7");
      assert.deepEqual(asked, ["plugin_7"]);
    },
  );
});

test("a handler that the resolver does not find goes to another worker", async () => {
  const other = await flow({ name: "only", handler: "elsewhere" });
  let asked = 0;
  await working(
    other,
    worker =>
      worker.resolver(() => {
        asked += 1;
        return null;
      }),
    async () => {
      const id = await other.enqueue();
      await until("the first worker has seen it", () => asked > 0);
      await working(
        other,
        worker => worker.handler("elsewhere", () => "here"),
        async () => assert.equal((await waitForTask(pool, id)).state, "complete"),
      );
    },
  );
});

test("64 handlers that wait run at once", async () => {
  const waits = await flow({ name: "only", handler: "waits" });
  let running = 0;
  let most = 0;
  let open = (): void => undefined;
  const gate = new Promise<void>(resolve => (open = resolve));
  await working(
    waits,
    worker =>
      worker.handler("waits", async () => {
        running += 1;
        most = Math.max(most, running);
        await gate;
        running -= 1;
      }),
    async () => {
      const ids = await Promise.all(Array.from({ length: 70 }, () => waits.enqueue()));
      await until("64 run", () => running === 64);
      await sleep(300);
      assert.equal(running, 64);
      open();
      for (const id of ids) await waitForTask(pool, id);
      assert.equal(most, 64);
    },
  );
});

test("lines of the log have the task and the step", async () => {
  const lines = new Lines();
  const fails = await flow({ name: "only", handler: "fails", retry: { retryable: false } });
  await working(
    fails,
    worker =>
      worker.handler("fails", ctx => {
        ctx.logger.info("mine", { more: 1 });
        throw new PermanentError("never");
      }),
    async worker => {
      const id = await fails.enqueue();
      await waitForTask(pool, id);
      const own = lines.all.find(({ message }) => message === "mine");
      assert.deepEqual([own?.fields["task_id"], own?.fields["more"]], [id, 1]);
      const engines = await until("a line of the worker's own", () =>
        lines.all.find(line => line.fields["task_id"] === id && line.message !== "mine"),
      );
      assert.equal(engines.fields["step"], "only");
      assert.match(worker.id ?? "", /^[0-9a-f-]{36}$/);
      assert.equal((worker.health() as { healthy: boolean }).healthy, true);
      assert.match(worker.metrics(), /tasker_/);
    },
    { logger: lines, log: "debug" },
  );
});

test("a worker that cannot start says why", async () => {
  const empty = await flow({ name: "only", handler: "x" });
  const start = working(empty, worker => worker.handler("not a name\0", () => 1), async () => 1);
  await assert.rejects(start, /not a name|handler/);
});
