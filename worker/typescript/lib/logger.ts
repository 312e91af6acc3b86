/**
 * Where the worker's log goes.
 */

/** What a line says besides its message. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Any logger with these four methods. */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

type Level = keyof Logger;

/**
 * Writes lines to standard error: for people, or as JSON with `TASKER_LOG_FORMAT=json`.
 */
export const standardError: Logger = {
  debug: (message, fields) => write("debug", message, fields),
  info: (message, fields) => write("info", message, fields),
  warn: (message, fields) => write("warn", message, fields),
  error: (message, fields) => write("error", message, fields),
};

function write(level: Level, message: string, fields: LogFields = {}): void {
  const time = new Date().toISOString();
  if (process.env["TASKER_LOG_FORMAT"] === "json") {
    process.stderr.write(`${text({ time, level, message, ...fields })}\n`);
    return;
  }
  const rest = Object.entries(fields).map(([name, value]) => ` ${name}=${shown(value)}`);
  process.stderr.write(`${time} ${level.toUpperCase().padEnd(5)} ${message}${rest.join("")}\n`);
}

function shown(value: unknown): string {
  return typeof value === "string" ? value : text(value);
}

function text(value: unknown): string {
  const replace = (_: string, part: unknown): unknown =>
    typeof part === "bigint" ? part.toString() : part;
  try {
    return JSON.stringify(value, replace) ?? String(value);
  } catch {
    return String(value);
  }
}

/** A logger whose lines have these fields too. A logger that throws harms no step. */
export function withFields(logger: Logger, more: LogFields): Logger {
  const at =
    (level: Level) =>
    (message: string, fields?: LogFields): void => {
      try {
        const written: unknown = logger[level](message, { ...more, ...fields });
        if (written instanceof Promise) written.catch(() => undefined);
      } catch {
        // Nobody is left to tell.
      }
    };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

/** The method for a level of the native module. */
export function levelOf(level: string): Level {
  switch (level) {
    case "ERROR":
      return "error";
    case "WARN":
      return "warn";
    case "INFO":
      return "info";
    default:
      return "debug";
  }
}
