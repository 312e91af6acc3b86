// The whole example against a real server, and its handlers alone.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { isValid, orderOf } from "./order.js";
import { runOrders } from "./run.js";

test("a wrong digit in a card's number shows", () => {
  const cards = ["4242424242424242", "5555555555554444", "378282246310005", "4242424242424241"];
  assert.deepEqual(cards.map(isValid), [true, true, true, false]);
});

test("the orders are those of the example in Rust", () => {
  assert.deepEqual(orderOf(8), {
    order_id: 8,
    card: "378282246310005",
    currency: "GBP",
    lines: [
      { item: "kettle", quantity: 1, cents: 4_900 },
      { item: "teapot", quantity: 4, cents: 3_100 },
      { item: "cup", quantity: 3, cents: 890 },
    ],
  });
});

test("events and plain TypeScript agree", async () => {
  const url = process.env["TASKER_TEST_DATABASE"] ?? assert.fail("run it by npm test");
  const file = fileURLToPath(new URL("../../../templates/orders.yaml", import.meta.url));
  const root = fileURLToPath(new URL("../../../../", import.meta.url));
  const program = process.env["TASKER_BIN"] ?? `${root}target/debug/tasker`;
  execFileSync(program, ["template", "apply", file, "--database-url", url], { stdio: "pipe" });
  let told = 0;
  const { expected, ...ran } = await runOrders(url, () => (told += 1));
  assert.deepEqual(ran.figures, expected.figures);
  assert.deepEqual(ran.books, expected.books);
  assert.deepEqual(ran.refused, expected.refused);
  assert.equal(ran.complete, expected.complete);
  assert.ok(told > 20 && ran.inSql > 0);
});
