/**
 * What a handler returns besides a plain result.
 */
import { type Failure, PermanentError, failureOf } from "./errors.js";
import { OUTCOME as BRAND, writeJson } from "./exactJson.js";

/** No setting allows a batch more instances. */
export const MAX_CURSORS = 1_000_000;

/** Nor a longer outcome; batches may have the longest. */
const MAX_BYTES = 200_000_000;
/** Bytes of UTF-8 for a unit of a string. */
const MAX_UNIT = 3;

/** A step's outcome in the JSON form that all languages share. */
export type StepOutcome =
  | { readonly type: "success"; readonly result: unknown }
  | ({ readonly type: "failure" } & Failure)
  | { readonly type: "decision"; readonly create_steps: string[]; readonly result: unknown }
  | {
      readonly type: "batches";
      readonly worker_step?: string;
      readonly cursors: unknown[];
      readonly result: unknown;
    }
  | {
      readonly type: "checkpoint";
      readonly cursor: unknown;
      readonly items_processed: number;
      readonly accumulated: unknown;
    };

/** Members in their order, each as JSON. */
type Members = Readonly<Record<string, string>>;

/**
 * An outcome that is no plain result; made by `ctx.choose`, `ctx.batches`, and `ctx.checkpoint`,
 * and returned by the handler.
 */
export class Outcome {
  readonly type: "decision" | "batches" | "checkpoint";
  readonly #members: Members;

  /** @internal */
  constructor(type: Outcome["type"], members: Members) {
    this.type = type;
    this.#members = members;
    Object.defineProperty(this, BRAND, { value: true });
  }

  /** The same with this result, which a decision or a batch may have. */
  withResult(value: unknown): Outcome {
    if (this.type === "checkpoint") return this;
    return new Outcome(this.type, { ...this.#members, result: writeJson(value ?? null) });
  }

  /** Names the batch worker of the cursors; needed where the batchable step has several. */
  forWorker(step: string): Outcome {
    if (this.type !== "batches") return this;
    return new Outcome(this.type, { ...this.#members, worker_step: writeJson(step) });
  }

  /** @internal The outcome as JSON. */
  text(): string {
    return object({ type: `"${this.type}"`, ...this.#members });
  }
}

function object(members: Members): string {
  const parts = Object.entries(members).map(([name, json]) => `"${name}":${json}`);
  return `{${parts.join(",")}}`;
}

/** Ends a decision: these children come into being. */
export function decisionOf(steps: readonly string[]): Outcome {
  const other = steps.find(step => typeof step !== "string");
  if (other !== undefined) {
    const text = `ctx.choose takes names of steps, as in ctx.choose("a", "b"), not ${typeof other}`;
    throw new PermanentError(text, { code: "invalid_outcome" });
  }
  return new Outcome("decision", { create_steps: writeJson([...steps], "create_steps") });
}

/** Ends a batchable step: an instance for each cursor. The caller bounds their number. */
export function batchesOf(cursors: readonly unknown[]): Outcome {
  const written = cursors.map((cursor, n) => writeJson(cursor, `cursors/${n}`));
  return new Outcome("batches", { cursors: `[${written.join(",")}]` });
}

/** Saves where a step goes on. */
export function checkpointOf(cursor: unknown, itemsProcessed: number, sum: unknown): Outcome {
  if (!Number.isSafeInteger(itemsProcessed) || itemsProcessed < 0) {
    const given = typeof itemsProcessed === "number" ? itemsProcessed : typeof itemsProcessed;
    const text = `ctx.checkpoint: the items processed are a whole number, 0 or more, not ${given}`;
    throw new PermanentError(text, { code: "invalid_outcome" });
  }
  return new Outcome("checkpoint", {
    cursor: writeJson(cursor ?? null, "cursor"),
    items_processed: writeJson(itemsProcessed, "items_processed"),
    accumulated: writeJson(sum ?? null, "accumulated"),
  });
}

/** What a handler returned, as the JSON of an outcome; undefined is null. */
export function outcomeText(returned: unknown): string {
  if (typeof returned === "object" && returned !== null && BRAND in returned) {
    return fitting((returned as unknown as Outcome).text());
  }
  return fitting(`{"type":"success","result":${writeJson(returned ?? null)}}`);
}

/** PostgreSQL could not read it, and results of others would wait until the worker gives it up. */
function fitting(text: string): string {
  if (text.length <= MAX_BYTES / MAX_UNIT) return text;
  const bytes = Buffer.byteLength(text);
  if (bytes <= MAX_BYTES) return text;
  const told = `the result has ${bytes} bytes; no setting allows more than ${MAX_BYTES}`;
  throw new PermanentError(told, { code: "result_too_large" });
}

/** What a handler threw, as the JSON of an outcome. */
export function failureText(error: unknown): string {
  return JSON.stringify({ type: "failure", ...failureOf(error) });
}
