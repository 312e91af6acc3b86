/**
 * The worker: handlers by name, and one loop that runs the steps of its namespaces.
 */
import type { Capability, Standard } from "./capabilities.js";
import type { StepContext, StepItem, Surroundings } from "./context.js";
import { failureOf } from "./errors.js";
import { type Json, isSuspicious, parseJson, unsafeNumber, writeJson } from "./exactJson.js";
import { type DomainEvent, type Publication, type Publisher, Subscription } from "./events.js";
import {
  type Context,
  type Handler,
  type HandlerFunction,
  type HandlerOptions,
  type ParentSchemas,
  answerOf,
  handlerOf,
} from "./handler.js";
import { type Logger, standardError, withFields } from "./logger.js";
import { load } from "./native.js";
import { failureText } from "./outcome.js";
import { resolvedBy, type Resolver } from "./resolver.js";
import type { StandardSchema } from "./schema.js";
import { Session, untilSignal } from "./session.js";
import { findTracing } from "./trace.js";

/** How a worker works; the variables of `tasker worker` go before all but `databaseUrl`. */
export interface WorkerOptions<State = any> {
  /** Goes before `DATABASE_URL`. */
  readonly databaseUrl?: string;
  /** The namespaces that it serves. */
  readonly namespace?: string | readonly string[];
  /** Steps at once; 64. */
  readonly concurrency?: number;
  /** Milliseconds for which a claim holds; 30,000. */
  readonly leaseMs?: number;
  /** Milliseconds that running steps have to end in at shutdown; 10,000. */
  readonly graceMs?: number;
  /** Never LISTEN, as behind a pooler. */
  readonly pollOnly?: boolean;
  /** Milliseconds between looks for work that nobody has announced; 1,000. */
  readonly pollIntervalMs?: number;
  /** What is logged, in the form of `RUST_LOG`, which goes before it; `info`. */
  readonly log?: string;
  /** Where the log goes; standard error. */
  readonly logger?: Logger;
  /** What handlers find as `ctx.state`. */
  readonly state?: State;
  /** Whether integers beyond what a number holds are bigint; else steps that get one fail. */
  readonly bigint?: boolean;
}

const OPTIONS = new Set<string>([
  "databaseUrl",
  "namespace",
  "concurrency",
  "leaseMs",
  "graceMs",
  "pollOnly",
  "pollIntervalMs",
  "log",
  "logger",
  "state",
  "bigint",
] satisfies (keyof WorkerOptions)[]);

interface Run extends StepItem {
  readonly id: number;
  readonly inexact?: string[];
}

interface PublicationItem extends Publication {
  readonly id: number;
  readonly pattern: string;
  readonly step: StepItem & { readonly inexact?: string[] };
}

/** A worker, made by {@link createWorker}. */
export class Worker<State = any> {
  readonly #options: WorkerOptions<State>;
  readonly #logger: Logger;
  readonly #handlers = new Map<string, Handler>();
  readonly #resolvers: Resolver[] = [];
  readonly #resolved = new Map<string, Handler>();
  readonly #publishers = new Map<string, Publisher>();
  readonly #subscriptions: Subscription[] = [];
  /** Steps whose handlers have not returned. */
  readonly #running = new Map<number, StepContext>();
  /** Steps that wait for a resolver, and why they were to stop meanwhile. */
  readonly #resolving = new Map<number, string | undefined>();
  #session: Session | undefined;

  /** @internal */
  constructor(options: WorkerOptions<State>) {
    const unknown = Object.keys(options).find(name => !OPTIONS.has(name));
    if (unknown !== undefined) throw new TypeError(`createWorker has no option ${unknown}`);
    this.#options = options;
    this.#logger = withFields(options.logger ?? standardError, {});
  }

  /**
   * Registers the handler of a name, `callable` or `callable.method` in templates.
   *
   * @returns the handler, for `pgtasker/testing`.
   */
  handler(name: string, run: HandlerFunction<Context<State>>): Handler;
  handler(name: string, handler: Handler): Handler;
  handler<
    C extends StandardSchema | undefined = undefined,
    P extends ParentSchemas = {},
    const W extends readonly Capability[] = Standard,
  >(
    name: string,
    options: HandlerOptions<C, P, W>,
    run: HandlerFunction<Context<State, C, P, W>>,
  ): Handler;
  handler(name: string, first: unknown, run?: HandlerFunction<any>): Handler {
    this.#notStarted();
    if (typeof name !== "string" || name === "") throw new TypeError("a handler has a name");
    if (this.#handlers.has(name)) throw new Error(`there is a handler ${name} already`);
    const handler = handlerOf(first, run);
    this.#handlers.set(name, handler);
    return handler;
  }

  /**
   * Registers every method of an object: `refund` of the callable `payments` is the handler
   * `payments.refund`. Names that begin with `_` are left out.
   */
  callable(name: string, object: object): void {
    for (const method of methodsOf(object)) {
      const run = (object as Record<string, HandlerFunction>)[method] as HandlerFunction;
      this.handler(`${name}.${method}`, ctx => run.call(object, ctx));
    }
  }

  /**
   * Adds a resolver, which is asked for handlers that are not registered. The worker then takes
   * steps of any handler, and gives back those that no resolver finds.
   */
  resolver(resolver: Resolver): void {
    this.#notStarted();
    this.#resolvers.push(resolver);
  }

  /** Gives a function the last word on events of a pattern, such as `payment.*`. */
  publisher(pattern: string, publisher: Publisher<State>): void {
    this.#notStarted();
    if (this.#publishers.has(pattern)) throw new Error(`${pattern} has a publisher already`);
    this.#publishers.set(pattern, publisher);
  }

  /**
   * Subscribes to fast and broadcast events of a pattern that this worker's steps announce, before
   * it starts:
   *
   * ```ts
   * for await (const event of worker.subscribe("payment.*")) …
   * ```
   */
  subscribe(pattern: string): Subscription {
    this.#notStarted();
    const subscription = new Subscription(pattern);
    this.#subscriptions.push(subscription);
    return subscription;
  }

  #notStarted(): void {
    if (this.#session !== undefined) throw new Error("the worker has started already");
  }

  /**
   * Starts it, and returns once it runs. Installs no handlers of signals.
   *
   * @throws Error where the native module is missing, or what is wrong with the configuration, a
   *   name, or the database.
   */
  async start(): Promise<void> {
    this.#notStarted();
    const end = (): void => this.#subscriptions.forEach(subscription => subscription.end());
    const { bigint = false } = this.#options;
    try {
      const native = load().Native.start(this.#nativeOptions());
      this.#session = new Session(native, this.#logger, bigint, (text, item) =>
        this.#take(text, item),
      );
    } catch (error) {
      end();
      throw error;
    }
    this.#session.ended.then(end, end);
    await findTracing();
    await this.#session.started();
  }

  /** Asks it to end: no more claims, and running steps have the grace period. Waits for the end. */
  async stop(): Promise<void> {
    this.#session?.native.shutdown();
    await this.#session?.ended;
  }

  /** Settled at its end; rejected with why, where it was not asked to end. */
  async ended(): Promise<void> {
    await this.#session?.ended;
  }

  /**
   * Runs it until SIGTERM or SIGINT; the first lets running steps end within the grace period, a
   * second ends the process at once.
   *
   * @throws as {@link start}, and why it ended otherwise.
   */
  async run(): Promise<void> {
    const started = this.start();
    const ended = started.then(() => this.ended());
    await untilSignal(() => this.#session?.native.shutdown(), ended);
  }

  /** Whether it can do its work, as /health tells it. */
  health(): Json {
    return JSON.parse(this.#session?.native.health() ?? "null") as Json;
  }

  /** The metrics of this process, as Prometheus reads them. */
  metrics(): string {
    return this.#session?.native.metrics() ?? "";
  }

  /** The id under which it stands in the database; null before it has started. */
  get id(): string | null {
    return this.#session?.native.id() ?? null;
  }

  #nativeOptions(): string {
    const { namespace = [], concurrency, leaseMs, graceMs, pollOnly } = this.#options;
    const paged = [...this.#handlers].filter(([, handler]) => handler.paged);
    const plain = [...this.#handlers].filter(([, handler]) => !handler.paged);
    const patterns = new Set(this.#subscriptions.map(({ pattern }) => pattern));
    return JSON.stringify({
      database_url: this.#options.databaseUrl,
      namespaces: [namespace].flat(),
      handlers: plain.map(([name]) => name),
      paged_handlers: paged.map(([name]) => name),
      resolver: this.#resolvers.length > 0,
      publishers: [...this.#publishers.keys()],
      subscriptions: [...patterns],
      concurrency,
      lease_ms: leaseMs,
      grace_ms: graceMs,
      poll_only: pollOnly,
      poll_interval_ms: this.#options.pollIntervalMs,
      log: this.#options.log,
    });
  }

  #take(text: string, item: { readonly type: string }): void {
    switch (item.type) {
      case "step":
        void this.#step(text, item as unknown as Run);
        return;
      case "cancel": {
        const { id, why } = item as unknown as { id: number; why: string };
        this.#running.get(id)?.cancel(why);
        if (this.#resolving.has(id)) this.#resolving.set(id, this.#resolving.get(id) ?? why);
        return;
      }
      case "publication":
        void this.#publication(text, item as unknown as PublicationItem);
        return;
      case "event":
        return this.#event(text, item as unknown as { pattern: string; event: DomainEvent });
      default:
        this.#logger.warn(`an item of the unknown type ${item.type} was left out`);
    }
  }

  #complete(id: number, text: string): void {
    this.#session?.complete(id, text);
  }

  #around(id: number): Surroundings {
    return {
      state: this.#options.state,
      logger: this.#logger,
      bigint: this.#options.bigint ?? false,
      ask: (what, args) =>
        this.#session?.ask(id, what, args) ?? Promise.reject(new Error("not started")),
    };
  }

  /** Whatever goes wrong is this step's failure. */
  async #step(text: string, item: Run): Promise<void> {
    const { id } = item;
    try {
      const handler = this.#handlers.get(item.handler) ?? (await this.#resolve(item));
      if (handler === undefined) return this.#complete(id, '{"type":"release"}');
      const exact = exactly(text, item, item.inexact, this.#options.bigint ?? false);
      const ctx = handler.contextOf(exact, this.#around(id));
      this.#running.set(id, ctx);
      const why = this.#resolving.get(id);
      if (why !== undefined) ctx.cancel(why);
      this.#complete(id, await answerOf(handler, ctx));
    } catch (error) {
      this.#complete(id, failureText(error));
    } finally {
      this.#running.delete(id);
      this.#resolving.delete(id);
    }
  }

  async #resolve({ id, handler }: Run): Promise<Handler | undefined> {
    this.#resolving.set(id, undefined);
    return await resolvedBy(this.#resolvers, this.#resolved, handler);
  }

  async #publication(text: string, item: PublicationItem): Promise<void> {
    try {
      const publisher = this.#publishers.get(item.pattern);
      if (publisher === undefined) throw new Error(`no publisher of ${item.pattern}`);
      const read = parseIf(text, item, this.#options.bigint ?? false);
      const { name, payload, metadata, step } = read;
      const around = { ...this.#around(item.id), hasEnded: true };
      const ctx = handlerOf(() => null).contextOf(step, around);
      const publication: Publication = { name, payload, metadata };
      const answer = await publisher(publication, ctx as Context<State>);
      this.#complete(item.id, publicationText(answer));
    } catch (error) {
      this.#complete(item.id, JSON.stringify({ error: failureOf(error).message }));
    }
  }

  #event(text: string, item: { pattern: string; event: DomainEvent }): void {
    const subscribers = this.#subscriptions.filter(({ pattern }) => pattern === item.pattern);
    try {
      const { event } = parseIf(text, item, this.#options.bigint ?? false);
      subscribers.forEach(subscription => subscription.deliver(event));
    } catch (error) {
      subscribers.forEach(subscription => subscription.lose());
      this.#logger.warn(`an event was lost: ${String(error)}`, { event_id: item.event.id });
    }
  }
}

/**
 * Makes a worker:
 *
 * ```ts
 * const worker = createWorker({ namespace: "orders" });
 * worker.handler("charge_card", async ctx => …);
 * await worker.run();
 * ```
 */
export function createWorker<State = undefined>(
  options: WorkerOptions<State> = {},
): Worker<State> {
  return new Worker(options);
}

/** The item with its numbers as they are. Most have none that a double rounds. */
function exactly<T>(text: string, item: T, inexact: string[] | undefined, bigint: boolean): T {
  const [first] = inexact ?? [];
  if (first === undefined) return item;
  if (!bigint) throw unsafeNumber(first, false);
  return parseJson(text, true) as T;
}

/** The same for items that do not say whether they have such numbers. */
function parseIf<T>(text: string, item: T, bigint: boolean): T {
  return isSuspicious(text) ? (parseJson(text, bigint) as T) : item;
}

function publicationText(answer: Publication | null): string {
  if (answer === null) return "null";
  if (typeof answer !== "object") {
    throw new TypeError("a publisher returns the event, or null to keep it back");
  }
  const payload = writeJson(answer.payload ?? null, "payload");
  return `{"payload":${payload},"metadata":${writeJson(answer.metadata ?? null, "metadata")}}`;
}

/** Names of an object's methods, those of its classes included. */
function methodsOf(object: object): string[] {
  const names = new Set<string>();
  for (let at: object | null = object; at && at !== Object.prototype; ) {
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(at))) {
      const isMethod = typeof value === "function" && name !== "constructor";
      if (isMethod && !name.startsWith("_")) names.add(name);
    }
    at = Object.getPrototypeOf(at) as object | null;
  }
  return [...names].sort();
}
