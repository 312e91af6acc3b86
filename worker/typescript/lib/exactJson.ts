/**
 * JSON that rounds nothing and loses nothing: what JavaScript cannot hold, or JSON cannot, is an
 * error that names its place.
 */
import { PermanentError } from "./errors.js";

/** What comes out of JSON; integers beyond a double's are bigint, where the worker allows it. */
export type Json =
  | null
  | boolean
  | number
  | bigint
  | string
  | Json[]
  | { [key: string]: Json };

/** What marks outcomes, which are no part of a result; known across the builds of this package. */
export const OUTCOME = Symbol.for("pgtasker.outcome");
/** As deep as a result may be nested. */
const MAX_DEPTH = 100;
/** Keys of a place that a message names. */
const MAX_PLACE = 10;
/** As many digits as a double holds in any case. */
const SAFE_DIGITS = 15;
/** A row of characters that only an unsafe number has, outside of strings. */
const UNSAFE = /\d[\d.]{15}|\d[eE]/;

/** Whether a JSON text has a number that a double may not hold. */
export function isSuspicious(text: string): boolean {
  // Most texts have no such row of characters even in their strings.
  if (!UNSAFE.test(text)) return false;
  for (let at = 0; ; ) {
    const begin = text.indexOf('"', at);
    if (begin < 0) return UNSAFE.test(text.slice(at));
    if (UNSAFE.test(text.slice(at, begin))) return true;
    at = stringEnd(text, begin);
  }
}

/** Behind the string that begins at `begin`. No regular expression: they overflow on long ones. */
function stringEnd(text: string, begin: number): number {
  for (let at = begin + 1; ; at += 1) {
    at = text.indexOf('"', at);
    if (at < 0) return text.length;
    let first = at;
    while (text[first - 1] === "\\") first -= 1;
    if ((at - first) % 2 === 0) return at + 1;
  }
}

/**
 * Reads JSON of any origin.
 *
 * @throws PermanentError `unsafe_number` with its place, for a number that would be rounded;
 *   SyntaxError where it is no JSON.
 */
export function parseJson(text: string, bigint: boolean, at = ""): Json {
  return isSuspicious(text) ? new Parser(text, bigint, at).read() : (JSON.parse(text) as Json);
}

/** Whether a number, read as a double and written again, is the same number. */
export function isExact(digits: string): boolean {
  if (digits.length <= SAFE_DIGITS && !/[eE]/.test(digits)) return true;
  const double = Number(digits);
  return Number.isFinite(double) && significant(String(double)) === significant(digits);
}

/** Sign, significant digits, and the power of ten of the last of them. */
function significant(text: string): string {
  const [, sign, whole = "", fraction = "", exponent = "0"] =
    /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(text) ?? [];
  const digits = whole + fraction;
  const kept = digits.replace(/0+$/, "");
  const leading = kept.replace(/^0+/, "");
  if (leading === "") return "0";
  return `${sign}${leading}e${Number(exponent) - fraction.length + digits.length - kept.length}`;
}

/** One part of a JSON Pointer. */
function escaped(key: string | number): string {
  return String(key).toWellFormed().replaceAll("~", "~0").replaceAll("/", "~1");
}

function pointer(keys: readonly (string | number)[]): string {
  return keys.map(key => `/${escaped(key)}`).join("");
}

/** The error for a number that would be rounded. */
export function unsafeNumber(place: string, bigint: boolean): PermanentError {
  const remedy = bigint
    ? "only integers of any length are read, as bigint: send it as a string"
    : "create the worker with bigint: true, if it is an integer, or send it as a string";
  const text = `${place || "the whole"}: a JavaScript number cannot hold this one: ${remedy}`;
  return new PermanentError(text, { code: "unsafe_number" });
}

class Parser {
  #at = 0;
  readonly #keys: (string | number)[] = [];
  readonly #number = /-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
  readonly #space = /[ \n\r\t]*/y;

  constructor(
    readonly text: string,
    readonly bigint: boolean,
    readonly root: string,
  ) {}

  read(): Json {
    const value = this.#value();
    if (this.#next() !== undefined) this.#fail();
    return value;
  }

  #match(what: RegExp): string | undefined {
    what.lastIndex = this.#at;
    const found = what.exec(this.text)?.[0];
    if (found !== undefined) this.#at += found.length;
    return found;
  }

  #next(): string | undefined {
    this.#match(this.#space);
    return this.text[this.#at];
  }

  #fail(): never {
    throw new SyntaxError(`unexpected character at position ${this.#at} of a JSON text`);
  }

  #value(): Json {
    switch (this.#next()) {
      case "{":
        return this.#object();
      case "[":
        return this.#array();
      case '"':
        return this.#text();
      case "t":
        return this.#word("true", true);
      case "f":
        return this.#word("false", false);
      case "n":
        return this.#word("null", null);
      default:
        return this.#digits();
    }
  }

  #word<T extends Json>(word: string, value: T): T {
    if (!this.text.startsWith(word, this.#at)) this.#fail();
    this.#at += word.length;
    return value;
  }

  #text(): string {
    const begin = this.#at;
    this.#at = stringEnd(this.text, begin);
    return JSON.parse(this.text.slice(begin, this.#at)) as string;
  }

  #digits(): number | bigint {
    const digits = this.#match(this.#number) ?? this.#fail();
    if (isExact(digits)) return Number(digits);
    if (this.bigint && /^-?\d+$/.test(digits)) return BigInt(digits);
    throw unsafeNumber(this.root + pointer(this.#keys), this.bigint);
  }

  #array(): Json[] {
    const items: Json[] = [];
    this.#at += 1;
    if (this.#next() !== "]") {
      do {
        this.#keys.push(items.length);
        items.push(this.#value());
        this.#keys.pop();
      } while (this.#goesOn("]"));
    }
    this.#at += 1;
    return items;
  }

  #object(): { [key: string]: Json } {
    const members: { [key: string]: Json } = {};
    this.#at += 1;
    if (this.#next() !== "}") {
      do {
        if (this.#next() !== '"') this.#fail();
        const key = this.#text();
        if (this.#next() !== ":") this.#fail();
        this.#at += 1;
        this.#keys.push(key);
        const value = this.#value();
        this.#keys.pop();
        if (key === "__proto__") {
          const own = { value, enumerable: true, configurable: true, writable: true };
          Object.defineProperty(members, key, own);
        } else {
          members[key] = value;
        }
      } while (this.#goesOn("}"));
    }
    this.#at += 1;
    return members;
  }

  /** Whether another one follows before the end. */
  #goesOn(end: string): boolean {
    const next = this.#next();
    if (next === end) return false;
    if (next !== ",") this.#fail();
    this.#at += 1;
    return true;
  }
}

/**
 * Writes a value as JSON: Dates as ISO 8601 text, bigints digit by digit, objects with `toJSON` as
 * what that returns.
 *
 * @param what names the value in the error: `result`, `cursor`.
 * @throws PermanentError `invalid_result` with the place of what JSON cannot hold: undefined,
 *   functions, symbols, NaN, Infinity, invalid Dates, Maps, Sets, Errors, buffers, lone surrogates,
 *   cycles, more than 100 levels.
 */
export function writeJson(value: unknown, what = "result"): string {
  return new Writer(what).write(value, "");
}

class Writer {
  readonly #keys: (string | number)[] = [];
  readonly #parents: object[] = [];

  constructor(readonly what: string) {}

  write(value: unknown, key: string | number): string {
    switch (typeof value) {
      case "string":
        return this.#string(value);
      case "number":
        return Number.isFinite(value) ? String(value) : this.#refuse(`it is ${value}`);
      case "boolean":
        return value ? "true" : "false";
      case "bigint":
        return value.toString();
      case "object":
        return value === null ? "null" : this.#object(value, key);
      case "undefined":
        return this.#refuse("it is undefined: leave it out, or use null");
      default:
        return this.#refuse(`it is a ${typeof value}`);
    }
  }

  #string(text: string): string {
    return text.isWellFormed()
      ? JSON.stringify(text)
      : this.#refuse("a string holds half of a surrogate pair");
  }

  #object(value: object, key: string | number): string {
    if (this.#parents.length >= MAX_DEPTH) this.#tooDeep(value);
    if (value instanceof Date) {
      const time = value.getTime();
      return Number.isNaN(time)
        ? this.#refuse("it is an invalid Date")
        : `"${value.toISOString()}"`;
    }
    if (ArrayBuffer.isView(value)) this.#refuse(`it is a ${nameOf(value)}: write it as a string`);
    const { toJSON } = value as { toJSON?: unknown };
    this.#parents.push(value);
    let text: string;
    if (typeof toJSON === "function") text = this.write(toJSON.call(value, String(key)), key);
    else text = Array.isArray(value) ? this.#array(value) : this.#members(value);
    this.#parents.pop();
    return text;
  }

  #array(items: readonly unknown[]): string {
    let text = "[";
    for (let index = 0; index < items.length; index += 1) {
      this.#keys.push(index);
      text += (index > 0 ? "," : "") + this.write(items[index], index);
      this.#keys.pop();
    }
    return `${text}]`;
  }

  #members(value: object): string {
    const names = Object.keys(value);
    this.#check(value, names.length);
    let text = "{";
    let comma = "";
    for (const name of names) {
      this.#keys.push(name);
      const member = this.write((value as Record<string, unknown>)[name], name);
      text += `${comma}${this.#string(name)}:${member}`;
      comma = ",";
      this.#keys.pop();
    }
    return `${text}}`;
  }

  /** Refuses objects whose members do not tell what they hold. */
  #check(value: object, members: number): void {
    if (OUTCOME in value) this.#refuse("it is an outcome, which a handler returns by itself");
    const prototype: object | null = Object.getPrototypeOf(value);
    // The last of a chain is that of plain objects, also where they come from another realm.
    if (prototype !== null && Object.getPrototypeOf(prototype) !== null) {
      const isPlain = Object.prototype.toString.call(value) === "[object Object]";
      if (!isPlain || value instanceof Error || members === 0) {
        this.#refuse(`it is a ${nameOf(value)}, which JSON does not know`);
      }
    }
    if (Object.getOwnPropertySymbols(value).length > 0) this.#refuse("a key is a symbol");
  }

  #tooDeep(value: object): never {
    const all = [...this.#parents, value];
    const again = all.findIndex((one, index) => all.indexOf(one) < index);
    if (again < 0) this.#refuse(`it is nested more than ${MAX_DEPTH} levels deep`);
    this.#keys.length = Math.min(this.#keys.length, again);
    this.#refuse("it holds itself");
  }

  #refuse(problem: string): never {
    const shown = pointer(this.#keys.slice(0, MAX_PLACE));
    const place = this.#keys.length > MAX_PLACE ? `${shown}/…` : shown || "the whole";
    const text = `the step's ${this.what} cannot be stored: ${problem}, at ${place}`;
    throw new PermanentError(text, { code: "invalid_result" });
  }
}

function nameOf(value: object): string {
  const name: unknown = value.constructor?.name;
  return typeof name === "string" && name !== "" ? name : "nameless object";
}
