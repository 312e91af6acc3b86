// A native module without a server: the test gives it items, and takes the answers.
import type { Native as Runs } from "../../dist/esm/native.js" with { "resolution-mode": "import" };

type Started = Runs & { options: string };

class Native {
  static start(options: string): Started {
    const { fake } = globalThis as unknown as { fake: Started };
    return Object.assign(fake, { options });
  }
}

export = { Native };
