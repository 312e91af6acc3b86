// Only compiled: CommonJS has types of its own.
import pgtasker = require("pgtasker");
import client = require("pgtasker/client");

export async function compiled(db: client.Queryable): Promise<string> {
  const worker = pgtasker.createWorker({ namespace: "orders" });
  worker.handler("a", { with: [pgtasker.decision] }, ctx => ctx.choose("b"));
  return await client.enqueueTask(db, { namespace: "orders", name: "flow" });
}
