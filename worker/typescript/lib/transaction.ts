/**
 * The end of a step in a transaction of the user's own driver: pg, or postgres.js. The handler's
 * writes commit together with its result, or not at all.
 */
import type { StepContext } from "./context.js";
import { PermanentError, RetryableError } from "./errors.js";
import { isFunction } from "./options.js";
import { type Outcome, outcomeText } from "./outcome.js";
import type { EventEmitter } from "node:events";

const BEGIN = "begin isolation level read committed";

interface Rows {
  readonly rows: any[];
  readonly command?: string;
}

/** A `Client` of pg. */
export interface PgClient {
  query(text: string, values?: any[]): Promise<Rows>;
}

/** A client that a pool has lent. */
export interface PgPoolClient extends PgClient {
  release(error?: Error | boolean): void;
}

/** A `Pool` of pg. */
export interface PgPool {
  readonly idleCount: number;
  connect(): Promise<PgPoolClient>;
}

/** What postgres.js hands to a transaction. */
export interface PostgresTransaction {
  unsafe(query: string, parameters?: any[]): PromiseLike<any[]>;
}

/** postgres.js. */
export interface Postgres {
  begin(options: string, work: (sql: any) => any): Promise<any>;
  unsafe(query: string, parameters?: any[]): PromiseLike<any[]>;
}

/** Whatever a transaction can be begun on. */
export type Connection = PgClient | PgPool | Postgres;

/** What statements go through within the transaction. */
export type Within<C> = C extends {
  begin(options: string, work: (sql: infer Sql extends PostgresTransaction) => any): Promise<any>;
}
  ? Sql
  : C extends { connect(): Promise<infer Lent extends PgPoolClient>; readonly idleCount: number }
    ? Lent
    : C;

/** A transaction that is to end the step. */
export interface Transaction<Sql> {
  /** For your statements: the pg client, or postgres.js's `sql` of the transaction. */
  readonly client: Sql;
  /** The step succeeds with this result when the function returns and the commit takes place. */
  complete(result?: unknown): void;
  /** The same with any other outcome, such as `ctx.checkpoint(…)`. */
  completeWith(outcome: Outcome): void;
}

/** For handlers whose effects are in the same database. */
export interface Transactional {
  /**
   * Begins a transaction, calls `work`, submits the result that it gave to `tx.complete` as the
   * last statement, and commits. Where the step has passed to another claim, or `work` throws, all
   * is rolled back. What the handler returns afterwards does not matter.
   *
   * @throws StepError where the result is not accepted; whatever `work` or the commit throws. Let
   *   these errors out.
   */
  transaction<C extends Connection>(
    this: StepContext,
    connection: C,
    work: (tx: Transaction<Within<C>>) => unknown,
  ): Promise<void>;
}

/** The status of a result that was not accepted. */
class Refused extends Error {
  constructor(readonly status: string) {
    super(`the step's result is ${status}`);
  }
}

type Statement = (text: string, parameters: string[]) => Promise<any[]>;
type Work = (tx: Transaction<any>) => unknown;

/** The methods of the capability. */
export const transactionMethods: Transactional = {
  async transaction(connection, work) {
    if (this.isSubmitted()) {
      throw new PermanentError("a transaction of its own has ended this step already");
    }
    try {
      await on(this, connection, work);
    } catch (error) {
      if (error instanceof Refused) return await refused(this, error.status);
      throw error;
    }
    await this.ask("committed", {});
    this.setSubmitted();
  },
};

/** Never shows what it was given instead: that may be a URL with a password. */
function on(ctx: StepContext, connection: Connection, work: Work): Promise<void> {
  if (typeof work !== "function") {
    throw new PermanentError("ctx.transaction takes a connection, and what to do in it");
  }
  if (isFunction(connection, "begin")) return onPostgres(ctx, connection as Postgres, work);
  if (isFunction(connection, "connect") && "idleCount" in connection) {
    return onPool(ctx, connection, work);
  }
  if (isFunction(connection, "query")) return onClient(ctx, connection as PgClient, work);
  throw new PermanentError("ctx.transaction takes a Client or a Pool of pg, or postgres.js");
}

async function onPostgres(ctx: StepContext, sql: Postgres, work: Work): Promise<void> {
  await sql.begin("isolation level read committed", async (client: PostgresTransaction) => {
    await within(ctx, client, work, async (text, parameters) => {
      return await client.unsafe(text, parameters);
    });
  });
}

async function onPool(ctx: StepContext, pool: PgPool, work: Work): Promise<void> {
  const client = await pool.connect();
  await onClient(ctx, client, work, broken => client.release(broken));
}

/**
 * pg tells of a connection that is lost between two statements by an event, which ends the process
 * where nobody listens. The next statement fails then.
 */
async function onClient(
  ctx: StepContext,
  client: PgClient,
  work: Work,
  end: (broken: Error | undefined) => void = () => undefined,
): Promise<void> {
  const errors: Error[] = [];
  const breaks = (error: Error): unknown => errors.push(error);
  const events = client as Partial<Pick<EventEmitter, "on" | "off">>;
  events.on?.("error", breaks);
  try {
    await onPg(ctx, client, work, breaks);
  } finally {
    // One that is broken may say so again later.
    if (errors.length === 0) events.off?.("error", breaks);
    end(errors[0]);
  }
}

async function onPg(
  ctx: StepContext,
  client: PgClient,
  work: Work,
  breaks: (error: Error) => unknown,
): Promise<void> {
  await client.query(BEGIN);
  try {
    await within(ctx, client, work, async (text, parameters) => {
      return (await client.query(text, parameters)).rows;
    });
  } catch (error) {
    // Where even that fails, the connection is gone, and the transaction with it.
    await client.query("rollback").catch(breaks);
    throw error;
  }
  const { command } = await client.query("commit").catch((error: Error) => {
    breaks(error);
    throw error;
  });
  if (command === "ROLLBACK") {
    throw new RetryableError("the transaction had failed: its commit rolled it back");
  }
}

/** From the transaction's beginning until it is to be committed. */
async function within(
  ctx: StepContext,
  client: unknown,
  work: Work,
  execute: Statement,
): Promise<void> {
  let outcome: string | undefined;
  const end = (value: unknown): void => {
    if (outcome !== undefined) throw new PermanentError("the transaction is complete already");
    outcome = outcomeText(value);
  };
  const tx: Transaction<unknown> = { client, complete: end, completeWith: end };
  await work(tx);
  if (outcome === undefined) {
    const text = "the transaction ended without tx.complete(…): it was rolled back";
    throw new PermanentError(text, { code: "not_completed" });
  }
  await ctx.sendEvents();
  const prepared = await ctx.ask("prepare", `{"outcome":${outcome}}`);
  const { statement, parameters } = prepared as { statement: string; parameters: string[] };
  const [row] = await execute(statement, parameters);
  const status: unknown = row?.status;
  if (status !== "accepted") throw new Refused(String(status));
  await ctx.ask("commits", {});
}

/** Throws what the handler is to throw: asking so is answered by an error. */
async function refused(ctx: StepContext, status: string): Promise<never> {
  await ctx.ask("refused", { status });
  throw new RetryableError(`${status}: the result was not accepted`, { code: status });
}
