/**
 * Resolvers: handlers that are found when they are needed, one per plug-in for example.
 */
import { type Handler, type HandlerFunction, handlerOf } from "./handler.js";

/** Names whose handlers are kept. */
const MAX_KEPT = 1_000;

/** Finds the handler of a name; nothing: it is not this resolver's. */
export type Resolver = (name: string) => Found | Promise<Found>;

type Found = Handler | HandlerFunction | null | undefined;

/** The first one that a resolver finds, in their order; kept for the next step. */
export async function resolvedBy(
  resolvers: readonly Resolver[],
  kept: Map<string, Handler>,
  name: string,
): Promise<Handler | undefined> {
  const known = kept.get(name);
  if (known !== undefined) return known;
  for (const resolver of resolvers) {
    const found = await resolver(name);
    if (found) {
      const handler = handlerOf(found);
      if (kept.size < MAX_KEPT) kept.set(name, handler);
      return handler;
    }
  }
  return undefined;
}
