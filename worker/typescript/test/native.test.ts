// Finding the native module, and saying what is missing where there is none.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createConsumer, createWorker } from "pgtasker";
import { platformName } from "../dist/esm/native.js";

test("without the native module, starting says for which platform, and what there is", async () => {
  process.env["PGTASKER_NATIVE"] = "/nowhere/pgtasker.node";
  const worker = createWorker({ namespace: "none" });
  const subscription = worker.subscribe("*");
  const consumer = createConsumer({ namespace: "none" });
  await assert.rejects(consumer.start(), /the consumer has no handler/);
  consumer.handler(() => undefined);
  for (const start of [worker.start(), consumer.start()]) {
    await assert.rejects(start, ({ message }: Error) => {
      assert.ok(message.includes(`no native module for ${platformName()}`), message);
      assert.ok(message.includes("/nowhere/pgtasker.node"), message);
      assert.match(message, /linux-arm64-musl.*enqueueing|enqueueing.*linux-arm64-musl/);
      return true;
    });
  }
  for await (const event of subscription) assert.fail(`an event: ${event.id}`);
  assert.deepEqual([worker.id, worker.health(), worker.metrics()], [null, null, ""]);
  await worker.stop();
});

test("platforms are named by their C library too", () => {
  assert.match(platformName(), /^(linux-(x64|arm64)-(gnu|musl)|(darwin|win32)-(x64|arm64))$/);
});
