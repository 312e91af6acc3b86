/**
 * What a handler returns besides a plain result.
 */
import { type Failure, failureOf } from "./errors.js";
import { writeJson } from "./exactJson.js";

const BRAND = Symbol.for("pgtasker.outcome");
/** No setting allows a batch more instances. */
export const MAX_CURSORS = 1_000_000;

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
  return new Outcome("decision", { create_steps: writeJson([...steps], "create_steps") });
}

/** Ends a batchable step: an instance for each cursor. The caller bounds their number. */
export function batchesOf(cursors: readonly unknown[]): Outcome {
  const written = cursors.map((cursor, n) => writeJson(cursor, `cursors/${n}`));
  return new Outcome("batches", { cursors: `[${written.join(",")}]` });
}

/** Saves where a step goes on. */
export function checkpointOf(cursor: unknown, itemsProcessed: number, sum: unknown): Outcome {
  return new Outcome("checkpoint", {
    cursor: writeJson(cursor ?? null, "cursor"),
    items_processed: writeJson(itemsProcessed, "items_processed"),
    accumulated: writeJson(sum ?? null, "accumulated"),
  });
}

/** What a handler returned, as the JSON of an outcome; undefined is null. */
export function outcomeText(returned: unknown): string {
  if (typeof returned === "object" && returned !== null && BRAND in returned) {
    return (returned as unknown as Outcome).text();
  }
  return `{"type":"success","result":${writeJson(returned ?? null)}}`;
}

/** What a handler threw, as the JSON of an outcome. */
export function failureText(error: unknown): string {
  return JSON.stringify({ type: "failure", ...failureOf(error) });
}
