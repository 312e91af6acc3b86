/**
 * Handlers: plain functions, with what they say about their inputs and capabilities.
 */
import {
  type Capability,
  type Included,
  type Standard,
  contextWith,
  standard,
} from "./capabilities.js";
import type { Reader, StepContext, StepItem, Surroundings } from "./context.js";
import { failureOf } from "./errors.js";
import { failureText, outcomeText } from "./outcome.js";
import { type Kind, checkOptions } from "./options.js";
import { type Output, type StandardSchema, standardOf } from "./schema.js";
import { withTrace } from "./trace.js";

/** Schemas by the names of parents. */
export type ParentSchemas = Readonly<Record<string, StandardSchema>>;

/** What a handler says about itself. */
export interface HandlerOptions<
  C extends StandardSchema | undefined = undefined,
  P extends ParentSchemas = {},
  W extends readonly Capability[] = Standard,
> {
  /** What the task's input must fit; it is `ctx.context` then, as the schema reads it. */
  readonly context?: C;
  /** What results of parents must fit; they are in `ctx.parents` then. */
  readonly parents?: P;
  /** Its capabilities; without it those of this package. */
  readonly with?: W;
  /** Whether it reads the results of its parents by `ctx.parentPages`: they may be large. */
  readonly paged?: boolean;
}

const OPTIONS: Readonly<Record<keyof HandlerOptions, Kind>> = {
  context: "any",
  parents: "any",
  with: "capabilities",
  paged: "flag",
};

type Field<C> = C extends StandardSchema ? Output<C> : Reader;
type Parents<P extends ParentSchemas> = { readonly [N in keyof P]: Output<P[N]> } & Readonly<
  Record<string, any>
>;

/** The context of a handler with these options. */
export type Context<
  State = any,
  C extends StandardSchema | undefined = undefined,
  P extends ParentSchemas = {},
  W extends readonly Capability[] = Standard,
> = StepContext<State> & {
  /**
   * The task's input: the value, where the handler's options have a schema for it, else read by
   * `ctx.context(Schema)`, or by `ctx.context<Type>()` unchecked.
   *
   * @throws PermanentError `invalid_input` that names the field, where it does not fit the schema.
   */
  readonly context: Field<C>;
  /** The results of all parents by name; empty where they come by pages only. */
  readonly parents: Parents<P>;
} & Included<W>;

/** The code of a step: returns its result, or an outcome; may be asynchronous. */
export type HandlerFunction<Ctx = Context> = (ctx: Ctx) => unknown;

/** A handler, made by {@link handler} and `worker.handler`. */
export class Handler {
  readonly paged: boolean;
  readonly #run: HandlerFunction<any>;
  readonly #context: StandardSchema | undefined;
  readonly #parents: ParentSchemas | undefined;
  readonly #class: typeof StepContext;

  /** @internal */
  constructor(
    run: HandlerFunction<any>,
    options: HandlerOptions<StandardSchema | undefined, ParentSchemas, readonly Capability[]> = {},
  ) {
    if (typeof run !== "function") throw new TypeError("a handler is a function");
    checkOptions("a handler", options, OPTIONS);
    for (const schema of [options.context, ...Object.values(options.parents ?? {})]) {
      if (schema !== undefined) standardOf(schema, "a handler's schema");
    }
    this.paged = options.paged ?? false;
    this.#run = run;
    this.#context = options.context;
    this.#parents = options.parents;
    this.#class = contextWith(options.with ?? standard);
  }

  /** @internal */
  contextOf(item: StepItem, around: Surroundings): StepContext {
    return new this.#class(item, around);
  }

  /** Runs the step; what is thrown before the first await is a rejection too. @internal */
  async call(ctx: StepContext): Promise<unknown> {
    if (this.#context !== undefined || this.#parents !== undefined) {
      await ctx.readBy(this.#context, this.#parents);
    }
    return await withTrace(ctx.traceparent, () => this.#run(ctx));
  }
}

/**
 * A handler by itself, for `worker.handler(name, handler)` and `pgtasker/testing`:
 *
 * ```ts
 * export const charge = handler({ context: Order, with: [api] }, async ctx => …);
 * ```
 */
export function handler(run: HandlerFunction): Handler;
export function handler<
  C extends StandardSchema | undefined = undefined,
  P extends ParentSchemas = {},
  const W extends readonly Capability[] = Standard,
>(options: HandlerOptions<C, P, W>, run: HandlerFunction<Context<any, C, P, W>>): Handler;
export function handler(first: unknown, run?: HandlerFunction<any>): Handler {
  return handlerOf(first, run);
}

/** A handler of whatever form: a function, one with options before it, or a {@link Handler}. */
export function handlerOf(first: unknown, run?: HandlerFunction<any>): Handler {
  if (run !== undefined) return new Handler(run, first as HandlerOptions);
  if (typeof first === "function") return new Handler(first as HandlerFunction);
  // One of the package's other build is as good.
  if (typeof (first as Handler | null)?.contextOf === "function") return first as Handler;
  throw new TypeError("a handler is a function, or made by handler(…)");
}

/**
 * Runs a step to its answer, which is JSON: an outcome, or that its own transaction has ended it.
 * Never rejected.
 */
export async function answerOf(handler: Handler, ctx: StepContext): Promise<string> {
  try {
    const returned = await handler.call(ctx);
    if (!ctx.isSubmitted()) {
      // Before the events, so that what cannot be stored has those of a failure.
      const text = outcomeText(returned);
      if (ctx.hasEvents()) await ctx.sendEvents();
      return text;
    }
  } catch (error) {
    if (!ctx.isSubmitted()) return await failed(ctx, error);
    const { message } = failureOf(error);
    ctx.logger.error(`thrown after the step's own transaction had ended it: ${message}`);
  }
  return '{"type":"submitted"}';
}

async function failed(ctx: StepContext, error: unknown): Promise<string> {
  try {
    if (ctx.hasEvents()) await ctx.sendEvents();
  } catch (lost) {
    ctx.logger.warn(`an event of a failed step was not taken: ${failureOf(lost).message}`);
  }
  return failureText(error);
}
