// Runs the tests against one server: `tasker up` of the program TASKER_BIN (target/debug/tasker),
// or the database TASKER_TEST_DATABASE, which an orchestrator must serve. Arguments name the files
// of tests.
import { spawn } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const program = process.env.TASKER_BIN ?? join(root, "../../target/debug/tasker");
const given = process.argv.slice(2);
const folder = join(root, "test-js");
const all = readdirSync(folder).filter(name => name.endsWith(".test.js"));
const files = given.length > 0 ? given : all.map(name => join(folder, name));

/** The server, and its database's URL. */
function up() {
  if (!existsSync(program)) throw new Error(`TASKER_BIN: there is no program ${program}`);
  const place = mkdtempSync(join(tmpdir(), "tasker-ts-"));
  // PostgreSQL runs as another user where this one is root.
  chmodSync(place, 0o755);
  const args = ["--json", "up", "--no-worker", "--http", "off"];
  // The server would take it for a setting of its own.
  const { TASKER_BIN: _, ...env } = process.env;
  const stdio = ["ignore", "pipe", "inherit"];
  const server = spawn(program, args, { cwd: place, stdio, env });
  const stop = async () => {
    const ended = new Promise(resolve => server.once("exit", resolve));
    if (server.exitCode === null && server.signalCode === null) {
      server.kill("SIGTERM");
      await ended;
    }
    rmSync(place, { recursive: true, force: true });
  };
  const url = new Promise((resolve, reject) => {
    let text = "";
    server.stdout.on("data", chunk => {
      text += chunk;
      try {
        resolve(JSON.parse(text).url);
      } catch {
        // Not yet all of it.
      }
    });
    server.once("exit", code => reject(new Error(`tasker up ended with ${code}`)));
    server.once("error", reject);
  });
  return { url, stop };
}

async function run(command, args, env) {
  const child = spawn(command, args, { stdio: "inherit", env: { ...process.env, ...env } });
  return await new Promise(resolve => child.once("exit", code => resolve(code ?? 1)));
}

const server = process.env.TASKER_TEST_DATABASE
  ? { url: process.env.TASKER_TEST_DATABASE, stop: async () => {} }
  : up();
let code = 1;
try {
  const url = await server.url;
  const args = ["--test", "--test-concurrency=2", ...files];
  code = await run(process.execPath, args, { TASKER_TEST_DATABASE: url });
} finally {
  await server.stop();
}
process.exit(code);
