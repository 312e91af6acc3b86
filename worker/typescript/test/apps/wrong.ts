// What the command runs, and what cannot be run.
import { createWorker } from "pgtasker";

export const worker = createWorker({ leaseMs: 5 });

export const other = {
  async run(): Promise<void> {
    await Promise.resolve();
    throw new TypeError("of its own");
  },
};
