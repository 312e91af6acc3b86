// What becomes of what handlers throw.
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import vm from "node:vm";
import { errorOf, failureOf } from "../dist/esm/errors.js";
import { PermanentError, RetryableError, isStepError } from "pgtasker";

function innermost(): never {
  throw new TypeError("no such account", { cause: new RangeError("7 is too large") });
}

function caught(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  return assert.fail("nothing was thrown");
}

test("an error that a handler means keeps its words, code, and delay", () => {
  const busy = new RetryableError("busy", { code: "busy", retryAfter: 2_000.4 });
  assert.deepEqual(failureOf(busy), {
    message: "busy",
    retryable: true,
    code: "busy",
    retry_after_ms: 2_000,
  });
  const no = failureOf(new PermanentError("no", { code: "no_amount", cause: new Error("x") }));
  assert.deepEqual(no, { message: "no", retryable: false, code: "no_amount" });
  for (const failure of [failureOf(busy), no]) {
    assert.deepEqual(failureOf(errorOf(failure)), failure);
  }
  assert.ok(busy instanceof Error && isStepError(busy) && !isStepError(new Error("x")));
});

test("any other error is retryable and names its class, its causes, and the user's line", () => {
  try {
    innermost();
  } catch (error) {
    const { message, retryable, code } = failureOf(error);
    assert.ok(retryable && code === undefined);
    assert.match(message, /^TypeError: no such account: RangeError: 7 is too large \(/);
    assert.match(message, /errors\.test\.js:\d+ in innermost\)$/);
  }
});

test("an error of the database has its SQLSTATE", () => {
  const error = Object.assign(new Error("duplicate key"), { code: "23505", severity: "ERROR" });
  assert.equal(failureOf(error).code, "23505");
  const system = Object.assign(new Error("refused"), { code: "ECONNREFUSED" });
  assert.equal(failureOf(system).code, undefined);
});

test("no message quotes data", () => {
  for (const text of ["4242-x", '{"card": 4242 4242}', "[4242", '"4242\n"']) {
    const { message, retryable } = failureOf(caught(() => JSON.parse(text)));
    assert.match(message, /^SyntaxError: a text could not be read \(.*errors\.test\.js:\d+/);
    assert.ok(retryable && !message.includes("4242"), message);
  }
  const big = failureOf(caught(() => BigInt("4242 4242")));
  assert.ok(!big.message.includes("4242"));
  const cause = caught(() => JSON.parse("4242 4242"));
  const wrapped = failureOf(new Error("no order", { cause }));
  assert.match(wrapped.message, /^Error: no order: SyntaxError: a text could not be read/);
  assert.ok(!wrapped.message.includes("4242"));
});

test("an error of the database tells its message, never its detail", () => {
  const detail = "Key (card)=(4242) already exists.";
  const fields = { code: "23505", severity: "ERROR", routine: "_bt_check_unique", detail };
  for (const rest of ["", `: ${detail}`, ` (${detail})`]) {
    const message = `duplicate key${rest}`;
    const failure = failureOf(Object.assign(new Error(message), fields));
    assert.match(failure.message, /^Error: duplicate key \(/);
    const object = failureOf({ message, ...fields });
    assert.deepEqual(object, { message: "duplicate key", retryable: true, code: "23505" });
  }
});

test("whatever is thrown is a failure", () => {
  assert.equal(failureOf("plain text").message, "plain text");
  assert.match(failureOf(undefined).message, /no Error: undefined/);
  assert.match(failureOf({ card: "4242" }).message, /no Error: object$/);
  assert.equal(failureOf(new Error("half \ud800")).message.isWellFormed(), true);
  assert.equal(failureOf(new PermanentError("x".repeat(20_000))).message.length, 10_000);
  const faces = failureOf(new PermanentError("\u{1F600}".repeat(12_000))).message;
  assert.equal(faces, "\u{1F600}".repeat(10_000));
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  assert.match(failureOf(proxy).message, /cannot be shown/);
  const symbol = Object.assign(new Error("x"), { message: Symbol("y") });
  assert.equal(failureOf(symbol).retryable, true);
  const loop = new Error("a");
  loop.cause = loop;
  assert.match(failureOf(loop).message, /^Error: a \(/);
});

test("an error of another realm, as under jest, is an error", () => {
  const context = vm.createContext({ run: innermost });
  const thrown = caught(() => vm.runInContext("null.amount", context));
  assert.ok(!(thrown instanceof Error));
  assert.match(failureOf(thrown).message, /^TypeError: Cannot read properties of null/);
  const wrapped = caught(() =>
    vm.runInContext("throw new AggregateError([new RangeError('first')], 'all')", context),
  );
  assert.match(failureOf(wrapped).message, /^AggregateError: all: RangeError: first/);
});

test("its own frames are nobody's place, also where source maps show lib", () => {
  const stack = (...places: string[]): string => {
    const error = new TypeError("x");
    error.stack = ["TypeError: x", ...places.map(place => `    at f (${place}:7:1)`)].join("\n");
    return failureOf(error).message;
  };
  const own = ["lib/batch.ts", "dist/esm/batch.js"].map(name => join(process.cwd(), name));
  assert.equal(stack(...own, "/srv/shop.ts"), "TypeError: x (/srv/shop.ts:7 in f)");
  assert.equal(stack(...own), "TypeError: x");
});
