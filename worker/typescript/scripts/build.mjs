// Builds the library twice, as ES modules and as CommonJS, and takes the native module over where
// cargo has built it: the newest one, because packages leave a release build behind.
import { copyFileSync, existsSync, mkdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { compile, root } from "./compile.mjs";

rmSync(join(root, "dist"), { recursive: true, force: true });
compile(join(root, "dist"));

const { platformName } = await import(join(root, "dist/esm/native.js"));
const target = process.env.CARGO_TARGET_DIR ?? join(root, "../../target");
const library = {
  linux: "libpgtasker_node.so",
  darwin: "libpgtasker_node.dylib",
  win32: "pgtasker_node.dll",
}[process.platform];
const time = path => statSync(path).mtimeMs;
const [built] = ["release", "debug"]
  .map(profile => join(target, profile, library ?? ""))
  .filter(path => library !== undefined && existsSync(path))
  .sort((a, b) => time(b) - time(a));
if (built) {
  mkdirSync(join(root, "native"), { recursive: true });
  copyFileSync(built, join(root, "native", `${platformName()}.node`));
}
