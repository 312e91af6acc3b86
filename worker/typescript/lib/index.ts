/**
 * Handlers, consumers, and clients of Tasker, the workflow engine on PostgreSQL and pgmq.
 *
 * @packageDocumentation
 */
export { type Api, type ApiOptions, ApiResponse } from "./api.js";
export {
  Batch,
  type Batchable,
  type Checkpoint,
  type Cursor,
  type Instance,
  type Range,
} from "./batch.js";
export {
  type Capability,
  type Decision,
  type Included,
  type Standard,
  api,
  batchable,
  capability,
  decision,
  events,
  transaction,
} from "./capabilities.js";
export * from "./client.js";
export {
  Consumer,
  type ConsumerOptions,
  type EventHandler,
  createConsumer,
} from "./consumer.js";
export { type Reader, StepContext } from "./context.js";
export {
  type Failure,
  type FailureOptions,
  PermanentError,
  RetryableError,
  type StepError,
  isStepError,
} from "./errors.js";
export {
  type DomainEvent,
  type Events,
  type Publication,
  type Publisher,
  Subscription,
} from "./events.js";
export type { Json } from "./exactJson.js";
export {
  type Context,
  Handler,
  type HandlerFunction,
  type HandlerOptions,
  type ParentSchemas,
  handler,
} from "./handler.js";
export { type LogFields, type Logger, standardError } from "./logger.js";
export { Outcome, type StepOutcome } from "./outcome.js";
export type { Resolver } from "./resolver.js";
export type { Output, StandardSchema } from "./schema.js";
export type {
  Connection,
  PgClient,
  PgPool,
  PgPoolClient,
  Postgres,
  PostgresTransaction,
  Transaction,
  Transactional,
  Within,
} from "./transaction.js";
export { Worker, type WorkerOptions, createWorker } from "./worker.js";
