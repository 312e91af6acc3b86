/**
 * A consumer of a namespace's durable events: at least once each, with retries and dead letters.
 */
import { isSuspicious, parseJson } from "./exactJson.js";
import type { DomainEvent } from "./events.js";
import type { Logger } from "./logger.js";
import { type Native, load } from "./native.js";
import { type Kind, checkOptions } from "./options.js";
import { failureText } from "./outcome.js";
import { Program } from "./program.js";
import type { Session } from "./session.js";
import { withTrace } from "./trace.js";

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

const OPTIONS: Readonly<Record<keyof ConsumerOptions, Kind>> = {
  databaseUrl: "text",
  namespace: "text",
  concurrency: "whole",
  visibleMs: "whole",
  maxAttempts: "whole",
  graceMs: "whole",
  pollOnly: "flag",
  log: "text",
  logger: "logger",
  bigint: "flag",
};

/** A consumer, made by {@link createConsumer}. */
export class Consumer extends Program {
  readonly #options: ConsumerOptions;
  #handler: EventHandler | undefined;

  /** @internal */
  constructor(options: ConsumerOptions) {
    checkOptions("createConsumer", options, OPTIONS);
    if (options.namespace === undefined) throw new TypeError("createConsumer needs a namespace");
    super("consumer", options);
    this.#options = options;
  }

  /** Gives the function that handles every event of the namespace. */
  handler(handler: EventHandler): EventHandler {
    if (typeof handler !== "function") throw new TypeError("the consumer's handler is a function");
    if (this.#handler !== undefined) throw new Error("the consumer has a handler already");
    this.#handler = handler;
    return handler;
  }

  /** @internal */
  protected override open(): Native {
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
    return load().Native.startConsumer(JSON.stringify(options));
  }

  /** @internal */
  protected override take(session: Session, text: string, item: { readonly type: string }): void {
    if (item.type === "domain_event") void this.#handle(session, text, item as unknown as Item);
  }

  async #handle(session: Session, text: string, item: Item): Promise<void> {
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
    session.complete(item.id, answer);
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
