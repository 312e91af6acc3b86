// What tests against a real server share: a database, flows of one's own, and workers.
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import {
  type Logger,
  type TaskStatus,
  type Worker,
  type WorkerOptions,
  createWorker,
  enqueueTask,
  taskResult,
  taskStatus,
  waitForTask,
} from "pgtasker";

/** Milliseconds in which everything must have happened. */
export const SOON = 30_000;
/** Between two looks. */
const LOOK = 20;

/** The database that the tests' server runs on. */
export function databaseUrl(): string {
  return process.env["TASKER_TEST_DATABASE"] ?? assert.fail("run the tests by npm test");
}

/** For the test's own statements. */
export const pool = new pg.Pool({ connectionString: databaseUrl(), max: 8 });

/** Waits until a condition holds. */
export async function until<T>(
  what: string,
  look: () => T | undefined | false | Promise<T | undefined | false>,
): Promise<T> {
  const deadline = Date.now() + SOON;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    if (Date.now() > deadline) assert.fail(`never: ${what}`);
    await sleep(LOOK);
  }
}

/** A step as in a template; retries are quick unless it says otherwise. */
export interface Step {
  readonly name: string;
  readonly handler: string | { callable: string; method?: string; config?: object };
  readonly [more: string]: unknown;
}

/** What a failed step says. */
export interface Failed {
  readonly message: string;
  readonly code?: string;
  readonly attempts: number;
}

/** A template with a namespace of its own. */
export class Flow {
  constructor(readonly namespace: string) {}

  async enqueue(context: unknown = {}, more: object = {}): Promise<string> {
    const task = { namespace: this.namespace, name: "flow", context, ...more };
    return await enqueueTask(pool, task);
  }

  /** Enqueues a task and returns its result, or that of its only leaf. */
  async result(context: unknown = {}, bigint = false): Promise<any> {
    const id = await this.enqueue(context);
    const status = await waitForTask(pool, id, { timeoutMs: SOON });
    assert.equal(status.state, "complete", JSON.stringify(await errorsOf(id)));
    const result = await taskResult(pool, id, { bigint });
    const leaves = Object.values(result);
    return leaves.length === 1 ? leaves[0] : result;
  }

  /** Enqueues a task that is to fail, and returns what its first failed step says. */
  async failure(context: unknown = {}): Promise<Failed> {
    const id = await this.enqueue(context);
    const status = await waitForTask(pool, id, { timeoutMs: SOON });
    assert.notEqual(status.state, "complete");
    const [failure] = await errorsOf(id);
    return failure ?? assert.fail("no step has failed");
  }
}

/** What failed steps of a task say. */
export async function errorsOf(id: string): Promise<any[]> {
  const { rows } = await pool.query(
    "select error, attempt from tasker.step_overview where task_id = $1 and error is not null",
    [id],
  );
  return rows.map(({ error, attempt }) => ({ ...error, attempts: attempt }));
}

/** The state of a task. */
export async function stateOf(id: string): Promise<TaskStatus> {
  return await taskStatus(pool, id);
}

let flows = 0;

/** Applies a template of these steps. */
export async function flow(...steps: Step[]): Promise<Flow> {
  flows += 1;
  const namespace = `ts_${process.pid}_${flows}`;
  const definition = {
    namespace,
    name: "flow",
    version: "1",
    steps: steps.map(step => ({
      retry: { max_attempts: 2, backoff_base_ms: 10 },
      ...step,
      handler: typeof step.handler === "string" ? { callable: step.handler } : step.handler,
    })),
  };
  await pool.query("select * from tasker.apply_template($1::text::jsonb)", [
    JSON.stringify(definition),
  ]);
  return new Flow(namespace);
}

/** A logger that keeps its lines. */
export class Lines implements Logger {
  readonly all: { level: string; message: string; fields: Record<string, unknown> }[] = [];
  readonly debug = this.#at("debug");
  readonly info = this.#at("info");
  readonly warn = this.#at("warn");
  readonly error = this.#at("error");

  #at(level: string) {
    return (message: string, fields: object = {}): void => {
      this.all.push({ level, message, fields: { ...fields } });
    };
  }
}

/** Runs a worker of the flow's namespace for as long as `body` takes. */
export async function working<T>(
  { namespace }: Flow,
  configure: (worker: Worker) => void,
  body: (worker: Worker) => Promise<T>,
  options: WorkerOptions = {},
): Promise<T> {
  const base = { databaseUrl: databaseUrl(), namespace, logger: new Lines(), graceMs: 2_000 };
  const worker = createWorker({ ...base, ...options });
  configure(worker);
  await worker.start();
  try {
    return await body(worker);
  } finally {
    await worker.stop();
  }
}
