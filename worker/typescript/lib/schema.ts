/**
 * Types of what a step gets: by Standard Schema, which zod, valibot, arktype, and others speak.
 */
import { PermanentError } from "./errors.js";

/** A schema of any library that follows https://standardschema.dev. */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => Validated<Output> | Promise<Validated<Output>>;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

type Validated<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly Issue[] };

interface Issue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** What a schema makes of a value that fits it. */
export type Output<T extends StandardSchema> = NonNullable<
  T["~standard"]["types"]
>["output"];

/** Issues that a message tells. */
const MAX_ISSUES = 3;

/**
 * The value as the schema reads it; without a schema as it is.
 *
 * @param what begins the path in the message, as in `context.customer.name: …`.
 * @throws PermanentError `invalid_input` that names the field.
 */
export function typed<T>(schema: StandardSchema | undefined, value: unknown, what: string): T {
  if (schema === undefined) return value as T;
  const validated = standardOf(schema, what).validate(value);
  if (validated instanceof Promise) {
    validated.catch(() => undefined);
    const text = `${what}: its schema is asynchronous: name it in the handler's options instead`;
    throw new PermanentError(text, { code: "invalid_input" });
  }
  return judged(validated, what) as T;
}

/** The same for a schema that may be asynchronous. */
export async function typedLater<T>(
  schema: StandardSchema,
  value: unknown,
  what: string,
): Promise<T> {
  return judged(await standardOf(schema, what).validate(value), what) as T;
}

/** @throws PermanentError where it is none. */
export function standardOf(schema: StandardSchema, what: string): StandardSchema["~standard"] {
  const known: StandardSchema["~standard"] | undefined = schema?.["~standard"];
  if (typeof known?.validate !== "function") {
    throw new PermanentError(`${what}: what it is to fit is no Standard Schema`);
  }
  return known;
}

function judged(validated: Validated<unknown>, what: string): unknown {
  if (validated.issues === undefined) return validated.value;
  const told = validated.issues
    .slice(0, MAX_ISSUES)
    .map(issue => `${what}${pathOf(issue)}: ${issue.message}`);
  const more = validated.issues.length - told.length;
  const text = told.join("; ") + (more > 0 ? `; and ${more} more` : "");
  throw new PermanentError(text, { code: "invalid_input" });
}

function pathOf(issue: Issue): string {
  const keys = (issue.path ?? []).map(part => (typeof part === "object" ? part.key : part));
  return keys.map(key => (typeof key === "number" ? `[${key}]` : `.${String(key)}`)).join("");
}
