/**
 * Several processes that each run the whole command: handlers of one process share a thread. One
 * that dies is started again, later each time in a row.
 */
import { type Logger, standardError } from "./logger.js";
import { onSignals } from "./signals.js";
import { type ChildProcess, spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";

/** Milliseconds until one that has died is started again; twice as long each time in a row. */
const FIRST_DELAY = 1_000;
const LONGEST_DELAY = 60_000;
/** Milliseconds after which a process counts as having worked. */
const LIVED = 60_000;
const METRICS = "TASKER_WORKER_METRICS";

/** How a process has ended; undefined: it did not run. */
type Ended = number | NodeJS.Signals | Error | undefined;

/** See the module. */
export class Processes {
  readonly #command: readonly string[];
  readonly #count: number;
  readonly #firstDelay: number;
  readonly #logger: Logger;
  readonly #running = new Set<ChildProcess>();
  readonly #stop = new AbortController();

  /** `command` is the program and its arguments. */
  constructor(
    command: readonly string[],
    count: number,
    { firstDelay = FIRST_DELAY, logger = standardError } = {},
  ) {
    this.#command = command;
    this.#count = count;
    this.#firstDelay = firstDelay;
    this.#logger = logger;
  }

  /**
   * Until SIGTERM or ctrl-c, which all processes get; the second one ends them at once.
   *
   * @returns the exit code: 1 where one of them has ended otherwise than by the signal.
   */
  async run(): Promise<number> {
    const off = onSignals(
      () => {
        this.#stop.abort();
        this.#running.forEach(child => child.kill("SIGTERM"));
      },
      () => this.#running.forEach(child => child.kill("SIGKILL")),
    );
    try {
      const numbers = Array.from({ length: this.#count }, (_, number) => number);
      const ends = await Promise.all(numbers.map(number => this.#keep(number)));
      return ends.every(isFine) ? 0 : 1;
    } finally {
      off();
    }
  }

  /** Keeps one running, until all are to stop. */
  async #keep(number: number): Promise<Ended> {
    const { signal } = this.#stop;
    let delay = this.#firstDelay;
    for (;;) {
      const began = performance.now();
      const ended = await this.#once(number);
      if (signal.aborted) return ended;
      if (performance.now() - began > LIVED) delay = this.#firstDelay;
      const seconds = Math.round(delay / 1_000);
      this.#logger.error(`process ${number} ${shown(ended)}: started again in ${seconds} s`);
      await sleep(delay, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return undefined;
      delay = Math.min(2 * delay, LONGEST_DELAY);
    }
  }

  #once(number: number): Promise<Ended> {
    const [program = "", ...args] = this.#command;
    const child = spawn(program, args, {
      env: environment(number),
      // Its standard input ends with this process, also where that is killed.
      stdio: ["pipe", "inherit", "inherit"],
      // In a group of its own: ctrl-c of a terminal would reach it twice.
      detached: true,
    });
    this.#running.add(child);
    return new Promise<Ended>(resolve => {
      child.once("error", resolve);
      child.once("exit", (code, signal) => resolve(code ?? signal ?? undefined));
    }).finally(() => this.#running.delete(child));
  }
}

function shown(ended: Ended): string {
  if (ended instanceof Error) return `could not be started: ${ended.message}`;
  return `has ended with ${ended}`;
}

/** It may have had no time for a handler of the signal. */
function isFine(ended: Ended): boolean {
  return ended === undefined || ended === 0 || ended === "SIGTERM";
}

/** Variables of a process: the port of its metrics is one of its own. */
export function environment(number: number, variables = process.env): NodeJS.ProcessEnv {
  const [, address, port] = /^(.+):([1-9]\d*)$/.exec(variables[METRICS] ?? "") ?? [];
  if (address === undefined) return variables;
  return { ...variables, [METRICS]: `${address}:${Number(port) + number}` };
}

/** Ends this process in good order when the one that has started it ends, however that is. */
export function endWithParent(): void {
  const end = (): void => {
    process.kill(process.pid, "SIGTERM");
  };
  process.stdin.once("end", end).once("error", end).resume();
}
