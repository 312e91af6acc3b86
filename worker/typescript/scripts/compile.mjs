// The library as ES modules and as CommonJS.
import { execFileSync } from "node:child_process";
import { chmodSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Compiles into the folders `esm` and `cjs` of this one. */
export function compile(dist) {
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  const projects = { "tsconfig.json": "esm", "tsconfig.cjs.json": "cjs" };
  for (const [project, folder] of Object.entries(projects)) {
    const args = [tsc, "-p", project, "--outDir", join(dist, folder)];
    execFileSync(process.execPath, args, { cwd: root, stdio: "inherit" });
  }
  writeFileSync(join(dist, "cjs/package.json"), '{ "type": "commonjs" }\n');
  chmodSync(join(dist, "esm/cli.js"), 0o755);
}
