// Makes the package `pgtasker-<platform>` of the native module, in the folder that the first
// argument names; `npm pack` there packs it.
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { platformName } from "../dist/esm/native.js";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const folder = process.argv[2] ?? join(root, "dist", "platform");
const { version, license } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const platform = platformName();
const [os, cpu, libc] = platform.split("-");
const file = "pgtasker.node";
const description = {
  name: `pgtasker-${platform}`,
  version,
  license,
  description: `The native module of pgtasker for ${platform}`,
  main: file,
  files: [file],
  os: [os],
  cpu: [cpu],
  ...(libc ? { libc: [libc === "gnu" ? "glibc" : libc] } : {}),
};
mkdirSync(folder, { recursive: true });
writeFileSync(join(folder, "package.json"), `${JSON.stringify(description, null, 2)}\n`);
copyFileSync(join(root, "native", `${platform}.node`), join(folder, file));
process.stdout.write(`${description.name} is in ${folder}\n`);
