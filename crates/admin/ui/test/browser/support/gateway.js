// The built gateway, run as a user runs it, in a folder of its own.

import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** The program, built by `cargo xtask ui`. */
const PROGRAM = process.env.WAYPOST ?? new URL("../../../../../../target/debug/waypost", import.meta.url).pathname;
/** The time within which a gateway starts or ends, in milliseconds. */
const PATIENCE_MS = 60_000;

/** A config with one split, whose services nobody serves. */
export const SPLIT = `
listeners: [{ bind: 127.0.0.1:0 }]
services:
  v1: { endpoints: ["http://127.0.0.1:9"] }
  v2: { endpoints: ["http://127.0.0.1:9"] }
routes:
  - { name: users, match: { path: /users/* }, to: { v1: 95, v2: 5 } }
`;

export class Gateway {
  /**
   * Starts a gateway with `config`, to which `admin` is added.
   * @param {string} config
   * @param {{ files?: Record<string, string>, admin?: string }} [options] further files beside the config, and the value of `admin`
   */
  static async start(config, { files = {}, admin = "{ bind: 127.0.0.1:0 }" } = {}) {
    const folder = await mkdtemp(join(tmpdir(), "waypost-ui-"));
    for (const [name, text] of Object.entries(files)) {
      await writeFile(join(folder, name), text);
    }
    await writeFile(join(folder, "waypost.yaml"), `admin: ${admin}\n${config}`);
    const gateway = new Gateway(folder);
    await gateway.#run();
    return gateway;
  }

  /** @param {string} folder */
  constructor(folder) {
    this.folder = folder;
    this.file = join(folder, "waypost.yaml");
    /** Addresses for clients, in order of declaration. @type {string[]} */
    this.listeners = [];
    /** The address of the dashboard. */
    this.admin = "";
    /** All that it said on standard error. */
    this.log = "";
  }

  /** @type {import("node:child_process").ChildProcess | undefined} */
  #process;

  async #run() {
    this.listeners = [];
    const child = spawn(PROGRAM, ["run", this.file], { cwd: this.folder, stdio: ["ignore", "ignore", "pipe"] });
    this.#process = child;
    const lines = createInterface({ input: child.stderr });
    await within(`the gateway is not ready`, () => this.log, new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("exit", (code) => reject(new Error(`the gateway ended with ${code}:\n${this.log}`)));
      lines.on("line", (line) => {
        this.log += `${line}\n`;
        const listening = /^listening on (\S+)/.exec(line);
        const admin = /^admin on (\S+)/.exec(line);
        if (listening) {
          this.listeners.push(listening[1]);
        } else if (admin) {
          this.admin = admin[1];
        } else if (line === "ready") {
          resolve(undefined);
        }
      });
    }));
  }

  /** Kills it without warning, as a crash does. */
  async kill() {
    const child = this.#process;
    this.#process = undefined;
    if (child && child.exitCode === null && child.signalCode === null) {
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGKILL");
      await within("the gateway does not end", () => this.log, ended);
    }
  }

  /** Starts it again after `kill`, at the same admin address. */
  async restart() {
    const { port } = new URL(this.admin);
    const { readFile } = await import("node:fs/promises");
    const text = await readFile(this.file, "utf8");
    await writeFile(this.file, text.replace(/^admin:.*$/m, `admin: { bind: 127.0.0.1:${port} }`));
    await this.#run();
  }

  /** Ends it, and removes its folder. */
  async stop() {
    await this.kill();
    await rm(this.folder, { recursive: true, force: true });
  }

  /**
   * A request of the admin API.
   * @param {string} path
   * @param {RequestInit} [init]
   */
  async api(path, init) {
    const response = await fetch(`${this.admin}/api/v1${path}`, init);
    if (!response.ok) {
      throw new Error(`${path}: ${response.status} ${await response.text()}`);
    }
    return response.json();
  }
}

/**
 * Waits for `promise`, and says what did not happen if it takes too long.
 * @template T
 * @param {string} trouble
 * @param {() => string} details
 * @param {Promise<T>} promise
 * @returns {Promise<T>}
 */
async function within(trouble, details, promise) {
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${trouble}:\n${details()}`)), PATIENCE_MS);
  });
  try {
    return await Promise.race([promise, /** @type {Promise<never>} */ (late)]);
  } finally {
    clearTimeout(timer);
  }
}
