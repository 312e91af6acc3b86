/**
 * Batches: cutting cursors, working on one, saving progress, and reading what came of all.
 */
import type { StepContext } from "./context.js";
import { PermanentError } from "./errors.js";
import type { Json } from "./exactJson.js";
import { MAX_CURSORS, type Outcome, batchesOf, checkpointOf } from "./outcome.js";
import { type Output, type StandardSchema, typed } from "./schema.js";

/**
 * The items from `start` up to, and without, `end`. Any other JSON may be a cursor too; of this
 * form the database counts the items.
 */
export interface Cursor {
  readonly start: number;
  readonly end: number;
}

/** A first item and the one behind the last. */
export type Range = readonly [start: number, end: number] | Cursor;

/** What a step saved before it yielded. */
export interface Checkpoint<C = any, A = any> {
  /** Where to go on. */
  readonly cursor: C;
  /** Items done since the step's first claim. */
  readonly itemsProcessed: number;
  /** What has come of them. */
  readonly accumulated: A;
}

/** For the handlers of batches; checkpoints are for any step. */
export interface Batchable {
  /**
   * The range in `parts` parts, in order, whose lengths differ by one at most. None is empty: fewer
   * items than parts give as many parts as items.
   */
  split(range: Range, parts: number): Generator<Cursor>;
  /** The range in parts of `size` items, in order; the last may have fewer, none is empty. */
  splitBy(range: Range, size: number): Generator<Cursor>;
  /**
   * Ends a batchable step: an instance of its batch worker for each cursor. None: what follows runs
   * with an empty set.
   *
   * @throws PermanentError where a cursor is no JSON, or they are more than 1,000,000.
   */
  batches(cursors: Iterable<unknown>): Outcome;
  /**
   * The cursor of this instance.
   *
   * @throws PermanentError where the step is no instance of a batch, or the cursor does not fit.
   */
  cursor<T extends StandardSchema>(this: StepContext, schema: T): Output<T>;
  cursor<T = any>(this: StepContext): T;
  /** What this step saved last, on whatever worker; null: it has saved nothing and begins. */
  readonly lastCheckpoint: Checkpoint | null;
  /**
   * Saves where to go on, how many items have been done since the step's first claim, and what has
   * come of them. The step goes back to its queue; the next claim has it as `lastCheckpoint`.
   */
  checkpoint(cursor: unknown, itemsProcessed: number, accumulated?: unknown): Outcome;
  /**
   * What the instances of the batch worker `step`, a parent of this step, brought.
   *
   * @throws PermanentError where there is no such parent, or it is no batch worker.
   */
  batch(this: StepContext, step: string): Batch;
}

/** An instance of a batch. */
export interface Instance<T = any> {
  /** From 1. */
  readonly number: number;
  readonly step: string;
  /** Such as `complete`. */
  readonly state: string;
  /** Its cursor. */
  readonly inputs: any;
  /** Null unless it is complete. */
  readonly result: T | null;
  /** Null unless it failed. */
  readonly error: any;
}

interface Summary {
  readonly instances: number;
  readonly complete: number;
  readonly failed: number;
  readonly results: Json[] | null;
}

/** What the instances of a batch worker brought. */
export class Batch {
  /** How many instances there were. */
  readonly instances: number;
  /** How many of them are complete. */
  readonly complete: number;
  /** How many failed for good. */
  readonly failed: number;
  readonly #ctx: StepContext;
  readonly #step: string;
  readonly #results: Json[] | null;

  /** @internal */
  constructor(ctx: StepContext, step: string, summary: Summary) {
    this.instances = summary.instances;
    this.complete = summary.complete;
    this.failed = summary.failed;
    this.#ctx = ctx;
    this.#step = step;
    this.#results = summary.results;
  }

  /**
   * The results of those that are complete, in order; null: they are too many or too large, and
   * {@link pages} reads them.
   *
   * @throws PermanentError that names the field, where a result does not fit the schema.
   */
  results<T extends StandardSchema>(schema: T): Output<T>[] | null;
  results<T = any>(): T[] | null;
  results(schema?: StandardSchema): unknown[] | null {
    const what = (n: number): string => `parents.${this.#step}.results[${n}]`;
    return this.#results?.map((result, n) => typed(schema, result, what(n))) ?? null;
  }

  /**
   * All instances in order, in pages of `size` (1,000), whether the claim carried their results or
   * not.
   *
   * @throws PermanentError that names the field, where a result does not fit the schema;
   *   RetryableError where the step is cancelled meanwhile.
   */
  pages<T extends StandardSchema>(
    schema: T,
    options?: { readonly size?: number },
  ): AsyncGenerator<Instance<Output<T>>[]>;
  pages<T = any>(
    schema?: undefined,
    options?: { readonly size?: number },
  ): AsyncGenerator<Instance<T>[]>;
  async *pages(
    schema?: StandardSchema,
    options: { readonly size?: number } = {},
  ): AsyncGenerator<Instance[]> {
    const size = options.size === undefined ? {} : { size: options.size };
    for (let after = 0; ; ) {
      const asked = { step: this.#step, after, ...size };
      const page = (await this.#ctx.ask("batch_page", asked)) as unknown as Instance[] | null;
      const last = page?.at(-1);
      if (!page || !last) return;
      yield page.map(one => ({ ...one, result: this.#result(one, schema) }));
      after = last.number;
    }
  }

  #result(one: Instance, schema: StandardSchema | undefined): unknown {
    if (one.state !== "complete") return one.result;
    return typed(schema, one.result, `${one.step}`);
  }
}

function bounds(range: Range): Cursor {
  const [start, end] = isCursor(range) ? [range.start, range.end] : [range?.[0], range?.[1]];
  if (!isWhole(start) || !isWhole(end) || start < 0) {
    throw new PermanentError(`a range goes from one whole number to another: [0, rows]`);
  }
  return { start, end: Math.max(start, end) };
}

function isWhole(value: unknown): value is number {
  return Number.isSafeInteger(value);
}

function isCursor(range: Range): range is Cursor {
  return typeof range === "object" && range !== null && "start" in range;
}

/** The methods of the capability. */
export const batchableMethods: Batchable = {
  *split(range, parts) {
    const { start, end } = bounds(range);
    const count = Math.min(Math.max(Math.floor(parts) || 1, 1), end - start);
    const length = count > 0 ? Math.floor((end - start) / count) : 0;
    const more = count > 0 ? (end - start) % count : 0;
    for (let n = 0, from = start; n < count; n += 1) {
      // The first ones have one more, until none is left over.
      const to = from + length + (n < more ? 1 : 0);
      yield { start: from, end: to };
      from = to;
    }
  },
  *splitBy(range, size) {
    const { start, end } = bounds(range);
    const step = Math.max(Math.floor(size) || 1, 1);
    for (let from = start; from < end; from += step) {
      yield { start: from, end: Math.min(from + step, end) };
    }
  },
  batches(cursors) {
    const all: unknown[] = [];
    for (const cursor of cursors) {
      if (all.length === MAX_CURSORS) {
        const text =
          "more than 1,000,000 cursors: no batch may have that many instances " +
          "(max_instances in tasker.settings): let each cover more";
        throw new PermanentError(text, { code: "invalid_outcome" });
      }
      all.push(cursor);
    }
    return batchesOf(all);
  },
  cursor(this: StepContext, schema?: StandardSchema): any {
    if (!this.isBatchInstance) {
      const text = `step ${this.step} is no instance of a batch: it has no cursor`;
      throw new PermanentError(text, { code: "invalid_input" });
    }
    return schema === undefined ? this.inputs() : this.inputs(schema);
  },
  get lastCheckpoint() {
    return saved((this as unknown as StepContext).savedCheckpoint());
  },
  checkpoint: checkpointOf,
  batch(step) {
    const summary = this.parent(step) as Summary | null;
    if (typeof summary?.instances !== "number" || typeof summary.complete !== "number") {
      const text = `parents.${step}: it is no batch worker's`;
      throw new PermanentError(text, { code: "invalid_input" });
    }
    return new Batch(this, step, summary);
  },
};

function saved(checkpoint: Json): Checkpoint | null {
  if (checkpoint === null) return null;
  const { cursor, items_processed: itemsProcessed, accumulated } = checkpoint as any;
  return { cursor, itemsProcessed, accumulated };
}
