import { createWorker } from "pgtasker";

const worker = createWorker();

worker.handler("nothing", async () => null);

await worker.run();
process.exit();
