/**
 * What handlers may do beyond returning a result. Capabilities are included by `with: […]`; a
 * handler without `with` has those of this package.
 */
import { type Api, apiMethods } from "./api.js";
import { type Batchable, batchableMethods } from "./batch.js";
import { StepContext } from "./context.js";
import { type Events, eventsMethods } from "./events.js";
import { type Outcome, decisionOf } from "./outcome.js";
import { type Transactional, transactionMethods } from "./transaction.js";

/** Methods that a context can have. */
export interface Capability<Methods extends object = object> {
  readonly name: string;
  readonly methods: Methods;
}

/**
 * A capability of your own. Its functions are called with the step's context as `this`:
 *
 * ```ts
 * const money = capability("money", {
 *   cents(this: StepContext) { return this.config<{ cents: number }>().cents; },
 * });
 * ```
 */
export function capability<Methods extends object>(
  name: string,
  methods: Methods & ThisType<StepContext>,
): Capability<Methods> {
  return { name, methods };
}

/** For the handler of a step of type `decision`. */
export interface Decision {
  /**
   * Ends the step: of its direct children these come into being, and what follows from them; the
   * others never exist. A name that is no direct child fails the step for good.
   */
  choose(...steps: string[]): Outcome;
  /** Ends the step: none of its children comes into being. */
  chooseNone(): Outcome;
}

const decisionMethods: Decision = {
  choose: (...steps) => decisionOf(steps),
  chooseNone: () => decisionOf([]),
};

/** Choosing which branches of the graph come into being. */
export const decision: Capability<Decision> = capability("decision", decisionMethods);
/** Batches, their instances, and checkpoints. */
export const batchable: Capability<Batchable> = capability("batchable", batchableMethods);
/** Calls over HTTP that know of their step. */
export const api: Capability<Api> = capability("api", apiMethods);
/** Publishing domain events. */
export const events: Capability<Events> = capability("events", eventsMethods);
/** Ending the step in a transaction of your own. */
export const transaction: Capability<Transactional> = capability(
  "transaction",
  transactionMethods,
);

/** Those of this package. */
export const standard = [decision, batchable, api, events, transaction] as const;
/** Their type. */
export type Standard = typeof standard;

type MethodsOf<C> = C extends Capability<infer Methods> ? Methods : never;
type Both<Union> = (Union extends unknown ? (one: Union) => void : never) extends (
  all: infer All,
) => void
  ? All
  : never;

/** The methods of these capabilities together. */
export type Included<W extends readonly Capability[]> = W extends readonly []
  ? unknown
  : Both<MethodsOf<W[number]>>;

/** A class of contexts with these capabilities. */
export function contextWith(capabilities: readonly Capability[]): typeof StepContext {
  class Context extends StepContext {}
  for (const { methods } of capabilities) {
    Object.defineProperties(Context.prototype, Object.getOwnPropertyDescriptors(methods));
  }
  return Context;
}
