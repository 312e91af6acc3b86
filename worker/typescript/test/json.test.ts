// What JSON would round, lose, or change without a word.
import assert from "node:assert/strict";
import { test } from "node:test";
import vm from "node:vm";
import { isExact, isSuspicious, parseJson, writeJson } from "../dist/esm/exactJson.js";
import { checkpointOf, decisionOf, outcomeText } from "../dist/esm/outcome.js";

const BIG = 123456789012345678901234567890n;

function refused(value: unknown): string {
  try {
    writeJson(value);
  } catch (error) {
    const { code, message, retryable } = error as Error & { code: string; retryable: boolean };
    assert.deepEqual([code, retryable], ["invalid_result", false]);
    return message.replace("the step's result cannot be stored: ", "");
  }
  return assert.fail(`was written: ${String(value)}`);
}

test("what a double holds is exact", () => {
  for (const digits of ["0", "-0", "0.1", "1.10", "1e21", "9007199254740992", "123456.789"]) {
    assert.ok(isExact(digits), digits);
  }
  for (const digits of [
    "9007199254740993",
    "0.1234567890123456789012345",
    "1e400",
    "-123456789012345678901234567890",
  ]) {
    assert.ok(!isExact(digits), digits);
  }
  assert.ok(isExact("1000000000000000000000"));
});

test("texts without such numbers are read by JSON.parse", () => {
  assert.ok(!isSuspicious('{"id":"0190f1e2-3e45-7abc-9def-123456789012","n":[1,2.5]}'));
  assert.ok(!isSuspicious('{"a \\"9007199254740993":"1234567890123456789"}'));
  assert.ok(isSuspicious('[1,9007199254740993]'));
  assert.ok(isSuspicious("1e400"));
});

test("strings may be long and full of escapes", () => {
  const long = "\\\"\n".repeat(3_000_000);
  const text = JSON.stringify([long, "\\", "9007199254740993", 1]);
  assert.ok(!isSuspicious(text));
  const exact = parseJson(`[${text},1e5]`, false) as [[string], number];
  assert.equal(exact[0][0], long);
  assert.throws(() => parseJson('["a\\",1e9]', false), SyntaxError);
});

test("integers beyond a double are bigint, where that is allowed", () => {
  const text = ` { "a/b": [ 1, ${BIG} , -2.5e3, true, null ], "": "\\u00e9\\"", "__proto__": {} } `;
  const value = parseJson(text, true) as Record<string, unknown>;
  assert.deepEqual(value["a/b"], [1, BIG, -2500, true, null]);
  assert.equal(value[""], 'é"');
  assert.ok(Object.hasOwn(value, "__proto__"));
  assert.equal(writeJson({ n: [-5n, BIG] }), `{"n":[-5,${BIG}]}`);
  const huge = `1${"0".repeat(400)}`;
  assert.equal(writeJson(parseJson(`[${huge},1]`, true)), `[${huge},1]`);
});

test("what would be rounded is an error with its place", () => {
  const unsafe = (place: string) => ({ code: "unsafe_number", message: new RegExp(`^${place}:`) });
  assert.throws(() => parseJson(`{"a/b":[0,${BIG}]}`, false), unsafe("/a~1b/1"));
  const decimal = '{"x":{"y":0.1234567890123456789012345}}';
  for (const bigint of [true, false]) {
    assert.throws(() => parseJson(decimal, bigint, "/context"), unsafe("/context/x/y"));
  }
  assert.throws(() => parseJson("1e400", true), unsafe("the whole"));
});

test("the parser refuses what is no JSON", () => {
  for (const text of ["[1e9", "{1e9:2}", "[1e9,]", '{"a" 1e9}', "1e9 1", "tru1e9", "[1e9}"]) {
    assert.throws(() => parseJson(text, true), SyntaxError, text);
  }
});

test("what JSON cannot hold is refused with its place", () => {
  assert.match(refused({ a: { "x/y": [1, undefined] } }), /undefined.*, at \/a\/x~1y\/1$/);
  assert.match(refused([() => 1]), /a function, at \/0$/);
  assert.match(refused({ s: Symbol("x") }), /a symbol, at \/s$/);
  assert.match(refused({ n: Number.NaN }), /it is NaN, at \/n$/);
  assert.match(refused(Number.NEGATIVE_INFINITY), /it is -Infinity, at the whole$/);
  assert.match(refused({ d: new Date(Number.NaN) }), /invalid Date, at \/d$/);
  assert.match(refused({ m: new Map([[1, 2]]) }), /a Map, .* at \/m$/);
  assert.match(refused([new Set([1])]), /a Set, .* at \/0$/);
  assert.match(refused({ e: new Error("x") }), /an? Error, .* at \/e$/);
  assert.match(refused({ b: Buffer.from("ab") }), /Buffer.* at \/b$/);
  assert.match(refused({ p: Promise.resolve(1) }), /Promise.* at \/p$/);
  assert.match(refused({ r: /x/ }), /RegExp.* at \/r$/);
  assert.match(refused({ t: "a\ud800" }), /surrogate.* at \/t$/);
  assert.match(refused({ "a\ud800": 1 }), /surrogate/);
  assert.match(refused({ [Symbol("k")]: 1 }), /a key is a symbol/);
  assert.match(refused([, 1]), /undefined.* at \/0$/);
  assert.match(refused(new (class Empty { #x = 1; x() { return this.#x; } })()), /an? Empty/);
});

test("cycles and depth are told apart", () => {
  const a: Record<string, unknown> = { b: { c: [] as unknown[] } };
  (a["b"] as { c: unknown[] }).c.push(1, a);
  assert.match(refused(a), /holds itself, at \/b\/c\/1$/);
  const nested = (levels: number): unknown => (levels > 0 ? [nested(levels - 1)] : 1);
  assert.equal(writeJson(nested(100)).length, 201);
  assert.match(refused(nested(101)), /100 levels deep, at (\/0){10}\/…$/);
  const shared = { x: 1 };
  assert.equal(writeJson([shared, shared]), '[{"x":1},{"x":1}]');
});

test("everything else is written as JSON.stringify does", () => {
  class Point {
    constructor(readonly x = 1, readonly y = [2]) {}
  }
  const money = { toJSON: () => "12.50" };
  const values = [
    null, true, -0, 1e21, 0.1, 5e-324, "\u2028\u0000\"\\\u{1F600}", [], {}, { "": [[]] },
    new Date(0), new Point(), money, Object.create(null), new URL("https://example.com/"),
  ];
  for (const value of values) assert.equal(writeJson(value), JSON.stringify(value));
});

test("a plain object of another realm is one, also where it is empty", () => {
  assert.equal(writeJson(vm.runInNewContext("[{}, { a: {} }]")), '[{},{"a":{}}]');
  assert.match(refused(vm.runInNewContext("[new Map()]")), /it is a Map, .*at \/0/);
});

test("an outcome within a result is named", () => {
  const message = refused({ chosen: [decisionOf(["a"])] });
  assert.equal(message, "it is an outcome, which a handler returns by itself, at /chosen/0");
});

test("what no database takes is a permanent failure of its own step", () => {
  const large = "x".repeat(200_000_000);
  const told = { code: "result_too_large", message: /200000030 bytes; no setting allows more/ };
  assert.throws(() => outcomeText(large), told);
});

test("outcomes of a wrong form are refused with what is right", () => {
  const told = (code: string, message: RegExp) => ({ code, message, retryable: false });
  const names = told("invalid_outcome", /choose takes names .* not object/);
  assert.throws(() => decisionOf([["a", "b"] as never]), names);
  for (const items of [-1, 1.5, NaN, "5" as never]) {
    const whole = told("invalid_outcome", /items processed are a whole number, 0 or more, not /);
    assert.throws(() => checkpointOf(1, items, null), whole);
  }
});
