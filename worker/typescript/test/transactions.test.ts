// A step that ends in a transaction of the user's own driver.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import postgres from "postgres";
import { type Context, PermanentError, cancelTask, transaction, waitForTask } from "pgtasker";
import { databaseUrl, flow, pool, until, working } from "./server.js";

const sql = postgres(databaseUrl(), { max: 2, onnotice: () => undefined });
const table = `ts_booked_${process.pid}`;
const insert = `insert into ${table} (task_id, driver) values ($1, $2)`;

before(() => pool.query(`create table ${table} (task_id uuid, driver text, n int default 0)`));
after(async () => {
  await pool.query(`drop table ${table}`);
  await sql.end();
  await pool.end();
});

async function booked(id: string): Promise<string[]> {
  const { rows } = await pool.query(`select driver from ${table} where task_id = $1`, [id]);
  return rows.map(({ driver }) => driver);
}

/** Books by each driver; `meanwhile` comes before the end. */
async function book(
  ctx: Context,
  driver: string,
  meanwhile: () => unknown = () => undefined,
): Promise<void> {
  if (driver === "postgres.js") {
    await ctx.transaction(sql, async tx => {
      await tx.client.unsafe(insert, [ctx.taskId, driver]);
      await meanwhile();
      tx.complete({ driver });
    });
  } else if (driver === "pool") {
    await ctx.transaction(pool, async tx => {
      await tx.client.query(insert, [ctx.taskId, driver]);
      await meanwhile();
      tx.complete({ driver });
    });
  } else {
    const client = new pg.Client(databaseUrl());
    await client.connect();
    try {
      await ctx.transaction(client, async tx => {
        await client.query(insert, [ctx.taskId, driver]);
        await meanwhile();
        tx.complete({ driver });
      });
    } finally {
      await client.end();
    }
  }
}

const DRIVERS = ["client", "pool", "postgres.js"];

test("writes and result commit together", async () => {
  const own = await flow({ name: "only", handler: "book" });
  await working(
    own,
    worker => worker.handler("book", ctx => book(ctx, ctx.context().driver)),
    async () => {
      for (const driver of DRIVERS) {
        const id = await own.enqueue({ driver });
        assert.equal((await waitForTask(pool, id)).state, "complete", driver);
        assert.deepEqual(await booked(id), [driver]);
        const { rows } = await pool.query("select tasker.task_result($1) as result", [id]);
        assert.deepEqual(rows[0].result, { only: { driver } });
      }
    },
  );
});

test("of a task that was cancelled meanwhile, nothing stays", async () => {
  const own = await flow({ name: "only", handler: "book" });
  const thrown: unknown[] = [];
  await working(
    own,
    worker =>
      worker.handler("book", async ctx => {
        const meanwhile = () => cancelTask(pool, ctx.taskId, "meanwhile");
        try {
          await book(ctx, ctx.context().driver, meanwhile);
        } catch (error) {
          thrown.push((error as { code?: string }).code);
          throw error;
        }
      }),
    async () => {
      for (const driver of DRIVERS) {
        const id = await own.enqueue({ driver });
        await until("it was refused", () => thrown.length > 0);
        assert.deepEqual(thrown.splice(0), ["stale"]);
        assert.equal((await waitForTask(pool, id)).state, "cancelled");
        assert.deepEqual(await booked(id), [], driver);
      }
    },
  );
});

test("what the handler throws rolls back, and is the step's failure", async () => {
  const own = await flow({ name: "only", handler: "book" });
  await working(
    own,
    worker =>
      worker.handler("book", ctx =>
        book(ctx, ctx.context().driver, () => {
          throw new PermanentError("sold out", { code: "sold_out" });
        }),
      ),
    async () => {
      for (const driver of DRIVERS) {
        assert.equal((await own.failure({ driver })).code, "sold_out");
      }
      const { rows } = await pool.query(`select count(*)::int as n from ${table} where n > 0`);
      assert.equal(rows[0].n, 0);
    },
  );
  assert.equal(pool.idleCount, pool.totalCount, "all connections are back");
});

test("an error of the database has its SQLSTATE, and a deferred one fails the commit", async () => {
  const own = await flow({ name: "only", handler: "book" });
  const unique = `${table}_deferred`;
  const key = "id int unique deferrable initially deferred";
  await pool.query(`create table ${unique} (${key})`);
  await working(
    own,
    worker =>
      worker.handler("book", { with: [transaction] }, async ctx => {
        const values: string = ctx.context<{ values: string }>().values;
        await ctx.transaction(pool, async tx => {
          await tx.client.query(`insert into ${unique} values ${values}`);
          tx.complete();
        });
      }),
    async () => {
      assert.equal((await own.failure({ values: "('x')" })).code, "22P02");
      const failure = await own.failure({ values: "(1), (1)" });
      assert.deepEqual([failure.code, failure.attempts], ["23505", 2]);
      assert.equal(await own.result({ values: "(1), (2)" }), null);
    },
  );
  await pool.query(`drop table ${unique}`);
});

test("a checkpoint, events, and an outcome that the database refuses", async () => {
  const own = await flow({
    name: "only",
    handler: "book",
    publishes_events: [{ name: "booked.one", delivery: "fast" }],
  });
  const heard: unknown[] = [];
  await working(
    own,
    worker => {
      const subscription = worker.subscribe("booked.*");
      void (async () => {
        for await (const { payload } of subscription) heard.push(payload);
      })();
      worker.handler("book", async ctx => {
        if (ctx.context().refused) {
          return await ctx.transaction(pool, tx => tx.completeWith(ctx.choose("nowhere")));
        }
        await ctx.transaction(pool, async tx => {
          await tx.client.query(insert, [ctx.taskId, "checkpoint"]);
          ctx.publish("booked.one", ctx.lastCheckpoint?.cursor ?? 0);
          if (ctx.lastCheckpoint) tx.complete("done");
          else tx.completeWith(ctx.checkpoint(1, 1));
        });
        // What is returned, or thrown, after the commit does not matter.
        throw new Error("too late");
      });
    },
    async () => {
      const id = await own.enqueue();
      assert.equal((await waitForTask(pool, id)).state, "complete");
      assert.deepEqual(await booked(id), ["checkpoint", "checkpoint"]);
      await until("both events", () => heard.length === 2);
      assert.deepEqual(heard, [0, 1]);
      assert.equal((await own.failure({ refused: true })).code, "invalid_outcome");
    },
  );
});

test("a connection that is lost between two statements fails its step only", async () => {
  const lost = await flow({ name: "only", handler: "lost" });
  const own = new pg.Pool({ connectionString: databaseUrl(), max: 1 });
  own.on("error", () => undefined);
  await working(
    lost,
    worker => {
      worker.handler("lost", async ctx => {
        await ctx.transaction(own, async tx => {
          const { rows } = await tx.client.query("select pg_backend_pid() as pid");
          await pool.query("select pg_terminate_backend($1)", [rows[0].pid]);
          if (ctx.attempt === 1) {
            // Its error comes as an event of the client.
            await sleep(200);
            await tx.client.query("select 1");
          }
          tx.complete(ctx.attempt);
        });
      });
    },
    async () => {
      const failed = await lost.failure();
      assert.match(failed.message, /connection|terminat/i);
      assert.equal(failed.attempts, 2);
    },
  );
  assert.deepEqual((await own.query("select 1 as n")).rows, [{ n: 1 }], "it was thrown away");
  await own.end();
});
