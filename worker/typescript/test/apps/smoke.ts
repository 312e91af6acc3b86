// The same program for every runtime: enqueues, works, calls, publishes, and stops by itself.
import pg from "pg";
import { createWorker, enqueueTask, taskResult, waitForTask } from "pgtasker";

const [namespace = "", url = ""] = process.argv.slice(2);
const pool = new pg.Pool({ connectionString: url, max: 3 });
const worker = createWorker({ databaseUrl: url, namespace, bigint: true, graceMs: 1_000 });
const heard: unknown[] = [];
const listening = (async (subscription = worker.subscribe("*")) => {
  for await (const { payload } of subscription) heard.push(payload);
})();

worker.handler("first", async ctx => {
  ctx.publish("it.began", { n: 1 });
  return { context: ctx.context(), aborted: ctx.signal.aborted };
});
worker.handler("second", async ctx => {
  if (ctx.attempt === 1) throw new TypeError("once");
  await ctx.transaction(pool, tx => tx.complete({ first: ctx.parent("first") }));
});

await worker.start();
const context = { big: 2n ** 64n, text: "ä\u{1F600}" };
const id = await enqueueTask(pool, { namespace, name: "flow", context });
const { state } = await waitForTask(pool, id, { timeoutMs: 20_000 });
const result = await taskResult(pool, id, { bigint: true });
await worker.stop();
await listening;
await pool.end();
const { first } = result.second;
const fine =
  first.context.big === 2n ** 64n && first.context.text === context.text && heard.length === 1;
process.stdout.write(`${state} ${fine}\n`);
