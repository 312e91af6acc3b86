#!/usr/bin/env node
/**
 * `pgtasker-worker FILE[:EXPORT]`: runs the worker, or the consumer, that a module exports.
 */
import { failureOf, placeOf } from "./errors.js";
import { standardError } from "./logger.js";
import { Processes, endWithParent } from "./processes.js";
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

const USAGE = `pgtasker-worker FILE[:EXPORT] [--processes N]

Runs what the module FILE exports as EXPORT (by default "worker", "consumer", or the
default export) until SIGTERM or ctrl-c: the first signal lets running steps end within
the grace period, a second one ends the process at once. A rejected promise that nobody
awaits is logged.

--processes N runs it in N processes, for handlers that compute; one that dies is started
again. Each has the whole TASKER_WORKER_CONCURRENCY, and the port of
TASKER_WORKER_METRICS counts up.

DATABASE_URL names the database; the other variables are those of "tasker worker":
TASKER_WORKER_NAMESPACE, TASKER_WORKER_CONCURRENCY, TASKER_WORKER_GRACE,
TASKER_WORKER_METRICS, TASKER_LOG_FORMAT, RUST_LOG, …
`;

interface Runnable {
  run(): Promise<void>;
}

function isRunnable(value: unknown): value is Runnable {
  return typeof (value as Partial<Runnable> | null)?.run === "function";
}

/** What is wrong with the command itself, so that no place in a program matters. */
class Wrong extends Error {}

interface Given {
  readonly help: boolean;
  readonly target: string;
  readonly processes: number;
  readonly child: boolean;
}

/** Undefined: it is not the command's form. */
function given(): Given | undefined {
  const options = {
    help: { type: "boolean", short: "h", default: false },
    processes: { type: "string", default: "1" },
    // Marks one of several processes: its standard input ends with the one that has started it.
    child: { type: "boolean", default: false },
  } as const;
  try {
    const { values, positionals } = parseArgs({ options, allowPositionals: true });
    const [target = ""] = positionals;
    const isWhole = /^[1-9]\d{0,2}$/.test(values.processes);
    if (!values.help && (positionals.length !== 1 || !isWhole)) return undefined;
    return { ...values, target, processes: Number(values.processes) };
  } catch {
    return undefined;
  }
}

async function found(argument: string): Promise<Runnable> {
  const [, path = argument, name] = /^(.+?)(?::([\w$]+))?$/.exec(argument) ?? [];
  const file = resolve(path);
  if (!existsSync(file)) throw new Wrong(`there is no file ${path}`);
  const module = await loaded(path, file);
  // What CommonJS exports is the default export of its module.
  const inner = (module["default"] ?? {}) as Record<string, unknown>;
  const names = name === undefined ? ["worker", "consumer", "default"] : [name];
  for (const one of names) {
    const value = await (module[one] ?? inner[one]);
    if (isRunnable(value)) return value;
  }
  const exported = Object.keys(module).join(", ") || "nothing";
  throw new Wrong(`${path} exports no worker as ${names.join(", ")}; it exports ${exported}`);
}

async function loaded(path: string, file: string): Promise<Record<string, unknown>> {
  try {
    return (await import(pathToFileURL(file).href)) as Record<string, unknown>;
  } catch (error) {
    if ((error as { code?: unknown } | null)?.code !== "ERR_UNKNOWN_FILE_EXTENSION") throw error;
    throw new Wrong(
      `this Node does not run ${path}: compile it to JavaScript, take Node 22.18 or newer, Bun, ` +
        `or Deno, or install tsx and set NODE_OPTIONS="--import tsx"`,
    );
  }
}

/** One handler's forgotten promise must not end the steps of all others. */
function logStray(reason: unknown): void {
  standardError.error(`a rejected promise was not awaited: ${failureOf(reason).message}`);
}

async function main(): Promise<number> {
  // Whoever reads what it writes may end before it.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => undefined);
  const asked = given();
  if (asked === undefined) {
    process.stderr.write(USAGE);
    return 2;
  }
  if (asked.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  if (asked.processes > 1) {
    const here = fileURLToPath(import.meta.url);
    const command = [process.execPath, ...process.execArgv, here, asked.target, "--child"];
    return await new Processes(command, asked.processes).run();
  }
  if (asked.child) endWithParent();
  const runnable = await found(asked.target);
  process.on("unhandledRejection", logStray);
  await runs(runnable);
  return 0;
}

/** Settings that are wrong have no place in the program; of its own errors the place matters. */
async function runs(runnable: Runnable): Promise<void> {
  try {
    await runnable.run();
  } catch (error) {
    throw error instanceof Error && placeOf(error) === undefined ? new Wrong(error.message) : error;
  }
}

// What handlers have left running does not keep the process.
process.exit(
  await main().catch((error: unknown) => {
    // The runtime shows other errors with the line that they come from.
    process.off("unhandledRejection", logStray);
    if (!(error instanceof Wrong)) throw error;
    process.stderr.write(`pgtasker-worker: ${error.message}\n`);
    return 1;
  }),
);
