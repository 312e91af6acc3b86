// What the command runs, and what leaves a rejected promise behind.
import { setTimeout as sleep } from "node:timers/promises";

export const worker = {
  async run(): Promise<void> {
    void Promise.reject(new TypeError("stray"));
    await sleep(50);
    process.stdout.write("went on\n");
  },
};
