// The orders of the example, and what can be computed from one.
import { z } from "zod";

/** Items with their prices in cents. */
const GOODS = [
  ["kettle", 4_900],
  ["teapot", 3_100],
  ["cup", 890],
  ["tea", 1_250],
] as const;
/** Numbers for testing that pass the check digit; the last does not. */
const CARDS = ["4242424242424242", "5555555555554444", "378282246310005", "4242424242424241"];
/** Pieces in one parcel. */
const PARCEL = 4;

/** The context of a task. */
export const Order = z.object({
  order_id: z.int(),
  card: z.string(),
  /** Three letters. */
  currency: z.string(),
  lines: z.array(z.object({ item: z.string(), quantity: z.int(), cents: z.int() })),
});
export type Order = z.infer<typeof Order>;

/** An item of a list, which begins again after its end. */
function pick<T>(of: number, among: readonly T[]): T {
  return among[of % among.length] as T;
}

/**
 * The order of a number, the same each time. Every sixth is by a card that is refused, every fifth
 * a gift, and every eighth is paid in a currency that `payment.processed` does not know.
 */
export function orderOf(n: number): Order {
  const line = (i: number) => {
    const [item, cents] = pick(n + i, GOODS);
    return { item, quantity: 1 + ((n * 5 + i * 3) % 4), cents: n % 5 === 0 ? 0 : cents };
  };
  return {
    order_id: n,
    card: n % 6 === 0 ? (CARDS[3] as string) : pick(n, CARDS.slice(0, 3)),
    currency: n % 8 === 0 ? "GBP" : n % 2 === 0 ? "USD" : "EUR",
    lines: Array.from({ length: (n % 3) + 1 }, (_, i) => line(i)),
  };
}

/** What is to be paid, in cents. */
export function amountOf({ lines }: Order): number {
  return lines.reduce((sum, { quantity, cents }) => sum + quantity * cents, 0);
}

/** How many it is packed in. */
export function parcelsOf({ lines }: Order): number {
  return Math.ceil(lines.reduce((sum, { quantity }) => sum + quantity, 0) / PARCEL);
}

/** Whether the last digit of a card's number fits the others, by Luhn. */
export function isValid(card: string): boolean {
  const digits = [...card].reverse().map(Number);
  const sum = digits.reduce((all, digit, place) => {
    if (place % 2 === 0) return all + digit;
    return all + (digit < 5 ? 2 * digit : 2 * digit - 9);
  }, 0);
  return sum % 10 === 0;
}
