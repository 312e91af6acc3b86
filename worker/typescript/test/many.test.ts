// `--processes`: several workers, each in a process of its own.
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { setTimeout as sleep } from "node:timers/promises";
import { waitForTask } from "pgtasker";
import { environment } from "../dist/esm/processes.js";
import { type Flow, databaseUrl, flow, pool, until } from "./server.js";

after(() => pool.end());

const here = fileURLToPath(new URL(".", import.meta.url));
const cli = join(here, "../dist/esm/cli.js");

/** The command, and what it and its processes have said. */
class Command {
  readonly child: ChildProcess;
  text = "";
  log = "";
  code: number | null | undefined;

  constructor(namespace: string, args: string[], more: object = {}) {
    const env = {
      ...process.env,
      DATABASE_URL: databaseUrl(),
      TASKER_WORKER_NAMESPACE: namespace,
      ...more,
    };
    this.child = spawn(process.execPath, [cli, ...args], { env });
    this.child.stdout?.on("data", chunk => (this.text += chunk));
    this.child.stderr?.on("data", chunk => (this.log += chunk));
    this.child.once("exit", code => (this.code = code));
  }

  /** Process ids of the workers. */
  workers(): number[] {
    try {
      const found = execFileSync("pgrep", ["-P", String(this.child.pid)], { encoding: "utf8" });
      return found.trim().split("\n").map(Number);
    } catch {
      return [];
    }
  }

  async ended(): Promise<number | null> {
    await until(`it ends: ${this.log}`, () => this.code !== undefined);
    return this.code ?? null;
  }
}

async function working(count: number, more: object = {}): Promise<[Command, Flow]> {
  const slow = await flow({ name: "only", handler: "slow" });
  const app = join(here, "apps/worker.js");
  const command = new Command(slow.namespace, [app, "--processes", String(count)], more);
  const started = (): number => command.log.split("worker started").length - 1;
  await until(`all run: ${command.log}`, () => started() === count);
  return [command, slow];
}

function lives(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

test("one that dies is started again, and SIGTERM lets all of them end", async () => {
  const [command, slow] = await working(2);
  const [first = 0, second = 0] = command.workers();
  process.kill(first, "SIGKILL");
  await until("it is told", () => /process \d has ended with SIGKILL: .* in 1 s/.test(command.log));
  await until("there are two again", () => command.workers().length === 2);
  const [, third] = command.workers();
  assert.ok(command.workers().includes(second) && third !== first);
  const id = await slow.enqueue({ ms: 800 });
  await until("the step runs", () => command.text.includes("began"));
  command.child.kill("SIGTERM");
  assert.equal(await command.ended(), 0, command.log);
  assert.equal((await waitForTask(pool, id)).state, "complete");
});

test("a second signal ends them at once", async () => {
  const [command, slow] = await working(2);
  await slow.enqueue({ ms: 60_000 });
  await until("the step runs", () => command.text.includes("began"));
  const all = command.workers();
  command.child.kill("SIGINT");
  await sleep(400);
  command.child.kill("SIGINT");
  const began = Date.now();
  assert.equal(await command.ended(), 1);
  assert.ok(Date.now() - began < 2_000, "the grace period is longer");
  assert.ok(!all.some(lives));
});

test("the workers end with the command, also where it is killed", async () => {
  const [command] = await working(2);
  const all = command.workers();
  command.child.kill("SIGKILL");
  await until("they have ended", () => !all.some(lives));
});

test("one that cannot start is tried again, later each time", async () => {
  const app = join(here, "apps/wrong.js");
  const command = new Command("none", [app, "--processes=2"]);
  await until("they wait", () => command.log.split(": started again in 2 s").length === 3);
  assert.match(command.log, /the lease is 5ms.*\n(.*\n)*.*process 1 has ended with 1: .* in 1 s/);
  command.child.kill("SIGTERM");
  assert.equal(await command.ended(), 0, "none of them ran");
});

test("how many is a whole number", async () => {
  for (const many of ["0", "x", "-1", "1.5"]) {
    const command = new Command("none", ["app.js", `--processes=${many}`]);
    assert.equal(await command.ended(), 2);
    assert.match(command.log, /--processes N/);
  }
});

test("the port of the metrics is each one's own", () => {
  const port = (number: number, address?: string): unknown =>
    environment(number, address === undefined ? {} : { TASKER_WORKER_METRICS: address })[
      "TASKER_WORKER_METRICS"
    ];
  assert.equal(port(0, "127.0.0.1:9188"), "127.0.0.1:9188");
  assert.equal(port(3, "127.0.0.1:9188"), "127.0.0.1:9191");
  assert.equal(port(1, "[::1]:9188"), "[::1]:9189");
  for (const given of ["127.0.0.1:0", "off", ""]) assert.equal(port(2, given), given);
  assert.equal(port(2), undefined);
});
