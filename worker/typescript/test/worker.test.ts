// A worker and its session without a server: what goes wrong at awkward moments.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { setImmediate as turn, setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { type Worker, createWorker } from "pgtasker";
import { withFields } from "../dist/esm/logger.js";
import type { Native } from "../dist/esm/native.js";

interface Line {
  readonly level: string;
  readonly message: string;
}

/** What {@link apps/native.cts} starts. */
class Fake implements Native {
  readonly answers = new Map<number, any>();
  readonly asked: string[] = [];
  /** Ids whose answers are refused, and with them all others of the same call. */
  readonly refused = new Set<number>();
  readonly lines: Line[] = [];
  readonly #items: string[] = [];
  #wake = (): void => undefined;

  put(...items: object[]): void {
    this.#items.push(...items.map(item => JSON.stringify(item)));
    this.#wake();
  }

  async poll(): Promise<string[]> {
    if (this.#items.length === 0) await new Promise<void>(resolve => (this.#wake = resolve));
    return this.#items.splice(0);
  }

  complete(ids: number[], texts: string[]): number {
    if (ids.some(id => this.refused.has(id))) throw new Error("not this one");
    ids.forEach((id, n) => this.answers.set(id, JSON.parse(texts[n] ?? "")));
    return 0;
  }

  askLater(_: number, what: string): number {
    this.asked.push(what);
    return 1_000;
  }

  async answer(id: number): Promise<any> {
    for (let n = 0; n < 500 && !this.answers.has(id); n += 1) await sleep(2);
    return this.answers.get(id) ?? assert.fail(`no answer to ${id}`);
  }

  started = (): boolean => true;
  shutdown = (): void => this.put({ type: "stopped", error: null });
  health = (): string => "null";
  metrics = (): string => "";
  id = (): null => null;
}

async function working(
  configure: (worker: Worker) => void,
  body: (fake: Fake, worker: Worker) => Promise<void>,
): Promise<void> {
  process.env["PGTASKER_NATIVE"] = fileURLToPath(new URL("apps/native.cjs", import.meta.url));
  const fake = new Fake();
  Object.assign(globalThis, { fake });
  const at = (level: string) => (message: string) => fake.lines.push({ level, message });
  const logger = { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
  const worker = createWorker({ namespace: "none", logger });
  configure(worker);
  await worker.start();
  try {
    await body(fake, worker);
  } finally {
    await worker.stop();
  }
}

function step(id: number, handler: string): object {
  const ids = { task_id: `task-${id}`, step: "only", attempt: 1, claim_no: 1, timeout_ms: 1_000 };
  const documents = { context: {}, config: {}, inputs: null, parents: {}, checkpoint: null };
  return { type: "step", id, handler, ...ids, ...documents };
}

test("a cancel that comes while a resolver is awaited is not lost", async () => {
  let found = (_: any): void => undefined;
  const looksFor = new Promise<any>(resolve => (found = resolve));
  await working(
    worker => worker.resolver(() => looksFor),
    async fake => {
      fake.put(step(1, "plugin"), { type: "cancel", id: 1, why: "timeout" });
      fake.put(step(2, "plugin"));
      fake.put({ type: "cancel", id: 1, why: "cancelled" }, { type: "cancel", id: 9, why: "x" });
      await turn();
      await turn();
      found((ctx: any) => [ctx.signal.aborted, ctx.signal.reason?.code ?? null]);
      assert.deepEqual((await fake.answer(1)).result, [true, "timeout"]);
      assert.deepEqual((await fake.answer(2)).result, [false, null]);
    },
  );
});

test("an answer that is not taken does not take others of its turn with it", async () => {
  await working(
    worker => worker.handler("is", ctx => ctx.taskId),
    async fake => {
      fake.refused.add(2);
      fake.put(step(1, "is"), step(2, "is"), step(3, "is"));
      assert.equal((await fake.answer(3)).result, "task-3");
      assert.equal((await fake.answer(1)).result, "task-1");
      assert.ok(!fake.answers.has(2));
      const errors = fake.lines.filter(({ level }) => level === "error");
      assert.match(errors[0]?.message ?? "", /^an answer was not taken: Error: not this one/);
      assert.equal(errors.length, 1);
    },
  );
});

test("what a listener of the signal throws is logged, and the others are called", async () => {
  const called: string[] = [];
  const removed = (): unknown => called.push("removed");
  await working(
    worker =>
      worker.handler("waits", async ctx => {
        const { signal } = ctx;
        signal.addEventListener("abort", () => assert.fail("at once"));
        signal.addEventListener("abort", async () => assert.fail("later"));
        signal.addEventListener("abort", { handleEvent: () => assert.fail("object") } as any);
        signal.onabort = () => assert.fail("onabort");
        signal.addEventListener("abort", removed);
        signal.removeEventListener("abort", removed);
        const last = (): unknown => called.push("last");
        signal.addEventListener("abort", last, { once: true });
        signal.addEventListener("abort", last, { once: true });
        return await sleep(60_000, null, { signal }).catch(error => error.name);
      }),
    async fake => {
      fake.put(step(1, "waits"), { type: "cancel", id: 1, why: "cancelled" });
      assert.equal((await fake.answer(1)).result, "AbortError");
      await sleep(5);
      assert.deepEqual(called, ["last"]);
      const told = fake.lines.map(({ message }) => /thrown: \w+: (.*?) \(/.exec(message)?.[1]);
      assert.deepEqual(told.sort(), ["at once", "later", "object", "onabort"]);
    },
  );
});

test("a publisher cannot publish, nor ask anything", async () => {
  const publication = { type: "publication", name: "a", payload: 1, metadata: null };
  const gone = "a publisher cannot ask anything of its step, which has ended";
  await working(
    worker => {
      worker.publisher("a", (event, ctx) => {
        ctx.publish("b", 1);
        return event;
      });
      worker.publisher("c", async (event, ctx) => {
        await ctx.get("http://nowhere.test");
        return event;
      });
    },
    async fake => {
      fake.put({ ...publication, id: 1, pattern: "a", step: step(5, "is") });
      fake.put({ ...publication, id: 2, pattern: "c", step: step(5, "is") });
      assert.deepEqual(await fake.answer(1), { error: gone });
      assert.deepEqual(await fake.answer(2), { error: gone });
      assert.deepEqual(fake.asked, []);
    },
  );
});

test("started again, it takes no answer of the run before for one of its own", async () => {
  let finish = (_: unknown): void => undefined;
  const late = new Promise(resolve => (finish = resolve));
  let signal: AbortSignal | undefined;
  await working(
    worker => {
      worker.handler("late", ctx => {
        signal = ctx.signal;
        return late;
      });
      worker.handler("next", async () => {
        finish("late");
        await sleep(20);
        return "next";
      });
    },
    async (fake, worker) => {
      fake.put(step(1, "late"));
      await sleep(20);
      await assert.rejects(worker.start(), /the worker runs already/);
      assert.throws(() => worker.handler("more", () => 1), /the worker runs already/);
      await worker.stop();
      worker.handler("more", () => 1);
      const subscription = worker.subscribe("*");
      const begun = new Fake();
      Object.assign(globalThis, { fake: begun });
      await worker.start();
      begun.put({ type: "cancel", id: 1, why: "timeout" }, step(1, "next"));
      assert.equal((await begun.answer(1)).result, "next");
      assert.equal(signal?.aborted, false, "a cancel of the new run is not the old one's");
      assert.equal((await fake.answer(1)).result, "late");
      await worker.stop();
      for await (const event of subscription) assert.fail(`an event: ${event.id}`);
    },
  );
});

test("a logger whose promise is rejected ends nothing", async () => {
  const lines: string[] = [];
  const say = async (message: string): Promise<void> => {
    lines.push(message);
    throw new Error("the log is full");
  };
  const logger = withFields({ debug: say, info: say, warn: say, error: say }, {});
  logger.info("first");
  await sleep(5);
  logger.error("second");
  await sleep(5);
  assert.deepEqual(lines, ["first", "second"]);
});

test("a rejected promise that nobody awaits is logged by the command", async () => {
  const [cli, app] = ["../dist/esm/cli.js", "apps/stray.js"].map(path =>
    fileURLToPath(new URL(path, import.meta.url)),
  );
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [cli ?? "", app ?? ""]);
  assert.equal(stdout, "went on\n");
  assert.match(stderr, /ERROR a rejected promise was not awaited: TypeError: stray \(.*stray\.js/);
});
