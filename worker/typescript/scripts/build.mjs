// Builds the library twice, as ES modules and as CommonJS, and takes the native module over where
// cargo has built it.
import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const tsc = join(root, "node_modules/typescript/bin/tsc");
rmSync(join(root, "dist"), { recursive: true, force: true });
for (const project of ["tsconfig.json", "tsconfig.cjs.json"]) {
  execFileSync(process.execPath, [tsc, "-p", project], { cwd: root, stdio: "inherit" });
}
writeFileSync(join(root, "dist/cjs/package.json"), '{ "type": "commonjs" }\n');
chmodSync(join(root, "dist/esm/cli.js"), 0o755);

const { platformName } = await import(join(root, "dist/esm/native.js"));
const target = process.env.CARGO_TARGET_DIR ?? join(root, "../../target");
const library = {
  linux: "libpgtasker_node.so",
  darwin: "libpgtasker_node.dylib",
  win32: "pgtasker_node.dll",
}[process.platform];
const built = ["release", "debug"]
  .map(profile => join(target, profile, library ?? ""))
  .find(path => library !== undefined && existsSync(path));
if (built) {
  mkdirSync(join(root, "native"), { recursive: true });
  copyFileSync(built, join(root, "native", `${platformName()}.node`));
}
