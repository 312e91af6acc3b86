/**
 * SIGTERM and SIGINT: the first asks for the end, a second one wants it at once.
 */

/** Milliseconds in which a second signal is the first: npx passes on what the terminal sent. */
const ECHO = 300;

/**
 * Calls `first` at the first signal, and `again` at later ones.
 *
 * @returns what takes the listeners off.
 */
export function onSignals(first: () => void, again: (name: NodeJS.Signals) => void): () => void {
  let asked: number | undefined;
  const signal = (name: NodeJS.Signals): void => {
    if (asked === undefined) {
      asked = Date.now();
      first();
    } else if (Date.now() - asked > ECHO) {
      again(name);
    }
  };
  process.on("SIGTERM", signal);
  process.on("SIGINT", signal);
  return () => {
    process.off("SIGTERM", signal);
    process.off("SIGINT", signal);
  };
}

/** What a shell says of a process that a signal has ended. */
export function exitCodeOf(name: NodeJS.Signals): number {
  return name === "SIGINT" ? 130 : 143;
}
