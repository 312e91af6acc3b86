/**
 * A consumer of a namespace's durable events: at least once each, with retries and dead letters.
 */
import { failureText } from "./outcome.js";
import { isSuspicious, parseJson } from "./exactJson.js";
import type { DomainEvent } from "./events.js";
import { type Logger, standardError, withFields } from "./logger.js";
import { load } from "./native.js";
import { Session, untilSignal } from "./session.js";
import { findTracing, withTrace } from "./trace.js";

/** How a consumer works. */
export interface ConsumerOptions {
  /** Goes before `DATABASE_URL`. */
  readonly databaseUrl?: string;
  /** Whose events it reads. */
  readonly namespace: string;
  /** Events at once; 16. */
  readonly concurrency?: number;
  /** Milliseconds for which an event is kept from others; a handler may take three quarters. */
  readonly visibleMs?: number;
  /** Attempts until an event becomes a dead letter; 10. */
  readonly maxAttempts?: number;
  /** Milliseconds that running handlers have to end in at shutdown. */
  readonly graceMs?: number;
  /** Never LISTEN, as behind a pooler. */
  readonly pollOnly?: boolean;
  /** What is logged, in the form of `RUST_LOG`, which goes before it. */
  readonly log?: string;
  /** Where the log goes; standard error. */
  readonly logger?: Logger;
  /** Whether integers beyond what a number holds are bigint; else such events fail for good. */
  readonly bigint?: boolean;
}

/**
 * Handles an event. What it throws has the event read again, later each time; a `PermanentError`
 * makes it a dead letter. `event.id` is the key by which an event that comes again is known.
 */
export type EventHandler = (event: DomainEvent) => unknown;

/** A consumer, made by {@link createConsumer}. */
export class Consumer {
  readonly #options: ConsumerOptions;
  readonly #logger: Logger;
  #handler: EventHandler | undefined;
  #session: Session | undefined;

  /** @internal */
  constructor(options: ConsumerOptions) {
    this.#options = options;
    this.#logger = withFields(options.logger ?? standardError, {});
  }

  /** Gives the function that handles every event of the namespace. */
  handler(handler: EventHandler): EventHandler {
    if (this.#handler !== undefined) throw new Error("the consumer has a handler already");
    this.#handler = handler;
    return handler;
  }

  /**
   * Starts it, and returns once it runs. Installs no handlers of signals.
   *
   * @throws Error what is wrong with the configuration or the database.
   */
  async start(): Promise<void> {
    if (this.#session !== undefined) throw new Error("the consumer has started already");
    if (this.#handler === undefined) throw new Error("the consumer has no handler");
    const { namespace, concurrency, visibleMs, maxAttempts, graceMs, pollOnly } = this.#options;
    const options = {
      database_url: this.#options.databaseUrl,
      namespace,
      concurrency,
      visible_ms: visibleMs,
      max_attempts: maxAttempts,
      grace_ms: graceMs,
      poll_only: pollOnly,
      log: this.#options.log,
    };
    const native = load().Native.startConsumer(JSON.stringify(options));
    const { bigint = false } = this.#options;
    this.#session = new Session(native, this.#logger, bigint, (text, item) => {
      if (item.type === "domain_event") void this.#handle(text, item as unknown as Item);
    });
    await findTracing();
    await this.#session.started();
  }

  /** Asks it to end, and waits for that; events not handled within the grace period go back. */
  async stop(): Promise<void> {
    this.#session?.native.shutdown();
    await this.#session?.ended;
  }

  /** Settled at its end; rejected with why, where it was not asked to end. */
  async ended(): Promise<void> {
    await this.#session?.ended;
  }

  /** Runs it until SIGTERM or SIGINT; a second one ends the process at once. */
  async run(): Promise<void> {
    const started = this.start();
    const ended = started.then(() => this.ended());
    await untilSignal(() => this.#session?.native.shutdown(), ended);
  }

  async #handle(text: string, item: Item): Promise<void> {
    let answer = '{"type":"success"}';
    try {
      const { bigint = false } = this.#options;
      const { event } = isSuspicious(text)
        ? (parseJson(text, bigint) as unknown as Item)
        : item;
      await withTrace(event.traceparent, () => this.#handler?.(event));
    } catch (error) {
      answer = failureText(error);
    }
    this.#session?.complete(item.id, answer);
  }
}

interface Item {
  readonly id: number;
  readonly event: DomainEvent;
}

/**
 * Makes a consumer:
 *
 * ```ts
 * const consumer = createConsumer({ namespace: "orders" });
 * consumer.handler(async event => …);
 * await consumer.run();
 * ```
 */
export function createConsumer(options: ConsumerOptions): Consumer {
  return new Consumer(options);
}
