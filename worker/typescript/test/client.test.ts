// Enqueueing in the application's own transaction, without the native module.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import postgres from "postgres";
import {
  cancelTask,
  enqueueTask,
  enqueueTasks,
  taskContext,
  taskResult,
  taskStatus,
} from "pgtasker/client";
import { databaseUrl, flow, pool } from "./server.js";

const sql = postgres(databaseUrl(), { max: 2, onnotice: () => undefined });
after(async () => {
  await sql.end();
  await pool.end();
});

test("a task is enqueued in the transaction, or not at all", async () => {
  const { namespace } = await flow({ name: "only", handler: "noop" });
  const task = { namespace, name: "flow", context: { n: 2n ** 70n } };
  const client = await pool.connect();
  await client.query("begin");
  const gone = await enqueueTask(client, task);
  await client.query("rollback");
  client.release();
  await assert.rejects(taskStatus(pool, gone), { code: "TK004" });
  const kept = await sql.begin(async own => await enqueueTask(own, task));
  assert.equal((await taskContext(sql, kept, { bigint: true })).n, 2n ** 70n);
  await assert.rejects(taskContext(sql, kept), { code: "unsafe_number" });
  assert.equal(await taskResult(pool, kept), null);
});

test("Prisma's raw queries serve too", async () => {
  const { namespace } = await flow({ name: "only", handler: "noop" });
  const prisma = {
    async $queryRawUnsafe(text: string, ...values: unknown[]): Promise<unknown> {
      return (await pool.query(text, values)).rows;
    },
  };
  const id = await enqueueTask(prisma, { namespace, name: "flow", context: { n: 1 } });
  assert.deepEqual(await taskContext(prisma, id), { n: 1 });
});

test("every argument arrives", async () => {
  const { namespace } = await flow({ name: "only", handler: "noop" });
  const task = {
    namespace,
    name: "flow",
    version: "1",
    priority: 3,
    runAt: new Date(Date.now() + 3_600_000),
    idempotencyKey: "order-7",
    correlationId: "0190f1e2-3e45-7abc-9def-123456789012",
    traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    notify: false,
  };
  const id = await enqueueTask(sql, task);
  assert.equal(await enqueueTask(pool, task), id);
  const { rows } = await pool.query("select * from tasker.task_overview where task_id = $1", [id]);
  assert.equal(rows[0].correlation_id, task.correlationId);
  assert.equal(await cancelTask(sql, id, "test", "ana"), true);
  assert.equal(await cancelTask(sql, id), false);
  assert.equal((await taskStatus(sql, id)).state, "cancelled");
});

test("many tasks, all or none, in order", async () => {
  const { namespace } = await flow({ name: "only", handler: "noop" });
  const contexts = Array.from({ length: 50 }, (_, n) => ({ n }));
  const ids = await enqueueTasks(sql, namespace, "flow", contexts);
  const read = await Promise.all(ids.map(id => taskContext(pool, id)));
  assert.deepEqual(read, contexts);
  assert.deepEqual(await enqueueTasks(pool, namespace, "flow", []), []);
  await assert.rejects(enqueueTasks(pool, namespace, "flow", [{}, 5]), { code: "TK005" });
  const lone = enqueueTask(pool, { namespace, name: "flow", context: { a: "\ud800" } });
  await assert.rejects(lone, /context cannot be stored: .*, at \/a$/);
});
