// Figures that are kept as things happen, from fast events: gone with the process, and no step
// waits for them.
import type { DomainEvent, Worker } from "pgtasker";

/** Sums by name. */
export type Sums = Record<string, number>;

/** What has been heard of one run. */
export interface Figures {
  /** Pieces of each item. */
  readonly reserved: Sums;
  /** Cents in each currency. */
  readonly paid: Sums;
  /** Cards. */
  refused: number;
  /** Events that came faster than they were taken. */
  lost: number;
}

/** Counts `n` more of `what`. */
export function add(to: Sums, what: string, n: number): void {
  to[what] = (to[what] ?? 0) + n;
}

/** Nothing yet. */
export function noFigures(): Figures {
  return { reserved: {}, paid: {}, refused: 0, lost: 0 };
}

/**
 * Follows what the worker's steps announce of stock and payments of a run, and hands each event to
 * `tell`. The figures are whole when the worker has ended.
 */
export function follow(
  worker: Worker,
  run: string,
  tell: (event: DomainEvent) => void,
): Promise<Figures> {
  const figures = noFigures();
  const keep = async (pattern: string): Promise<void> => {
    const subscription = worker.subscribe(pattern);
    for await (const event of subscription) {
      // The worker takes whatever waits in its namespace, also what others have enqueued.
      if (event.correlation_id !== run) continue;
      tell(event);
      note(figures, event);
    }
    figures.lost += subscription.lost;
  };
  return Promise.all(["stock.*", "payment.*"].map(keep)).then(() => figures);
}

function note(figures: Figures, { name, payload }: DomainEvent): void {
  if (name === "stock.reserved") add(figures.reserved, payload.item, payload.quantity);
  else if (name === "payment.processed") add(figures.paid, payload.currency, payload.amount);
  else if (name === "payment.failed") figures.refused += 1;
}
