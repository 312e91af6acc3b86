/**
 * What workers and consumers have in common: they start, run until a signal, and stop.
 */
import type { Json } from "./exactJson.js";
import { type Logger, standardError, withFields } from "./logger.js";
import type { Native } from "./native.js";
import { Session } from "./session.js";
import { exitCodeOf, onSignals } from "./signals.js";
import { findTracing } from "./trace.js";

/** A worker, or a consumer. */
export abstract class Program {
  /** @internal */
  protected readonly logger: Logger;
  readonly #what: string;
  readonly #bigint: boolean;
  #session: Session | undefined;
  #runs = false;

  /** @internal `what` is its name in errors. */
  constructor(what: string, options: { readonly logger?: Logger; readonly bigint?: boolean }) {
    this.#what = what;
    this.#bigint = options.bigint ?? false;
    this.logger = withFields(options.logger ?? standardError, {});
  }

  /** @internal Starts the native side. */
  protected abstract open(): Native;

  /** @internal Takes an item that concerns steps or events. */
  protected abstract take(session: Session, text: string, item: { readonly type: string }): void;

  /** @internal After its end, or where it could not start. */
  protected over(): void {}

  /** @internal That of the last start. */
  protected get session(): Session | undefined {
    return this.#session;
  }

  /** @internal Throws where it runs. */
  protected notRunning(): void {
    if (this.#runs) throw new Error(`the ${this.#what} runs already`);
  }

  /**
   * Starts it, and returns once it runs. Installs no handlers of signals. After its end it may be
   * started again.
   *
   * @throws Error where the native module is missing, or what is wrong with the configuration, a
   *   name, or the database.
   */
  async start(): Promise<void> {
    this.notRunning();
    let session: Session;
    try {
      session = new Session(this.open(), this.logger, this.#bigint, (text, item) =>
        this.take(session, text, item),
      );
    } catch (error) {
      this.over();
      throw error;
    }
    this.#session = session;
    this.#runs = true;
    const over = (): void => {
      this.#runs = false;
      this.over();
    };
    session.ended.then(over, over);
    await findTracing();
    try {
      await session.started();
    } catch (error) {
      // The caller may start it again at once.
      await session.ended.catch(() => undefined);
      throw error;
    }
  }

  /**
   * Asks it to end, and waits for that: it takes nothing more, and what runs has the grace period.
   */
  async stop(): Promise<void> {
    this.#session?.native.shutdown();
    await this.#session?.ended;
  }

  /** Settled at its end; rejected with why, where it was not asked to end. */
  async ended(): Promise<void> {
    await this.#session?.ended;
  }

  /**
   * Runs it until SIGTERM or SIGINT; the first lets what runs end within the grace period, a second
   * ends the process at once.
   *
   * @throws as {@link start}, and why it ended otherwise.
   */
  async run(): Promise<void> {
    const started = this.start();
    const off = onSignals(
      () => this.#session?.native.shutdown(),
      name => process.exit(exitCodeOf(name)),
    );
    try {
      await started;
      await this.ended();
    } finally {
      off();
    }
  }

  /** Whether it can do its work, as /health tells it. */
  health(): Json {
    return JSON.parse(this.#session?.native.health() ?? "null") as Json;
  }

  /** The metrics of this process, as Prometheus reads them. */
  metrics(): string {
    return this.#session?.native.metrics() ?? "";
  }
}
