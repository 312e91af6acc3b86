/**
 * An AbortController whose listeners harm nobody: what a listener throws would end the process.
 */
import { failureOf } from "./errors.js";
import type { Logger } from "./logger.js";

type Call = (event: Event) => unknown;
type Listener = Call | { handleEvent: Call };
type Add = (type: string, listener: Listener | null, options?: any) => void;

/** Tells the logger what listeners of its signal throw, at once or later. */
export function quietController(logger: Logger): AbortController {
  const controller = new AbortController();
  const { signal } = controller;
  const quiet = new WeakMap<Listener, Call>();
  const quietOf = (listener: Listener): Call => {
    const known = quiet.get(listener) ?? quietly(listener, signal, logger);
    quiet.set(listener, known);
    return known;
  };
  for (const name of ["addEventListener", "removeEventListener"] as const) {
    const original = signal[name].bind(signal) as Add;
    const value: Add = (type, listener, options) =>
      original(type, listener && quietOf(listener), options);
    Object.defineProperty(signal, name, { value, configurable: true, writable: true });
  }
  defineOnabort(signal);
  return controller;
}

function quietly(listener: Listener, signal: AbortSignal, logger: Logger): Call {
  const told = (error: unknown): void =>
    logger.error(`a listener of the step's signal has thrown: ${failureOf(error).message}`);
  return (event: Event): void => {
    try {
      const returned: unknown =
        typeof listener === "function"
          ? listener.call(signal, event)
          : listener.handleEvent(event);
      if (returned instanceof Promise) returned.catch(told);
    } catch (error) {
      told(error);
    }
  };
}

/** As the runtime's own, by way of the listeners above. */
function defineOnabort(signal: AbortSignal): void {
  let current: unknown = null;
  const call = (event: Event): unknown =>
    typeof current === "function" ? current.call(signal, event) : undefined;
  Object.defineProperty(signal, "onabort", {
    get: () => current,
    set: (value: unknown) => {
      current = value;
      signal.addEventListener("abort", call);
    },
    configurable: true,
    enumerable: true,
  });
}
