// Makes the folders of two packages for `npm pack`: `pgtasker`, and `@pgtasker/<platform>` with the
// native module for this machine. `node scripts/packages.mjs FOLDER MODULE`; .ci/packages calls it.
import { copyFileSync, cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { compile, root } from "./compile.mjs";

const [folder, module] = process.argv.slice(2);
if (folder === undefined || module === undefined) {
  throw new Error("usage: node scripts/packages.mjs FOLDER MODULE");
}
const main = join(folder, "pgtasker");
mkdirSync(main, { recursive: true });
compile(join(main, "dist"));
const { PLATFORMS, packageOf, platformName } = await import(join(main, "dist/esm/native.js"));

function write(place, description) {
  writeFileSync(join(place, "package.json"), `${JSON.stringify(description, null, 2)}\n`);
  copyFileSync(join(root, "../../LICENSE"), join(place, "LICENSE"));
}

// The platforms' packages are named here and not in the repository's package.json: its lock file
// could name none of them before they are published.
const { scripts, devDependencies, ...kept } = JSON.parse(
  readFileSync(join(root, "package.json"), "utf8"),
);
const { version, license } = kept;
const optionalDependencies = Object.fromEntries(PLATFORMS.map(p => [packageOf(p), version]));
write(main, { ...kept, optionalDependencies });
cpSync(join(root, "lib"), join(main, "lib"), { recursive: true });
copyFileSync(join(root, "README.md"), join(main, "README.md"));

const platform = platformName();
const [os, cpu, libc] = platform.split("-");
const file = "pgtasker.node";
const place = join(folder, platform);
mkdirSync(place, { recursive: true });
write(place, {
  name: packageOf(platform),
  version,
  license,
  description: `The native module of pgtasker for ${platform}`,
  main: file,
  files: [file],
  engines: kept.engines,
  os: [os],
  cpu: [cpu],
  ...(libc ? { libc: [libc === "gnu" ? "glibc" : libc] } : {}),
});
copyFileSync(module, join(place, file));
