/**
 * The worker: handlers by name, and one loop that runs the steps of its namespaces.
 */
import type { Capability, Standard } from "./capabilities.js";
import type { StepContext, StepItem, Surroundings } from "./context.js";
import { failureOf } from "./errors.js";
import { isSuspicious, parseJson, unsafeNumber, writeJson } from "./exactJson.js";
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
import type { Logger } from "./logger.js";
import { type Native, load } from "./native.js";
import { type Kind, checkOptions } from "./options.js";
import { failureText } from "./outcome.js";
import { Program } from "./program.js";
import { resolvedBy, type Resolver } from "./resolver.js";
import type { StandardSchema } from "./schema.js";
import type { Session } from "./session.js";

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

const OPTIONS: Readonly<Record<keyof WorkerOptions, Kind>> = {
  databaseUrl: "text",
  namespace: "texts",
  concurrency: "whole",
  leaseMs: "whole",
  graceMs: "whole",
  pollOnly: "flag",
  pollIntervalMs: "whole",
  log: "text",
  logger: "logger",
  state: "any",
  bigint: "flag",
};

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
export class Worker<State = any> extends Program {
  readonly #options: WorkerOptions<State>;
  readonly #handlers = new Map<string, Handler>();
  readonly #resolvers: Resolver[] = [];
  readonly #resolved = new Map<string, Handler>();
  readonly #publishers = new Map<string, Publisher>();
  readonly #subscriptions: Subscription[] = [];
  /** Steps whose handlers have not returned. */
  #running = new Map<number, StepContext>();
  /** Steps that wait for a resolver, and why they were to stop meanwhile. */
  #resolving = new Map<number, string | undefined>();

  /** @internal */
  constructor(options: WorkerOptions<State>) {
    checkOptions("createWorker", options, OPTIONS);
    super("worker", options);
    this.#options = options;
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
    this.notRunning();
    if (typeof name !== "string" || name === "") throw new TypeError("a handler has a name");
    if (this.#handlers.has(name)) throw new Error(`there is a handler ${name} already`);
    const handler = handlerOf(first, run);
    this.#handlers.set(name, handler);
    return handler;
  }

  /**
   * Registers every method of an object: `refund` of the callable `payments` is the handler
   * `payments.refund`. Of a class, its static methods. Names that begin with `_` are left out.
   */
  callable(name: string, object: object): void {
    const methods = methodsOf(object);
    if (methods.length === 0) throw new TypeError(`the callable ${name} has no methods`);
    for (const method of methods) {
      const run = (object as Record<string, HandlerFunction>)[method] as HandlerFunction;
      this.handler(`${name}.${method}`, ctx => run.call(object, ctx));
    }
  }

  /**
   * Adds a resolver, which is asked for handlers that are not registered. The worker then takes
   * steps of any handler, and gives back those that no resolver finds.
   */
  resolver(resolver: Resolver): void {
    this.notRunning();
    if (typeof resolver !== "function") throw new TypeError("a resolver is a function");
    this.#resolvers.push(resolver);
  }

  /** Gives a function the last word on events of a pattern, such as `payment.*`. */
  publisher(pattern: string, publisher: Publisher<State>): void {
    this.notRunning();
    if (typeof publisher !== "function") throw new TypeError("a publisher is a function");
    checkPattern(pattern);
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
    this.notRunning();
    checkPattern(pattern);
    const subscription = new Subscription(pattern);
    this.#subscriptions.push(subscription);
    return subscription;
  }

  /** The id under which it stands in the database; null before it has started. */
  get id(): string | null {
    return this.session?.native.id() ?? null;
  }

  /** @internal */
  protected override open(): Native {
    return load().Native.start(this.#nativeOptions());
  }

  /** @internal */
  protected override over(): void {
    this.#subscriptions.splice(0).forEach(subscription => subscription.end());
    // Those that still run keep the old ones: the ids begin again with the next start.
    this.#running = new Map();
    this.#resolving = new Map();
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

  /** @internal */
  protected override take(session: Session, text: string, item: { readonly type: string }): void {
    switch (item.type) {
      case "step":
        void this.#step(session, text, item as unknown as Run);
        return;
      case "cancel": {
        const { id, why } = item as unknown as { id: number; why: string };
        this.#running.get(id)?.cancel(why);
        if (this.#resolving.has(id)) this.#resolving.set(id, this.#resolving.get(id) ?? why);
        return;
      }
      case "publication":
        void this.#publication(session, text, item as unknown as PublicationItem);
        return;
      case "event":
        return this.#event(text, item as unknown as { pattern: string; event: DomainEvent });
      default:
        this.logger.warn(`an item of the unknown type ${item.type} was left out`);
    }
  }

  #around(id: number, session: Session): Surroundings {
    return {
      state: this.#options.state,
      logger: this.logger,
      bigint: this.#options.bigint ?? false,
      ask: (what, args) => session.ask(id, what, args),
    };
  }

  /** Whatever goes wrong is this step's failure. */
  async #step(session: Session, text: string, item: Run): Promise<void> {
    const { id } = item;
    const [running, resolving] = [this.#running, this.#resolving];
    try {
      const handler = this.#handlers.get(item.handler) ?? (await this.#resolve(item));
      if (handler === undefined) return session.complete(id, '{"type":"release"}');
      const exact = exactly(text, item, item.inexact, this.#options.bigint ?? false);
      const ctx = handler.contextOf(exact, this.#around(id, session));
      running.set(id, ctx);
      const why = resolving.get(id);
      if (why !== undefined) ctx.cancel(why);
      session.complete(id, await answerOf(handler, ctx));
    } catch (error) {
      session.complete(id, failureText(error));
    } finally {
      running.delete(id);
      resolving.delete(id);
    }
  }

  async #resolve({ id, handler }: Run): Promise<Handler | undefined> {
    this.#resolving.set(id, undefined);
    return await resolvedBy(this.#resolvers, this.#resolved, handler);
  }

  async #publication(session: Session, text: string, item: PublicationItem): Promise<void> {
    try {
      const publisher = this.#publishers.get(item.pattern);
      if (publisher === undefined) throw new Error(`no publisher of ${item.pattern}`);
      const read = parseIf(text, item, this.#options.bigint ?? false);
      const { name, payload, metadata, step } = read;
      const around = { ...this.#around(item.id, session), hasEnded: true };
      const ctx = handlerOf(() => null).contextOf(step, around);
      const publication: Publication = { name, payload, metadata };
      const answer = await publisher(publication, ctx as Context<State>);
      session.complete(item.id, publicationText(answer));
    } catch (error) {
      session.complete(item.id, JSON.stringify({ error: failureOf(error).message }));
    }
  }

  #event(text: string, item: { pattern: string; event: DomainEvent }): void {
    const subscribers = this.#subscriptions.filter(({ pattern }) => pattern === item.pattern);
    try {
      const { event } = parseIf(text, item, this.#options.bigint ?? false);
      subscribers.forEach(subscription => subscription.deliver(event));
    } catch (error) {
      subscribers.forEach(subscription => subscription.lose());
      const { message } = failureOf(error);
      this.logger.warn(`an event was lost: ${message}`, { event_id: item.event.id });
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

function checkPattern(pattern: unknown): void {
  if (typeof pattern === "string" && pattern !== "") return;
  throw new TypeError("a pattern of events is a text, such as payment.*");
}

function publicationText(answer: Publication | null): string {
  if (answer === null) return "null";
  if (typeof answer !== "object" || !("payload" in answer)) {
    throw new TypeError("a publisher returns the event, or null to keep it back");
  }
  const payload = writeJson(answer.payload ?? null, "payload");
  return `{"payload":${payload},"metadata":${writeJson(answer.metadata ?? null, "metadata")}}`;
}

/** Names of an object's methods, those of its classes included. */
function methodsOf(object: object): string[] {
  const names = new Set<string>();
  const ends: unknown[] = [null, undefined, Object.prototype, Function.prototype];
  for (let at: object | null = object; at && !ends.includes(at); ) {
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(at))) {
      const isMethod = typeof value === "function" && name !== "constructor";
      if (isMethod && !name.startsWith("_")) names.add(name);
    }
    at = Object.getPrototypeOf(at) as object | null;
  }
  return [...names].sort();
}
