/**
 * The trace that a step belongs to, for programs that have `@opentelemetry/api`.
 */

/** As much of `@opentelemetry/api` as is needed. */
interface OpenTelemetry {
  readonly context: {
    active(): unknown;
    with<T>(context: unknown, run: () => T): T;
  };
  readonly trace: {
    setSpanContext(context: unknown, span: object): unknown;
  };
}

let known: OpenTelemetry | undefined;

/** Looks whether the program has `@opentelemetry/api`; without it, traces end at the worker. */
export async function findTracing(): Promise<void> {
  const name = "@opentelemetry/api";
  try {
    known ??= (await import(name)) as OpenTelemetry;
  } catch {
    // It is not installed.
  }
}

/** Calls `run` with the span of `traceparent` as the current one. */
export function withTrace<T>(traceparent: string | null, run: () => T): T {
  const span = known && traceparent ? parsed(traceparent) : undefined;
  if (known === undefined || span === undefined) return run();
  const context = known.trace.setSpanContext(known.context.active(), span);
  return known.context.with(context, run);
}

function parsed(traceparent: string): object | undefined {
  const parts = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})/.exec(traceparent);
  if (!parts) return undefined;
  const [, traceId, spanId, flags = "0"] = parts;
  return { traceId, spanId, traceFlags: Number.parseInt(flags, 16), isRemote: true };
}
