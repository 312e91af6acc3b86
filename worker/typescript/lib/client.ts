/**
 * Enqueueing and looking, by plain SQL on the application's own connection and in its transaction.
 * Needs no native module.
 */
import { type Json, parseJson, writeJson } from "./exactJson.js";
import { type Kind, checkOptions, isFunction } from "./options.js";
import { setTimeout as sleep } from "node:timers/promises";

/** pg: a `Client`, a `Pool`, or a client of one. */
export interface PgQueryable {
  query(text: string, values?: any[]): Promise<{ readonly rows: any[] }>;
}

/** postgres.js: `sql`, or that of a transaction. */
export interface PostgresQueryable {
  unsafe(query: string, parameters?: any[]): PromiseLike<any[]>;
}

/** Prisma: the client, or that of an interactive transaction. */
export interface PrismaQueryable {
  $queryRawUnsafe(query: string, ...values: any[]): Promise<any>;
}

/** What statements can be sent by. Given a transaction, they are part of it. */
export type Queryable = PgQueryable | PostgresQueryable | PrismaQueryable;

/** A task to be enqueued. */
export interface NewTask {
  readonly namespace: string;
  /** The template's name. */
  readonly name: string;
  /** The input, an object; `{}`. Integers may be bigint. */
  readonly context?: unknown;
  /** Of the template; by default the current one. */
  readonly version?: string;
  /** Orders steps that are held or due; 0. */
  readonly priority?: number;
  /** Not before. */
  readonly runAt?: Date;
  /** The same key with the same content returns the task that is there. */
  readonly idempotencyKey?: string;
  /** Your id for everything that belongs together, a UUID. */
  readonly correlationId?: string;
  /** A W3C trace context that the task continues. */
  readonly traceparent?: string;
  /** False leaves the wake-up to the orchestrator's poll. */
  readonly notify?: boolean;
}

const TASK: Readonly<Record<keyof NewTask, Kind>> = {
  namespace: "any",
  name: "any",
  context: "any",
  version: "any",
  priority: "any",
  runAt: "any",
  idempotencyKey: "any",
  correlationId: "any",
  traceparent: "any",
  notify: "any",
};

/** How numbers are read that JavaScript's do not hold. */
export interface ReadOptions {
  /** Integers as bigint; without it they are errors, as decimals are. */
  readonly bigint?: boolean;
}

/** What `tasker.task_status` tells. */
export interface TaskStatus {
  readonly state: string;
  readonly [name: string]: any;
}

const ENQUEUE =
  "select tasker.enqueue_task($1::text, $2::text, $3::text::jsonb, $4::text, $5::text::int, " +
  "$6::text::timestamptz, $7::text, $8::text::uuid, $9::text, $10::text::boolean)::text " +
  "as value";

/**
 * Enqueues a task, in the connection's transaction where it is in one.
 *
 * @returns the task's id.
 * @throws the driver's error with an SQLSTATE such as TK001 (no such namespace), TK002 (template);
 *   PermanentError `invalid_result` where the context is no JSON.
 */
export async function enqueueTask(db: Queryable, task: NewTask): Promise<string> {
  checkOptions("enqueueTask", task, TASK);
  const [row] = await query(db, ENQUEUE, [
    task.namespace,
    task.name,
    writeJson(task.context ?? {}, "context"),
    task.version ?? null,
    String(task.priority ?? 0),
    task.runAt?.toISOString() ?? null,
    task.idempotencyKey ?? null,
    task.correlationId ?? null,
    task.traceparent ?? null,
    task.notify === undefined ? null : String(task.notify),
  ]);
  return row?.value as string;
}

/**
 * Enqueues a task for each context, all or none.
 *
 * @returns their ids in order.
 * @throws as {@link enqueueTask}.
 */
export async function enqueueTasks(
  db: Queryable,
  namespace: string,
  name: string,
  contexts: readonly unknown[],
): Promise<string[]> {
  const all = `[${contexts.map((one, n) => writeJson(one, `contexts/${n}`)).join(",")}]`;
  const rows = await query(
    db,
    "select id::text as value from tasker.enqueue_tasks($1::text, $2::text, " +
      "array(select jsonb_array_elements($3::text::jsonb))) with ordinality t (id, n) order by n",
    [namespace, name, all],
  );
  return rows.map(row => row.value as string);
}

/**
 * State, steps counted by state, error, and times.
 *
 * @throws the driver's error with SQLSTATE TK004: no such task.
 */
export async function taskStatus(db: Queryable, taskId: string): Promise<TaskStatus> {
  return (await read(db, "tasker.task_status", taskId, { bigint: true })) as TaskStatus;
}

/** Its input, as it was enqueued. */
export async function taskContext<T = any>(
  db: Queryable,
  taskId: string,
  options: ReadOptions = {},
): Promise<T> {
  return (await read(db, "tasker.task_context", taskId, options)) as T;
}

/**
 * Results of the leaf steps by name, or what an operator gave; null until it is complete.
 *
 * @throws PermanentError `unsafe_number` with the path of a number that would be rounded.
 */
export async function taskResult<T = any>(
  db: Queryable,
  taskId: string,
  options: ReadOptions = {},
): Promise<T | null> {
  return (await read(db, "tasker.task_result", taskId, options)) as T | null;
}

/** Cancels it; false: it had already finished. */
export async function cancelTask(
  db: Queryable,
  taskId: string,
  reason: string | null = null,
  by: string | null = null,
): Promise<boolean> {
  const [row] = await query(
    db,
    "select tasker.cancel_task($1::text::uuid, $2::text, $3::text)::text as value",
    [taskId, reason, by],
  );
  return row?.value === "true";
}

/** How {@link waitForTask} waits. */
export interface WaitOptions {
  /** Milliseconds; 60,000. */
  readonly timeoutMs?: number;
  /** Milliseconds between looks; 50. */
  readonly intervalMs?: number;
}

const FINISHED = new Set(["complete", "error", "cancelled", "resolved_manually"]);

/**
 * Waits until the task has finished, or is blocked by failures.
 *
 * @throws Error where that takes too long.
 */
export async function waitForTask(
  db: Queryable,
  taskId: string,
  { timeoutMs = 60_000, intervalMs = 50 }: WaitOptions = {},
): Promise<TaskStatus> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const status = await taskStatus(db, taskId);
    if (FINISHED.has(status.state) || status.state === "blocked_by_failures") return status;
    if (Date.now() > deadline) {
      throw new Error(`task ${taskId} is ${status.state} after ${timeoutMs} ms`);
    }
    await sleep(intervalMs);
  }
}

async function read(
  db: Queryable,
  call: string,
  taskId: string,
  { bigint = false }: ReadOptions,
): Promise<Json> {
  const [row] = await query(db, `select ${call}($1::text::uuid)::text as value`, [taskId]);
  return parseJson((row?.value as string | null) ?? "null", bigint);
}

type Value = string | null;

function isPostgres(db: Queryable): db is PostgresQueryable {
  return isFunction(db, "unsafe");
}

function isPrisma(db: Queryable): db is PrismaQueryable {
  return isFunction(db, "$queryRawUnsafe");
}

async function query(db: Queryable, text: string, values: Value[]): Promise<any[]> {
  if (isPostgres(db)) return await db.unsafe(text, values);
  if (isPrisma(db)) return (await db.$queryRawUnsafe(text, ...values)) as any[];
  if (isFunction(db, "query")) return (await db.query(text, values)).rows;
  // Without what it was given: that may be a URL with a password.
  throw new TypeError("give a Client or a Pool of pg, the sql of postgres.js, or Prisma's client");
}
