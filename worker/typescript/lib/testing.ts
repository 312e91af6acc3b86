/**
 * Running one handler in a unit test: without a database, a worker, or the native module.
 */
import type { StepContext, StepItem } from "./context.js";
import { type StepError, PermanentError, errorOf } from "./errors.js";
import { type Json, parseJson, writeJson } from "./exactJson.js";
import { type Handler, type HandlerFunction, answerOf, handlerOf } from "./handler.js";
import { type Logger, withFields } from "./logger.js";
import { type Kind, checkOptions } from "./options.js";
import { type StepOutcome, failureText } from "./outcome.js";
import { randomUUID } from "node:crypto";

/** A request that a handler sends. */
export interface TestRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** What was given as `json`. */
  readonly json?: any;
  /** What was given as `body`. */
  readonly body?: Uint8Array;
  readonly idempotencySuffix?: string;
}

/** What is answered; the status is 200 unless it says otherwise. */
export interface TestResponse {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly json?: unknown;
  readonly body?: string | Uint8Array;
}

/** What the step is. */
export interface TestStep {
  readonly context?: unknown;
  readonly config?: unknown;
  /** The cursor of a batch instance, or what the template makes; with it the step counts as one. */
  readonly inputs?: unknown;
  /** Results by the names of parents. */
  readonly parents?: Readonly<Record<string, unknown>>;
  /** What it saved last. */
  readonly checkpoint?: {
    readonly cursor: unknown;
    readonly itemsProcessed: number;
    readonly accumulated?: unknown;
  };
  /** 1. */
  readonly attempt?: number;
  readonly taskId?: string;
  /** `step`. */
  readonly step?: string;
  readonly correlationId?: string;
  readonly traceparent?: string;
  /** What `ctx.state` is. */
  readonly state?: unknown;
  readonly bigint?: boolean;
  readonly logger?: Logger;
  /** Aborts `ctx.signal`, as a cancelled task does. */
  readonly signal?: AbortSignal;
  /**
   * Instances by the names of batch workers, for `ctx.batch(name)` and its pages; their summaries
   * are among the parents, unless those say otherwise.
   */
  readonly instances?: Readonly<Record<string, readonly TestInstance[]>>;
  /** Answers requests of the capability `api`; may throw. */
  readonly http?: (request: TestRequest) => TestResponse | Promise<TestResponse>;
  /** What the database says of a result in a transaction of its own; `accepted`. */
  readonly status?: string;
}

/** An instance of a batch. */
export interface TestInstance {
  readonly inputs?: unknown;
  readonly result?: unknown;
  readonly error?: unknown;
  /** `complete`, or `error` where it has an error. */
  readonly state?: string;
}

/** What the handler did. */
export interface Ran {
  /** As the worker would store it. */
  readonly outcome: StepOutcome;
  /** The result of a success or a decision; undefined of anything else. */
  readonly result: any;
  /** The failure as an error: its message, code, and whether it is retryable. */
  readonly error: StepError | undefined;
  /** What it has published, in order. */
  readonly events: readonly { readonly name: string; readonly payload: any }[];
  /** Requests over HTTP, in order. */
  readonly requests: readonly TestRequest[];
}

const STEP: Readonly<Record<keyof TestStep, Kind>> = {
  context: "any",
  config: "any",
  inputs: "any",
  parents: "any",
  checkpoint: "any",
  attempt: "whole",
  taskId: "text",
  step: "text",
  correlationId: "text",
  traceparent: "text",
  state: "any",
  bigint: "flag",
  logger: "logger",
  signal: "any",
  instances: "any",
  http: "any",
  status: "text",
};
const SILENT: Logger = { debug() {}, info() {}, warn() {}, error() {} };
/** Milliseconds; the template's default. */
const TIMEOUT = 300_000;
const PAGE = 1_000;

/**
 * Runs a handler, or a plain function, with this step, and returns what the worker would make of
 * it. A transaction of its own is begun and committed on the connection that the handler gives it;
 * only the step's end is not submitted.
 *
 * ```ts
 * const { result } = await run(charge, { context: { order: 7 }, parents: { reserve: { n: 1 } } });
 * ```
 */
export async function run(
  handler: Handler | HandlerFunction<any>,
  step: TestStep = {},
): Promise<Ran> {
  checkOptions("run", step, STEP);
  const world = new World(step);
  const runnable = handlerOf(handler);
  let text: string;
  try {
    const ctx = runnable.contextOf(world.item(), world.around());
    const cancel = (): void => (ctx as StepContext).cancel("cancelled");
    if (step.signal?.aborted) cancel();
    step.signal?.addEventListener("abort", cancel, { once: true });
    text = await answerOf(runnable, ctx);
    step.signal?.removeEventListener("abort", cancel);
  } catch (error) {
    text = failureText(error);
  }
  return world.ran(text);
}

/** What a claim carries of batches whose results are few and small. */
function summaries(batches: TestStep["instances"] = {}): Record<string, unknown> {
  const summary = (all: readonly TestInstance[]): unknown => {
    const complete = all.filter(one => stateOf(one) === "complete");
    return {
      instances: all.length,
      complete: complete.length,
      failed: all.filter(one => stateOf(one) === "error").length,
      results: complete.map(({ result = null }) => result),
    };
  };
  return Object.fromEntries(Object.entries(batches).map(([name, all]) => [name, summary(all)]));
}

function stateOf({ state, error }: TestInstance): string {
  return state ?? (error === undefined ? "complete" : "error");
}

class World {
  readonly events: { name: string; payload: any }[] = [];
  readonly requests: TestRequest[] = [];
  #prepared: StepOutcome | undefined;

  constructor(readonly step: TestStep) {}

  /** By way of JSON, as the worker hands it over. */
  item(): StepItem {
    const { step } = this;
    const taskId = step.taskId ?? randomUUID();
    const name = step.step ?? "step";
    const saved = step.checkpoint;
    const item = {
      task_id: taskId,
      step: name,
      handler: "handler",
      attempt: step.attempt ?? 1,
      claim_no: step.attempt ?? 1,
      correlation_id: step.correlationId ?? taskId,
      traceparent: step.traceparent ?? null,
      timeout_ms: TIMEOUT,
      idempotency_key: `${taskId}:${name}`,
      is_batch_instance: step.inputs !== undefined,
      is_paged: false,
      context: step.context ?? {},
      config: step.config ?? {},
      inputs: step.inputs ?? null,
      parents: { ...summaries(step.instances), ...step.parents },
      checkpoint: saved
        ? {
            cursor: saved.cursor,
            items_processed: saved.itemsProcessed,
            accumulated: saved.accumulated ?? null,
          }
        : null,
    };
    return this.#through(item) as unknown as StepItem;
  }

  around(): {
    state: unknown;
    logger: Logger;
    bigint: boolean;
    ask(what: string, args: string): Promise<Json>;
  } {
    const { state, logger = SILENT, bigint = false } = this.step;
    const ask = (what: string, args: string): Promise<Json> => this.#answer(what, args);
    return { state, logger: withFields(logger, {}), bigint, ask };
  }

  #through(value: unknown): Json {
    return parseJson(writeJson(value, "test"), this.step.bigint ?? false);
  }

  async #answer(what: string, args: string): Promise<Json> {
    const asked = parseJson(args, true) as any;
    switch (what) {
      case "publish":
        this.events.push(asked);
        return null;
      case "http":
        return await this.#http(asked);
      case "batch_page":
        return this.#page(asked);
      case "parent_page":
        return this.#parents(asked);
      case "prepare":
        this.#prepared = asked.outcome;
        return {
          statement: `select '${this.step.status ?? "accepted"}' as status`,
          parameters: [],
        };
      case "refused": {
        const code = String(asked.status);
        const message = `${code}: the step is no longer this worker's`;
        throw errorOf({ message, retryable: true, code });
      }
      default:
        return null;
    }
  }

  async #http(asked: any): Promise<Json> {
    const { method, url, headers, json, body, idempotency_suffix: suffix } = asked;
    const request: TestRequest = {
      method,
      url,
      headers,
      ...(json === undefined ? {} : { json }),
      ...(body === undefined ? {} : { body: Buffer.from(body, "base64") }),
      ...(suffix === undefined ? {} : { idempotencySuffix: suffix }),
    };
    this.requests.push(request);
    if (!this.step.http) throw new PermanentError("the test answers no requests: give it http");
    const answer = await this.step.http(request);
    const { status = 200 } = answer;
    const bytes = answer.json === undefined ? answer.body ?? "" : writeJson(answer.json);
    if (status >= 300 && !asked.allow_status?.includes(status)) {
      const retryable = status >= 500 || [408, 425, 429].includes(status);
      const { origin, pathname } = new URL(url);
      const message = `${method} ${origin}${pathname} answered ${status}`;
      throw errorOf({ message, retryable, code: `http_${status}` });
    }
    return {
      status,
      headers: Object.entries(answer.headers ?? {}),
      body: Buffer.from(bytes as string).toString("base64"),
    };
  }

  #page({ step, after, size = PAGE }: { step: string; after: number; size?: number }): Json {
    const all = this.step.instances?.[step] ?? [];
    const page = all.slice(after, after + size).map((one, n) => ({
      number: after + n + 1,
      step: `${step}_${String(after + n + 1).padStart(3, "0")}`,
      state: stateOf(one),
      inputs: one.inputs ?? null,
      result: one.result ?? null,
      error: one.error ?? null,
    }));
    return page.length > 0 ? this.#through(page) : null;
  }

  #parents({ after }: { after: string | null }): Json {
    if (after !== null) return null;
    const all = Object.entries(this.step.parents ?? {});
    return all.length > 0 ? this.#through(all) : null;
  }

  ran(text: string): Ran {
    let outcome = parseJson(text, true) as unknown as StepOutcome | { type: "submitted" };
    if (outcome.type === "submitted") outcome = this.#prepared as StepOutcome;
    const error = outcome.type === "failure" ? errorOf(outcome) : undefined;
    const result = "result" in outcome ? outcome.result : undefined;
    return { outcome, result, error, events: this.events, requests: this.requests };
  }
}
