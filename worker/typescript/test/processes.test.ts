// Workers as processes: signals, kill -9, and the three runtimes.
import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { taskResult, waitForTask } from "pgtasker";
import { type Flow, databaseUrl, flow, pool, stateOf, until } from "./server.js";

after(() => pool.end());

const here = fileURLToPath(new URL(".", import.meta.url));
const root = join(here, "..");
const cli = join(root, "dist/esm/cli.js");

/** A worker's process, and what it has said. */
class Process {
  readonly child: ChildProcess;
  text = "";
  log = "";
  code: number | null | undefined;

  constructor({ namespace }: Flow, ...args: string[]) {
    const env = {
      ...process.env,
      DATABASE_URL: databaseUrl(),
      TASKER_WORKER_NAMESPACE: namespace,
    };
    this.child = spawn(process.execPath, [cli, ...args], { env });
    this.child.stdout?.on("data", chunk => (this.text += chunk));
    this.child.stderr?.on("data", chunk => (this.log += chunk));
    this.child.once("exit", code => (this.code = code));
  }

  async says(what: string): Promise<void> {
    await until(`${what}: ${this.text} ${this.log}`, () => this.text.includes(what));
  }

  async ended(): Promise<number | null> {
    await until("it ends", () => this.code !== undefined);
    return this.code ?? null;
  }
}

const app = join(here, "apps/worker.js");

test("SIGTERM lets a running step end within the grace period", async () => {
  const slow = await flow({ name: "only", handler: "slow" });
  const worker = new Process(slow, app);
  const id = await slow.enqueue({ ms: 800 });
  await worker.says("began");
  worker.child.kill("SIGTERM");
  assert.equal(await worker.ended(), 0, worker.log);
  assert.match(worker.text, /slept/);
  assert.equal((await waitForTask(pool, id)).state, "complete");
  assert.match(worker.log, /the worker has stopped/);
});

test("beyond it the step goes back, and its attempt is not counted", async () => {
  const slow = await flow({ name: "only", handler: "slow" });
  const first = new Process(slow, `${app}:worker`);
  const id = await slow.enqueue({ ms: 60_000 });
  await first.says("began 1");
  first.child.kill("SIGINT");
  assert.equal(await first.ended(), 0, first.log);
  assert.match(first.text, /aborted/);
  assert.notEqual((await stateOf(id)).state, "complete");
  const second = new Process(slow, app);
  await second.says("began 1");
  second.child.kill("SIGINT");
  await sleep(100);
  second.child.kill("SIGINT");
  await sleep(400);
  assert.equal(second.code, undefined, "npx passes on what the terminal has sent already");
  second.child.kill("SIGINT");
  assert.equal(await second.ended(), 130);
});

test("a handler that never returns does not keep the process", async () => {
  const stuck = await flow({ name: "only", handler: "stuck" });
  const worker = new Process(stuck, app);
  await stuck.enqueue();
  await worker.says("began");
  worker.child.kill("SIGTERM");
  assert.equal(await worker.ended(), 0, worker.log);
});

test("after kill -9 another worker finishes", async () => {
  const slow = await flow({ name: "only", handler: "slow" });
  const first = new Process(slow, app);
  const id = await slow.enqueue({ ms: 2_000 });
  await first.says("began 1");
  first.child.kill("SIGKILL");
  const second = new Process(slow, app);
  assert.equal((await waitForTask(pool, id, { timeoutMs: 30_000 })).state, "complete");
  assert.deepEqual(await taskResult(pool, id), { only: "slept" });
  second.child.kill("SIGTERM");
  assert.equal(await second.ended(), 0);
});

test("it goes on where nobody reads its log any more", async () => {
  const slow = await flow({ name: "only", handler: "slow" });
  const worker = new Process(slow, app);
  await until("it runs", () => worker.log.includes("worker started"));
  worker.child.stdout?.destroy();
  worker.child.stderr?.destroy();
  for (let n = 0; n < 2; n += 1) assert.equal(await slow.result({ ms: 50 }), "slept");
  worker.child.kill("SIGTERM");
  assert.equal(await worker.ended(), 0);
});

test("the command says what it cannot run", async () => {
  const none = await flow({ name: "only", handler: "noop" });
  const absent = new Process(none, "absent.js");
  assert.equal(await absent.ended(), 1);
  assert.match(absent.log, /there is no file absent\.js/);
  const empty = new Process(none, join(root, "dist/esm/errors.js"));
  assert.equal(await empty.ended(), 1);
  assert.match(empty.log, /exports no worker as worker, consumer, default; it exports .*failureOf/);
  const wrong = new Process(none, join(here, "apps/wrong.js"));
  assert.equal(await wrong.ended(), 1);
  const last = wrong.log.split("\n").at(-2);
  assert.equal(last, "pgtasker-worker: the lease is 5ms: give a value from 1s to 1d");
  const broken = new Process(none, join(here, "apps/wrong.js:other"));
  assert.equal(await broken.ended(), 1);
  assert.match(broken.log, /TypeError: of its own\n    at .*wrong\.js/);
  const usage = new Process(none);
  assert.equal(await usage.ended(), 2);
  const help = new Process(none, "--help");
  assert.equal(await help.ended(), 0);
  assert.match(help.text, /DATABASE_URL/);
});

/** The program of a runtime that npm has installed; their packages run no install scripts. */
function runtime(name: string): string[] {
  if (name === "node") return [process.execPath];
  const platform = `${process.platform}-${process.arch}`;
  const abi = process.platform === "linux" ? "-glibc" : "";
  const places: Record<string, string[]> = {
    bun: [`@oven/bun-${platform.replace("arm64", "aarch64")}/bin/bun`, "bun/bin/bun.exe"],
    deno: [`@deno/${platform}${abi}/deno`],
  };
  const paths = (places[name] ?? []).map(place => join(root, "node_modules", place));
  const found = paths.find(path => existsSync(path));
  assert.ok(found, `${name} is not installed: npm ci`);
  return name === "deno" ? [found, "run", "--allow-all", "--quiet"] : [found];
}

for (const name of ["node", "bun", "deno"]) {
  test(`${name} runs the library`, async () => {
    const two = await flow(
      {
        name: "first",
        handler: "first",
        publishes_events: [{ name: "it.began", delivery: "fast" }],
      },
      { name: "second", dependencies: ["first"], handler: "second" },
    );
    const [program = "", ...args] = runtime(name);
    const smoke = join(here, "apps/smoke.js");
    const all = [...args, smoke, two.namespace, databaseUrl()];
    const { stdout } = await promisify(execFile)(program, all, { timeout: 60_000, cwd: root });
    assert.equal(stdout, "complete true\n");
    const { rows } = await pool.query(
      "select error from tasker.step_overview where error is not null and task_id in " +
        "(select task_id from tasker.task_overview where namespace = $1)",
      [two.namespace],
    );
    for (const { error } of rows) assert.match(error.message, /smoke\.js:\d+/);
  });
}

test("no file is longer than 500 lines, and no line than 100 bytes", async () => {
  const kinds = ["*.ts", "*.cts", "*.mjs"];
  const listed = ["ls-files", "--cached", "--others", "--exclude-standard", ...kinds];
  const { stdout } = await promisify(execFile)("git", listed, { cwd: root });
  // One that was deleted is listed until that is committed.
  for (const name of stdout.split("\n").filter(one => one && existsSync(join(root, one)))) {
    const lines = readFileSync(join(root, name), "utf8").split("\n");
    assert.ok(lines.length <= 500, `${name}: ${lines.length} lines`);
    lines.forEach((line, n) => {
      assert.ok(Buffer.byteLength(line) <= 100, `${name}:${n + 1}: ${Buffer.byteLength(line)}`);
    });
  }
});
