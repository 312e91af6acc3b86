// A worker as a process of its own; the environment says which namespaces it serves.
import { setTimeout as sleep } from "node:timers/promises";
import { createWorker } from "pgtasker";

const say = (what: string): unknown => process.stdout.write(`${what}\n`);

export const worker = createWorker({ leaseMs: 1_000, graceMs: 3_000 });

worker.handler("slow", async ctx => {
  const { ms } = ctx.context<{ ms: number }>();
  say(`began ${ctx.attempt}`);
  const slept = await sleep(ms, "slept", { signal: ctx.signal }).catch(() => "aborted");
  say(slept);
  return slept;
});

worker.handler("stuck", async () => {
  say("began 1");
  await sleep(600_000);
});
