/**
 * Calls over HTTP. The worker makes them: with the step's idempotency key, and by its rules of what
 * may be tried again.
 */
import type { StepContext } from "./context.js";
import { PermanentError } from "./errors.js";
import { type Json, parseJson, writeJson } from "./exactJson.js";
import { type Output, type StandardSchema, typed } from "./schema.js";

/** What a request has besides its URL. */
export interface ApiOptions {
  /** A body of JSON. */
  readonly json?: unknown;
  /** Any other body; its type is `headers`'. */
  readonly body?: string | Uint8Array;
  /** Also in place of those that are sent by themselves. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Milliseconds for the whole call; by default as long as the step may take. */
  readonly timeoutMs?: number;
  /** Added to the Idempotency-Key; needed by a step that makes several calls. */
  readonly idempotencySuffix?: string | number;
  /** Answers with these are no failures: the handler looks at `status`. */
  readonly allowStatus?: number | readonly number[];
  /** The largest body that is read; 1 MiB by default. */
  readonly maxBytes?: number;
}

/** For handlers that call other services. */
export interface Api {
  /**
   * Sends a request and reads its answer.
   *
   * It carries `Idempotency-Key`, `Tasker-Attempt`, and `traceparent`. 5xx, 408, 425, 429, a
   * timeout, and a lost connection are retryable, after the server's Retry-After; any other 4xx,
   * and redirects, which are not followed, are permanent.
   *
   * @throws StepError with the code `http_<status>`, `timeout`, `connection`, `cancelled`,
   *   `response_too_large`, or `invalid_input` (the request is not a valid one).
   */
  request(
    this: StepContext,
    method: string,
    url: string | URL,
    options?: ApiOptions,
  ): Promise<ApiResponse>;
  /** A GET. */
  get(this: StepContext, url: string | URL, options?: ApiOptions): Promise<ApiResponse>;
  /** A POST. */
  post(this: StepContext, url: string | URL, options?: ApiOptions): Promise<ApiResponse>;
  /** A PUT. */
  put(this: StepContext, url: string | URL, options?: ApiOptions): Promise<ApiResponse>;
  /** A DELETE. */
  delete(this: StepContext, url: string | URL, options?: ApiOptions): Promise<ApiResponse>;
}

/** An answer that is no failure. */
export class ApiResponse {
  readonly status: number;
  readonly headers: Headers;
  readonly #name: string;
  readonly #body: Uint8Array;
  readonly #bigint: boolean;

  /** @internal */
  constructor(name: string, answer: Answer, bigint: boolean) {
    this.status = answer.status;
    this.headers = new Headers(answer.headers);
    this.#name = name;
    this.#body = Buffer.from(answer.body, "base64");
    this.#bigint = bigint;
  }

  /** The body. */
  bytes(): Uint8Array {
    return this.#body;
  }

  /** The body as text; what is not UTF-8 is replaced. */
  text(): string {
    return new TextDecoder().decode(this.#body);
  }

  /**
   * The body as JSON.
   *
   * @throws PermanentError `invalid_response` where it is none, or does not fit the schema.
   */
  json<T extends StandardSchema>(schema: T): Output<T>;
  json<T = any>(): T;
  json(schema?: StandardSchema): unknown {
    const invalid = (why: string): PermanentError =>
      new PermanentError(`${this.#name}: ${why}`, { code: "invalid_response" });
    let value: Json;
    try {
      value = parseJson(this.text(), this.#bigint, "body");
    } catch (error) {
      if (error instanceof PermanentError) throw error;
      throw invalid("body: it is no JSON");
    }
    try {
      return typed(schema, value, "body");
    } catch (error) {
      throw error instanceof PermanentError ? invalid(error.message) : error;
    }
  }
}

interface Answer {
  readonly status: number;
  readonly headers: [string, string][];
  readonly body: string;
}

/** The methods of the capability. */
export const apiMethods: Api = {
  request(method, url, options = {}) {
    return send(this, method, url, options);
  },
  get(url, options = {}) {
    return send(this, "GET", url, options);
  },
  post(url, options = {}) {
    return send(this, "POST", url, options);
  },
  put(url, options = {}) {
    return send(this, "PUT", url, options);
  },
  delete(url, options = {}) {
    return send(this, "DELETE", url, options);
  },
};

async function send(
  ctx: StepContext,
  method: string,
  url: string | URL,
  options: ApiOptions,
): Promise<ApiResponse> {
  const answer = (await ctx.ask("http", asked(method, url, options))) as unknown as Answer;
  const { origin, pathname } = new URL(url);
  const name = `${method.toUpperCase()} ${origin}${pathname}`;
  return new ApiResponse(name, answer, ctx.allowsBigint());
}

function asked(method: string, url: string | URL, options: ApiOptions): string {
  const { json, body, idempotencySuffix: suffix, timeoutMs, maxBytes } = options;
  const headers: Record<string, string> = {};
  if (typeof body === "string") headers["content-type"] = "text/plain;charset=utf-8";
  for (const [name, value] of Object.entries(options.headers ?? {})) {
    headers[name.toLowerCase()] = value;
  }
  const parts: Record<string, unknown> = { method, url: String(url), headers };
  if (body !== undefined) parts["body"] = Buffer.from(body as string).toString("base64");
  if (timeoutMs !== undefined) parts["timeout_ms"] = Math.round(timeoutMs);
  if (suffix !== undefined) parts["idempotency_suffix"] = String(suffix);
  if (maxBytes !== undefined) parts["max_bytes"] = Math.round(maxBytes);
  if (options.allowStatus !== undefined) parts["allow_status"] = [options.allowStatus].flat();
  const rest = writeJson(parts, "request");
  if (json === undefined) return rest;
  return `${rest.slice(0, -1)},"json":${writeJson(json, "request's body")}}`;
}
