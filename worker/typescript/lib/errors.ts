/**
 * What handlers throw, and what becomes of everything else that is thrown.
 */
import { here } from "./here.cjs";
import { dirname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { types } from "node:util";

/** Known across the two builds of this package, of which a program may load both. */
const BRAND = Symbol.for("pgtasker.step_error");
/** As many characters of a message as the database keeps. */
const LONGEST = 10_000;
const MAX_CAUSES = 10;

/** More about a failure. */
export interface FailureOptions {
  /** A short stable word for programs, like `card_declined`. */
  readonly code?: string | undefined;
  /** Milliseconds until the next attempt, instead of the template's backoff. */
  readonly retryAfter?: number | undefined;
  /** The error behind it, for logs; the failure's message does not tell of it. */
  readonly cause?: unknown;
}

/** A failure as the worker stores it. */
export interface Failure {
  readonly message: string;
  readonly retryable: boolean;
  readonly code?: string;
  readonly retry_after_ms?: number;
}

/** A failure that a handler means: a {@link RetryableError} or a {@link PermanentError}. */
export interface StepError extends Error {
  readonly retryable: boolean;
  readonly code: string | undefined;
  /** Milliseconds. */
  readonly retryAfter: number | undefined;
}

/** The failure may pass: the step is tried again while it has attempts left. */
export class RetryableError extends Error implements StepError {
  readonly retryable = true;
  readonly code: string | undefined;
  /** Milliseconds. */
  readonly retryAfter: number | undefined;

  constructor(message: string, options: FailureOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "RetryableError";
    this.code = options.code;
    this.retryAfter = options.retryAfter;
    Object.defineProperty(this, BRAND, { value: true });
  }
}

/** The failure stays: the step goes to `error` at once, whatever its attempts. */
export class PermanentError extends Error implements StepError {
  readonly retryable = false;
  readonly code: string | undefined;
  /** Never: it is not tried again. */
  readonly retryAfter = undefined;

  constructor(message: string, options: Omit<FailureOptions, "retryAfter"> = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "PermanentError";
    this.code = options.code;
    Object.defineProperty(this, BRAND, { value: true });
  }
}

/** Whether this is one of the two errors above, also of the package's other build. */
export function isStepError(error: unknown): error is StepError {
  return typeof error === "object" && error !== null && BRAND in error;
}

/** The error for a failure that the worker tells of. */
export function errorOf(failure: Failure): StepError {
  const { message, retryable, code, retry_after_ms: retryAfter } = failure;
  return retryable
    ? new RetryableError(message, { code, retryAfter })
    : new PermanentError(message, { code });
}

/**
 * The failure for whatever was thrown. An error that the handler did not mean is retryable: its
 * class and message, those of its causes, and where in the user's code it comes from.
 */
export function failureOf(error: unknown): Failure {
  try {
    return judged(error);
  } catch {
    // Its message cannot even be read.
    return { message: "something was thrown that cannot be shown", retryable: true };
  }
}

function judged(error: unknown): Failure {
  if (isStepError(error)) {
    const { message, retryable, code, retryAfter } = error;
    return {
      message: tidy(message),
      retryable,
      ...(code === undefined ? {} : { code: tidy(String(code)) }),
      ...(retryable && delay(retryAfter) ? { retry_after_ms: Math.round(retryAfter) } : {}),
    };
  }
  const causes = chain(error);
  const told = causes.map(describe).join(": ");
  const frame = causes.map(placeOf).find(found => found !== undefined);
  const code = sqlState(error);
  return {
    message: tidy(frame === undefined ? told : `${told} (${frame})`),
    retryable: true,
    ...(code === undefined ? {} : { code }),
  };
}

function delay(value: number | undefined): value is number {
  return typeof value === "number" && value >= 0 && value < Number.MAX_SAFE_INTEGER;
}

/** A failure must not be lost for its message. */
function tidy(text: unknown): string {
  const words = String(text).toWellFormed();
  // Characters, as the database counts them: some are two units of a string here.
  return words.length > LONGEST ? Array.from(words).slice(0, LONGEST).join("") : words;
}

/** Also those of another realm, of which there are several in `node:vm` and under jest. */
function isError(error: unknown): error is Error & { readonly errors?: unknown } {
  return error instanceof Error || types.isNativeError(error);
}

/** The error and its causes, outermost first. */
function chain(error: unknown): unknown[] {
  const causes: unknown[] = [error];
  let next = error;
  while (isError(next) && causes.length < MAX_CAUSES) {
    const inner: unknown = next.cause ?? (Array.isArray(next.errors) ? next.errors[0] : undefined);
    if (inner === undefined || inner === null || causes.includes(inner)) break;
    causes.push(inner);
    next = inner;
  }
  return causes;
}

function describe(error: unknown): string {
  if (isError(error)) {
    if (quotes(error)) return `${error.name}: a text could not be read (its message quotes it)`;
    // Errors of pg have the name `error`.
    const isNamed = error.name && error.name.toLowerCase() !== "error";
    const name = isNamed ? error.name : error.constructor.name;
    const message = wordsOf(error);
    return message ? `${name}: ${message}` : name;
  }
  if (isDatabaseError(error)) return wordsOf(error);
  if (typeof error === "string") return error;
  return `something was thrown that is no Error: ${typeof error}`;
}

/** Whether it is of `JSON.parse` or `BigInt`, whose messages quote what they were given. */
function quotes(error: Error): boolean {
  return error.name === "SyntaxError" && /JSON|BigInt/.test(error.message);
}

/** What pg and postgres.js throw for an error of the server. */
interface DatabaseError {
  readonly message: string;
  readonly code?: unknown;
  /** Quotes the row. */
  readonly detail?: unknown;
}

function isDatabaseError(error: unknown): error is DatabaseError {
  if (typeof error !== "object" || error === null) return false;
  const { message, severity, routine } = error as Record<string, unknown>;
  const isOne = typeof severity === "string" || typeof routine === "string";
  return isOne && typeof message === "string";
}

/** The message; of an error of the database without its detail, should that be part of it. */
function wordsOf(error: Error | DatabaseError): string {
  if (!isDatabaseError(error)) return error.message;
  const { message, detail } = error;
  if (typeof detail !== "string" || !detail || !message.includes(detail)) return message;
  return message.replaceAll(detail, "").replace(/[\s:(]+\)?$/, "");
}

/** Of an error of PostgreSQL; both drivers tell it as `code`. */
function sqlState(error: unknown): string | undefined {
  if (!isDatabaseError(error)) return undefined;
  const { code } = error;
  return typeof code === "string" && /^[0-9A-Z]{5}$/.test(code) ? code : undefined;
}

/** `file:line in function` of the innermost frame that is neither a library's nor the runtime's. */
export function placeOf(error: unknown): string | undefined {
  const stack = isError(error) ? error.stack : undefined;
  if (typeof stack !== "string") return undefined;
  for (const line of stack.split("\n")) {
    const frame = /^\s*at (?:async )?(?:(.+?) \()?([^()]+):(\d+):\d+\)?$/.exec(line);
    if (!frame) continue;
    const [, name, place = "", number = ""] = frame;
    const path = pathOf(place);
    if (path === undefined || isLibrary(path)) continue;
    const local = relative(process.cwd(), path);
    const shown = local.startsWith("..") ? path : local;
    return `${shown}:${number}${name ? ` in ${name}` : ""}`;
  }
  return undefined;
}

function pathOf(place: string): string | undefined {
  if (place.startsWith("file://")) {
    try {
      return fileURLToPath(place);
    } catch {
      return undefined;
    }
  }
  return /^(node|ext|bun|native|data|blob|https?):/.test(place) || !place.includes(sep)
    ? undefined
    : place;
}

/** Its own folders: source maps show `lib` instead of `dist`. */
const OWN = [dirname(here), join(dirname(dirname(here)), "lib")];

function isLibrary(path: string): boolean {
  const isOwn = OWN.some(folder => path.startsWith(folder + sep));
  return isOwn || path.includes(`${sep}node_modules${sep}`);
}
