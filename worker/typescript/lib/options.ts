/**
 * Options are checked where they are given: from JavaScript, or by a cast, anything comes, and what
 * nobody reads would be lost without a word.
 */

const IS = {
  text: (value: unknown) => typeof value === "string",
  texts: (value: unknown) => [value].flat().every(one => typeof one === "string"),
  flag: (value: unknown) => typeof value === "boolean",
  whole: (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 0,
  logger: (value: unknown) => LEVELS.every(level => isFunction(value, level)),
  capabilities: (value: unknown) =>
    Array.isArray(value) && value.every(one => typeof one?.methods === "object"),
  any: () => true,
} satisfies Record<string, (value: unknown) => boolean>;

const LEVELS = ["debug", "info", "warn", "error"];

const WANTED: Readonly<Record<Kind, string>> = {
  text: "a text",
  texts: "a text, or an array of texts",
  flag: "true or false",
  whole: "a whole number, 0 or more",
  logger: "an object with the methods debug, info, warn, and error",
  capabilities: "an array of capabilities, such as [api, events]",
  any: "anything",
};

/** What an option may be. */
export type Kind = keyof typeof IS;

/** Whether `value` has a method of this name; a function may have some too. */
export function isFunction(value: unknown, name: string): boolean {
  const holds = (typeof value === "object" && value !== null) || typeof value === "function";
  return holds && typeof (value as Record<string, unknown>)[name] === "function";
}

/**
 * Checks options that are given to `maker`.
 *
 * @throws TypeError that names the option which does not exist, or is something else. It does not
 *   show the value, which may be a secret.
 */
export function checkOptions<Options extends object>(
  maker: string,
  options: Options,
  kinds: Readonly<Record<keyof Options, Kind>>,
): void {
  if (typeof options !== "object" || options === null) {
    throw new TypeError(`${maker} takes an object of options`);
  }
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(kinds, name)) {
      const known = Object.keys(kinds).join(", ");
      throw new TypeError(`${maker} has no option ${name}; it has ${known}`);
    }
    const kind = kinds[name as keyof Options];
    if (value !== undefined && !IS[kind](value)) {
      const shown = typeof value === "number" ? String(value) : `of the type ${typeof value}`;
      throw new TypeError(`${maker}: ${name} is ${shown}: give ${WANTED[kind]}`);
    }
  }
}
