#!/usr/bin/env node
/**
 * `pgtasker-worker FILE[:EXPORT]`: runs the worker, or the consumer, that a module exports.
 */
import { failureOf } from "./errors.js";
import { standardError } from "./logger.js";
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const USAGE = `pgtasker-worker FILE[:EXPORT]

Runs what the module FILE exports as EXPORT (by default "worker", "consumer", or the
default export) until SIGTERM or ctrl-c: the first signal lets running steps end within
the grace period, a second one ends the process at once. A rejected promise that nobody
awaits is logged.

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

async function found(argument: string): Promise<Runnable> {
  const [, path = argument, name] = /^(.+?)(?::([\w$]+))?$/.exec(argument) ?? [];
  const file = resolve(path);
  if (!existsSync(file)) throw new Error(`there is no file ${path}`);
  const module = (await import(pathToFileURL(file).href)) as Record<string, unknown>;
  // What CommonJS exports is the default export of its module.
  const inner = (module["default"] ?? {}) as Record<string, unknown>;
  const names = name === undefined ? ["worker", "consumer", "default"] : [name];
  for (const one of names) {
    const value = await (module[one] ?? inner[one]);
    if (isRunnable(value)) return value;
  }
  throw new Error(`${path} exports no worker as ${names.join(", ")}`);
}

/** One handler's forgotten promise must not end the steps of all others. */
function logStrays(): void {
  process.on("unhandledRejection", reason => {
    standardError.error(`a rejected promise was not awaited: ${failureOf(reason).message}`);
  });
}

async function main(): Promise<number> {
  const [argument, ...rest] = process.argv.slice(2);
  if (argument === "--help" || argument === "-h") {
    process.stdout.write(USAGE);
    return 0;
  }
  if (argument === undefined || rest.length > 0) {
    process.stderr.write(USAGE);
    return 2;
  }
  try {
    const runnable = await found(argument);
    logStrays();
    await runnable.run();
    return 0;
  } catch (error) {
    const told = error instanceof Error && error.stack ? error.stack : String(error);
    process.stderr.write(`pgtasker-worker: ${told}\n`);
    return 1;
  }
}

// What handlers have left running does not keep the process.
process.exit(await main());
