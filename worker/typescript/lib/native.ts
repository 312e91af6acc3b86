/**
 * The native module: where it is found, and what it can do. Its types are written by hand: it has
 * ten functions.
 */
import { here } from "./here.cjs";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

/** Where the packages of the platforms are: `@pgtasker/linux-x64-gnu`, and so on. */
const SCOPE = "@pgtasker";

/** Platforms for which packages are built. */
export const PLATFORMS = [
  "darwin-arm64",
  "darwin-x64",
  "linux-arm64-gnu",
  "linux-arm64-musl",
  "linux-x64-gnu",
  "linux-x64-musl",
] as const;

/** A running worker or consumer of the native module. */
export interface Native {
  /** False: not yet. Throws why it could not start. */
  started(): boolean;
  /** Items as JSON; none: nothing came within `waitMs` milliseconds. */
  poll(max: number, waitMs: number): Promise<string[]>;
  /** Answers items by their ids; returns how many nobody waited for any more. */
  complete(ids: number[], texts: string[]): number;
  /** Asks something for a step; the answer is an item `reply` with the id that this returns. */
  askLater(step: number, what: string, args: string): number;
  /** No more claims; polling goes on until `stopped`. */
  shutdown(): void;
  /** JSON, as /health tells it. */
  health(): string;
  /** As Prometheus reads them. */
  metrics(): string;
  /** The worker's id in the database, once it runs. */
  id(): string | null;
}

/** What the module exports. */
export interface NativeModule {
  readonly Native: {
    start(options: string): Native;
    startConsumer(options: string): Native;
  };
}

/** This platform as packages name it, such as `linux-x64-gnu`. */
export function platformName(): string {
  const name = `${process.platform}-${process.arch}`;
  return process.platform === "linux" ? `${name}-${isMusl() ? "musl" : "gnu"}` : name;
}

/** What this process runs on: a machine with glibc may have musl installed as well. */
function isMusl(): boolean {
  try {
    return readFileSync("/proc/self/maps", "utf8").includes("/ld-musl-");
  } catch {
    // Deno asks for a permission of its own for this file.
    return namesIn("/lib").some(file => file.startsWith("ld-musl-"));
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** Names the package that holds the native module for a platform. */
export function packageOf(platform: string): string {
  return `${SCOPE}/${platform}`;
}

/** The platforms whose packages stand beside this one; another machine may have installed them. */
function installed(): string {
  const names = namesIn(join(dirname(dirname(dirname(here))), SCOPE));
  return names.length > 0 ? names.map(packageOf).join(", ") : "none";
}

let loaded: NativeModule | undefined;

/**
 * Loads the native module: the file that `PGTASKER_NATIVE` names, else the one in this package's
 * folder `native`, else that of the package `@pgtasker/<platform>`.
 *
 * @throws Error that names this platform, what was tried, which of the packages are installed, and
 * which platforms there are.
 */
export function load(): NativeModule {
  loaded ??= find();
  return loaded;
}

function find(): NativeModule {
  const platform = platformName();
  const require = createRequire(join(here, "native.js"));
  const own = process.env["PGTASKER_NATIVE"];
  const beside = join(dirname(dirname(here)), "native", `${platform}.node`);
  const places = own ? [own] : [beside, packageOf(platform)];
  const tried: string[] = [];
  for (const place of places) {
    if (place === beside && !existsSync(place)) {
      tried.push(`${place}: no such file`);
      continue;
    }
    try {
      return require(place) as NativeModule;
    } catch (error) {
      const [why] = String((error as Error).message ?? error).split("\n");
      tried.push(`${place}: ${why}`);
    }
  }
  throw new Error(
    `pgtasker has no native module for ${platform}, which workers need (enqueueing does not). ` +
      `Tried: ${tried.join("; ")}. Installed packages of platforms: ${installed()}. There are ` +
      `packages for ${PLATFORMS.join(", ")}: install pgtasker on this machine, with its ` +
      `optional dependencies, or build the module and set PGTASKER_NATIVE`,
  );
}
