/**
 * What a handler gets: its step's ids and documents, and what it may ask of the worker.
 */
import { quietController } from "./abort.js";
import { type StepError, PermanentError, RetryableError } from "./errors.js";
import { type Json, writeJson } from "./exactJson.js";
import { type Logger, withFields } from "./logger.js";
import { type Output, type StandardSchema, typed, typedLater } from "./schema.js";

/** A step as the native module hands it over. @internal */
export interface StepItem {
  readonly task_id: string;
  readonly step: string;
  readonly handler: string;
  readonly attempt: number;
  readonly claim_no: number;
  readonly correlation_id: string | null;
  readonly traceparent: string | null;
  readonly timeout_ms: number;
  readonly idempotency_key: string;
  readonly is_batch_instance: boolean;
  readonly is_paged: boolean;
  readonly context: Json;
  readonly config: Json;
  readonly inputs: Json;
  readonly parents: { readonly [step: string]: Json };
  readonly checkpoint: Json;
}

/** What is around a step. @internal */
export interface Surroundings {
  readonly state: unknown;
  readonly logger: Logger;
  readonly bigint: boolean;
  /** The step has ended, and a publisher is asked: nothing can go with its result any more. */
  readonly hasEnded?: boolean;
  /** Asks the worker; throws what the handler is to throw. */
  ask(what: string, args: string): Promise<Json>;
}

/** Reads a document: by a schema, or as whatever type the caller says it is, unchecked. */
export interface Reader {
  <T extends StandardSchema>(schema: T): Output<T>;
  <T = any>(): T;
}

/**
 * A step that runs; what handlers have without any capability. Their `context` and `parents` are as
 * their options say: see `Context`.
 */
export class StepContext<State = any> {
  readonly #item: StepItem;
  readonly #around: Surroundings;
  readonly #events: string[] = [];
  #abort: AbortController | undefined;
  #why: StepError | undefined;
  #logger: Logger | undefined;
  #submitted = false;

  /** @internal */
  constructor(item: StepItem, around: Surroundings) {
    this.#item = item;
    this.#around = around;
  }

  /** The task's id, a UUID. */
  get taskId(): string {
    return this.#item.task_id;
  }

  /** The step's name in its template; an instance of a batch has a number behind it. */
  get step(): string {
    return this.#item.step;
  }

  /** The name by which the handler was called. */
  get handler(): string {
    return this.#item.handler;
  }

  /** 1 for the first. */
  get attempt(): number {
    return this.#item.attempt;
  }

  /** The fence of this execution: every claim of a step has a higher one than those before. */
  get claimNo(): number {
    return this.#item.claim_no;
  }

  /** The caller's id for everything that belongs together, a UUID. */
  get correlationId(): string | null {
    return this.#item.correlation_id;
  }

  /** The W3C trace context for what the handler calls. */
  get traceparent(): string | null {
    return this.#item.traceparent;
  }

  /** Milliseconds that the handler may take, by its template. */
  get timeoutMs(): number {
    return this.#item.timeout_ms;
  }

  /** The same on every attempt since the last checkpoint: what HTTP calls carry. */
  get idempotencyKey(): string {
    return this.#item.idempotency_key;
  }

  /** Whether the step is an instance of a batch, so that it has a cursor. */
  get isBatchInstance(): boolean {
    return this.#item.is_batch_instance;
  }

  /** Whether the parents' results come by {@link parentPages} only. */
  get isPaged(): boolean {
    return this.#item.is_paged;
  }

  /** What was given to `createWorker({ state })`. */
  get state(): State {
    return this.#around.state as State;
  }

  /** A logger whose lines name the task and the step. */
  get logger(): Logger {
    const { task_id, step, correlation_id } = this.#item;
    this.#logger ??= withFields(this.#around.logger, { task_id, step, correlation_id });
    return this.#logger;
  }

  /**
   * Aborted when working on is pointless: the task was cancelled, the lease was lost, the timeout
   * is over, or the worker's grace period is. Its reason is an error to throw. What its listeners
   * throw is logged.
   */
  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = quietController(this.logger);
      if (this.#why !== undefined) this.#abort.abort(this.#why);
    }
    return this.#abort.signal;
  }

  /** @internal */
  cancel(why: string): void {
    this.#why ??= new RetryableError(`the step was to stop: ${why}`, { code: why });
    this.#abort?.abort(this.#why);
  }

  /** @internal What it is to handlers, their options say: see `Context`. */
  context(schema?: StandardSchema): any {
    return typed(schema, this.#item.context, "context");
  }

  /**
   * The handler's configuration in the template; `{}` where the template has none.
   *
   * @throws PermanentError `invalid_input` that names the field, where it does not fit the schema.
   */
  config<T extends StandardSchema>(schema: T): Output<T>;
  config<T = any>(): T;
  config(schema?: StandardSchema): unknown {
    return typed(schema, this.#item.config, "config");
  }

  /**
   * What the template makes as the step's inputs, or the cursor of a batch instance; null for a
   * step without either.
   *
   * @throws as {@link config}.
   */
  inputs<T extends StandardSchema>(schema: T): Output<T>;
  inputs<T = any>(): T;
  inputs(schema?: StandardSchema): unknown {
    return typed(schema, this.#item.inputs, "inputs");
  }

  /**
   * The result of the parent step `name`; undefined of one that does not exist in this task, where
   * the schema accepts that.
   *
   * @throws PermanentError where there is no such parent, or as {@link config}.
   */
  parent<T extends StandardSchema>(name: string, schema: T): Output<T>;
  parent<T = any>(name: string): T;
  parent(name: string, schema?: StandardSchema): unknown {
    if (schema !== undefined && this.#isAbsent(name)) {
      try {
        return typed(schema, undefined, name);
      } catch {
        // It is needed.
      }
    }
    return typed(schema, this.#parent(name), `parents.${name}`);
  }

  #isAbsent(name: string): boolean {
    return !this.isPaged && !Object.hasOwn(this.#item.parents, name);
  }

  /** @internal See `Context`. */
  get parents(): Readonly<Record<string, any>> {
    return this.#item.parents;
  }

  #parent(name: string): Json {
    const { parents, step } = this.#item;
    const result = Object.hasOwn(parents, name) ? parents[name] : undefined;
    if (result !== undefined) return result;
    if (this.isPaged) {
      const text = `parents.${name}: too large for a claim: read it with ctx.parentPages()`;
      throw new PermanentError(text, { code: "input_too_large" });
    }
    const known = Object.keys(parents).join(", ") || "none";
    const text = `parents.${name}: not a parent of step ${step} (its parents: ${known})`;
    throw new PermanentError(text, { code: "invalid_input" });
  }

  /**
   * The results of all parents by name, in pages, so that no more than a page is in memory; for
   * handlers with the option `paged`.
   *
   * @throws PermanentError where a result does not fit the schema; RetryableError where the step
   *   is cancelled meanwhile.
   */
  parentPages<T extends StandardSchema>(schema: T): AsyncGenerator<[string, Output<T>][]>;
  parentPages<T = any>(): AsyncGenerator<[string, T][]>;
  async *parentPages(schema?: StandardSchema): AsyncGenerator<[string, unknown][]> {
    let after: string | null = null;
    for (;;) {
      const page = (await this.ask("parent_page", { after })) as [string, Json][] | null;
      const last = page?.at(-1);
      if (!page || !last) return;
      yield page.map(([name, value]) => [name, typed(schema, value, `parents.${name}`)]);
      [after] = last;
    }
  }

  /** @internal What the step saved last. */
  savedCheckpoint(): Json {
    return this.#item.checkpoint;
  }

  /** @internal Whether integers may be bigint. */
  allowsBigint(): boolean {
    return this.#around.bigint;
  }

  /** @internal Asks the worker; `args` is JSON, or what can be made it. */
  ask(what: string, args: object | string): Promise<Json> {
    if (this.#around.hasEnded) return Promise.reject(ended());
    return this.#around.ask(what, typeof args === "string" ? args : writeJson(args, what));
  }

  /** @internal Adds an event to those that go with the result. */
  addEvent(name: string, payload: unknown): void {
    if (this.#around.hasEnded) throw ended();
    const text = writeJson(payload ?? null, `event ${name}`);
    this.#events.push(`{"name":${writeJson(String(name), "event")},"payload":${text}}`);
  }

  /** @internal Hands the events over, in their order, before the outcome. */
  async sendEvents(): Promise<void> {
    for (let event = this.#events.shift(); event !== undefined; event = this.#events.shift()) {
      await this.ask("publish", event);
    }
  }

  /** @internal Whether events wait to be handed over. */
  hasEvents(): boolean {
    return this.#events.length > 0;
  }

  /** @internal Whether a transaction of its own has ended the step. */
  isSubmitted(): boolean {
    return this.#submitted;
  }

  /** @internal */
  setSubmitted(): void {
    this.#submitted = true;
  }

  /** @internal The documents that a handler's options name, as their schemas read them. */
  async readBy(
    context: StandardSchema | undefined,
    parents: Readonly<Record<string, StandardSchema>> | undefined,
  ): Promise<void> {
    if (context !== undefined) {
      const value = await typedLater(context, this.#item.context, "context");
      Object.defineProperty(this, "context", { value, enumerable: true });
    }
    if (parents !== undefined) {
      const read: Record<string, unknown> = { ...this.#item.parents };
      for (const [name, schema] of Object.entries(parents)) {
        const absent = this.#isAbsent(name)
          ? await typedLater(schema, undefined, name).then(value => ({ value }), () => null)
          : null;
        read[name] = absent
          ? absent.value
          : await typedLater(schema, this.#parent(name), `parents.${name}`);
      }
      Object.defineProperty(this, "parents", { value: read, enumerable: true });
    }
  }

  /** Names the step; never shows its data. */
  toJSON(): object {
    return { taskId: this.taskId, step: this.step, attempt: this.attempt };
  }
}

function ended(): PermanentError {
  return new PermanentError("a publisher cannot ask anything of its step, which has ended");
}
