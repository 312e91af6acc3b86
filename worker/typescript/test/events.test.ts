// Domain events: published, changed, kept back, subscribed to, and consumed.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import {
  type DomainEvent,
  PermanentError,
  createConsumer,
  events,
  waitForTask,
} from "pgtasker";
import { Lines, databaseUrl, flow, pool, until, working } from "./server.js";

after(() => pool.end());

const declared = [
  { name: "payment.processed", delivery: "broadcast" },
  { name: "payment.failed", delivery: "broadcast", condition: "failure" },
  { name: "stock.reserved", delivery: "fast" },
];

test("events reach subscribers in order, as their publisher leaves them", async () => {
  const shop = await flow({ name: "only", handler: "charge", publishes_events: declared });
  const heard: DomainEvent[] = [];
  let ended = false;
  await working(
    shop,
    worker => {
      const subscription = worker.subscribe("*");
      void (async () => {
        for await (const event of subscription) heard.push(event);
        ended = true;
      })();
      worker.publisher("payment.*", (event, ctx) => {
        if (event.payload.amount === 0) return null;
        if (event.payload.amount === 13) throw new Error("unlucky");
        event.payload.masked = true;
        event.metadata = { attempt: ctx.attempt, order: ctx.context<any>().order };
        return event;
      });
      worker.handler("charge", { with: [events] }, ctx => {
        const { amount } = ctx.context<{ amount: number }>();
        for (let n = 0; n < 5; n += 1) ctx.publish("stock.reserved", { n });
        if (amount < 0) throw new PermanentError("refused", { code: "card_refused" });
        return { amount };
      });
    },
    async () => {
      const id = await shop.enqueue({ amount: 12, order: 7 });
      await until("all events", () => heard.length === 6);
      const [first, ...rest] = heard.filter(({ name }) => name === "payment.processed");
      assert.deepEqual([first?.payload, rest], [{ amount: 12, masked: true }, []]);
      assert.deepEqual(first?.metadata, { attempt: 1, order: 7 });
      assert.deepEqual([first?.task_id, first?.step], [id, "only"]);
      const reserved = heard.filter(({ name }) => name === "stock.reserved");
      assert.deepEqual(reserved.map(({ payload }) => payload.n), [0, 1, 2, 3, 4]);
      heard.length = 0;
      await shop.failure({ amount: -1, order: 8 });
      await until("the failure's", () => heard.length === 1);
      assert.equal(heard[0]?.payload.code, "card_refused");
      for (const amount of [0, 13]) await shop.result({ amount, order: 9 });
      const { rows } = await pool.query(
        "select detail from tasker.dead_letters where queue = $1 and message ->> 'name' = $2",
        [`${shop.namespace}_domain_events`, "payment.processed"],
      );
      assert.match(rows[0].detail, /unlucky/);
      assert.ok(heard.every(({ name }) => name !== "payment.processed"));
    },
  );
  await until("the subscription has ended", () => ended);
});

test("an event with a number that would be rounded harms no step", async () => {
  const shop = await flow({ name: "only", handler: "big", publishes_events: declared });
  await working(
    shop,
    worker => {
      worker.publisher("payment.*", event => event);
      worker.handler("big", () => ({ n: 2n ** 80n }));
    },
    async () => {
      assert.equal((await shop.result({}, true)).n, 2n ** 80n);
      const { rows } = await pool.query(
        "select detail from tasker.dead_letters where queue = $1",
        [`${shop.namespace}_domain_events`],
      );
      assert.match(rows[0].detail, /\/payload\/n: a JavaScript number/);
    },
  );
});

test("a consumer handles each event, tries again, and gives up", async () => {
  const shop = await flow({ name: "only", handler: "charge", publishes_events: declared });
  const seen = new Map<string, number>();
  const consumer = createConsumer({
    databaseUrl: databaseUrl(),
    namespace: shop.namespace,
    logger: new Lines(),
    graceMs: 1_000,
  });
  consumer.handler(async ({ payload }) => {
    const kind: string = payload.kind;
    seen.set(kind, (seen.get(kind) ?? 0) + 1);
    await Promise.resolve();
    if (kind === "twice" && seen.get(kind) === 1) throw new Error("once more");
    if (kind === "never") throw new PermanentError("no such order", { code: "unknown" });
  });
  await working(
    shop,
    worker => worker.handler("charge", ctx => ctx.context()),
    async () => {
      await waitForTask(pool, await shop.enqueue({ kind: "once" }));
      await consumer.start();
      await shop.enqueue({ kind: "twice" });
      await shop.enqueue({ kind: "never" });
      await until("all are handled", () => seen.size === 3 && seen.get("twice") === 2);
      await until("the queue is empty", async () => {
        const { rows } = await pool.query(
          `select count(*)::int as n from pgmq."q_${shop.namespace}_domain_events"`,
        );
        return rows[0].n === 0;
      });
      const { rows } = await pool.query("select detail from tasker.dead_letters where queue = $1", [
        `${shop.namespace}_domain_events`,
      ]);
      assert.equal(rows.length, 1);
      assert.match(rows[0].detail, /no such order/);
      assert.deepEqual([...seen.values()].sort(), [1, 1, 2]);
      await consumer.stop();
    },
  );
});
