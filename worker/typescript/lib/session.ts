/**
 * A running worker or consumer of the native module: one loop that polls, answers that are gathered
 * and sent together, and questions whose answers come by the same loop.
 */
import { type Failure, PermanentError, RetryableError, errorOf, failureOf } from "./errors.js";
import { type Json, isSuspicious, parseJson } from "./exactJson.js";
import { type LogFields, type Logger, levelOf, withFields } from "./logger.js";
import type { Native } from "./native.js";
import { setImmediate } from "node:timers";

/** Items of one poll. */
const MAX_ITEMS = 500;
/** Milliseconds that a poll waits. */
const WAIT = 500;
/** Milliseconds between looks at whether it runs. */
const LOOK = 10;

interface Question {
  resolve(value: Json): void;
  reject(error: Error): void;
}

type Answer = { readonly value: Json } | { readonly error: Failure };

type Item =
  | { readonly type: "reply"; readonly id: number; readonly value: Answer }
  | {
      readonly type: "log";
      readonly level: string;
      readonly target: string;
      readonly message: string;
      readonly fields?: LogFields;
    }
  | { readonly type: "stopped"; readonly error: string | null }
  | { readonly type: "other" };

/** See the module. */
export class Session {
  readonly native: Native;
  /** Settled at the end; rejected where it was not asked to end. */
  readonly ended: Promise<void>;
  readonly #logger: Logger;
  readonly #bigint: boolean;
  readonly #take: (text: string, item: { readonly type: string }) => void;
  readonly #questions = new Map<number, Question>();
  #ids: number[] = [];
  #texts: string[] = [];
  #isOver = false;
  #error: string | null = null;

  /** `take` gets every item that concerns steps or events. */
  constructor(
    native: Native,
    logger: Logger,
    bigint: boolean,
    take: (text: string, item: { readonly type: string }) => void,
  ) {
    this.native = native;
    this.#logger = withFields(logger, {});
    this.#bigint = bigint;
    this.#take = take;
    this.ended = this.#loop();
    // Whoever waits for it is told; nobody may be.
    this.ended.catch(() => undefined);
  }

  /**
   * Waits until it runs.
   *
   * @throws Error why it could not start.
   */
  async started(): Promise<void> {
    while (!this.native.started()) await new Promise(resolve => setTimeout(resolve, LOOK));
  }

  /** Answers an item, together with others of this turn. */
  complete(id: number, text: string): void {
    if (this.#ids.length === 0) setImmediate(() => this.#flush());
    this.#ids.push(id);
    this.#texts.push(text);
  }

  #flush(): void {
    const [ids, texts] = [this.#ids, this.#texts];
    [this.#ids, this.#texts] = [[], []];
    try {
      this.native.complete(ids, texts);
    } catch {
      // One that cannot be taken must not keep back the others. Those taken already do no harm.
      ids.forEach((id, n) => this.#alone(id, texts[n] as string));
    }
  }

  #alone(id: number, text: string): void {
    try {
      this.native.complete([id], [text]);
    } catch (error) {
      this.#logger.error(`an answer was not taken: ${failureOf(error).message}`, { item: id });
    }
  }

  /** Asks something for a step; rejected with what the handler is to throw. */
  ask(step: number, what: string, args: string): Promise<Json> {
    return new Promise((resolve, reject) => {
      if (this.#isOver) throw gone();
      this.#questions.set(this.native.askLater(step, what, args), { resolve, reject });
    });
  }

  async #loop(): Promise<void> {
    try {
      while (!this.#isOver) {
        for (const text of await this.native.poll(MAX_ITEMS, WAIT)) {
          try {
            this.#one(text);
          } catch (error) {
            this.#logger.error(`an item was not understood: ${failureOf(error).message}`);
          }
        }
      }
    } finally {
      this.#isOver = true;
      for (const { reject } of this.#questions.values()) reject(gone());
      this.#questions.clear();
    }
    if (this.#error !== null) throw new Error(this.#error);
  }

  #one(text: string): void {
    const item = JSON.parse(text) as Item;
    switch (item.type) {
      case "reply":
        return this.#reply(item.id, item.value, text);
      case "log":
        return this.#logger[levelOf(item.level)](item.message, {
          target: item.target,
          ...item.fields,
        });
      case "stopped":
        this.#isOver = true;
        this.#error = item.error;
        return;
      default:
        return this.#take(text, item);
    }
  }

  #reply(id: number, answer: Answer, text: string): void {
    const question = this.#questions.get(id);
    this.#questions.delete(id);
    if (question === undefined) return;
    if ("error" in answer) return question.reject(errorOf(answer.error));
    try {
      question.resolve(isSuspicious(text) ? this.#exactly(text) : answer.value);
    } catch (error) {
      question.reject(error as Error);
    }
  }

  #exactly(text: string): Json {
    try {
      const { value } = parseJson(text, this.#bigint) as { value: { value: Json } };
      return value.value;
    } catch (error) {
      const { message, code } = error as PermanentError;
      throw new PermanentError(message.replace(/^\/value\/value/, "answer: "), { code });
    }
  }
}

function gone(): RetryableError {
  return new RetryableError("the worker has stopped", { code: "stopping" });
}
