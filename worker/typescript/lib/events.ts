/**
 * Domain events: publishing them with a step's result, changing them on their way, and subscribing
 * to them in the worker's process.
 */
import type { StepContext } from "./context.js";
import type { Context } from "./handler.js";

/** Events that wait for a subscriber; then it loses the oldest. */
const MAX_WAITING = 1_024;

/** For handlers that publish events of their own. */
export interface Events {
  /**
   * Publishes an event with this step's result: once that is accepted, and if the event's condition
   * in the template holds for it. It never fails the step: an event that the step does not declare,
   * or whose payload breaks its schema, becomes a dead letter.
   *
   * @throws PermanentError `invalid_result` where the payload is no JSON; and in a publisher, whose
   *   step has ended.
   */
  publish(this: StepContext, name: string, payload?: unknown): void;
}

/** The methods of the capability. */
export const eventsMethods: Events = {
  publish(name, payload) {
    this.addEvent(name, payload);
  },
};

/** An event that is about to be published. */
export interface Publication<P = any> {
  /** A publisher cannot change it. */
  readonly name: string;
  /** By default the step's result, or of a failure `{message, code, retryable, attempt}`. */
  payload: P;
  /** Travels with the event; null: nothing. */
  metadata: any;
}

/**
 * Has the last word on events of a pattern: returns the event, changed or not, or null to keep it
 * back. Where it throws, the event becomes a dead letter.
 */
export type Publisher<State = any> = (
  publication: Publication,
  ctx: Context<State>,
) => Publication | null | Promise<Publication | null>;

/** A message of `<namespace>_domain_events`, and what subscribers get. */
export interface DomainEvent<P = any> {
  /** The key by which consumers know an event that they get again. */
  readonly id: string;
  readonly name: string;
  /** The version of its form. */
  readonly version: string;
  readonly namespace: string;
  /** The name of the task's template. */
  readonly template: string;
  readonly task_id: string;
  readonly step: string;
  readonly claim_no: number;
  readonly correlation_id: string | null;
  readonly traceparent: string | null;
  /** ISO 8601. */
  readonly time: string;
  readonly payload: P;
  readonly metadata: any;
}

/**
 * The events of a subscription, for one `for await`. Up to 1,024 wait; then the oldest is lost, and
 * counted.
 */
export class Subscription implements AsyncIterable<DomainEvent> {
  readonly pattern: string;
  readonly #waiting: DomainEvent[] = [];
  #wake: (() => void) | undefined;
  #ended = false;
  #lost = 0;

  /** @internal */
  constructor(pattern: string) {
    this.pattern = pattern;
  }

  /** Events that came faster than they were taken, or could not be read. */
  get lost(): number {
    return this.#lost;
  }

  /** @internal */
  deliver(event: DomainEvent): void {
    if (this.#ended) return;
    if (this.#waiting.length === MAX_WAITING) {
      this.#waiting.shift();
      this.#lost += 1;
    }
    this.#waiting.push(event);
    this.#wake?.();
  }

  /** @internal */
  lose(): void {
    this.#lost += 1;
  }

  /** @internal No more will come; those that wait are still given. */
  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  /** Ends when the worker has ended; leaving the loop early ends the subscription. */
  async *[Symbol.asyncIterator](): AsyncIterator<DomainEvent> {
    try {
      for (;;) {
        const event = this.#waiting.shift();
        if (event !== undefined) {
          yield event;
        } else if (this.#ended) {
          return;
        } else {
          await new Promise<void>(resolve => {
            this.#wake = resolve;
          });
        }
      }
    } finally {
      this.end();
      this.#waiting.length = 0;
    }
  }
}
