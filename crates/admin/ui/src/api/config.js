// The config in force, and what the gateway says about another one.

import { filesOf } from "../model/draft.js";
import { get, put } from "./client.js";
import { usePoller } from "./poll.js";

/** @typedef {import("../model/draft.js").Base} Base */
/** @typedef {import("../model/draft.js").Draft} Draft */

/**
 * @typedef {object} Applied
 * @property {number} revision
 * @property {string} hash
 * @property {boolean} changed
 * @property {string} summary
 * @property {string[]} dials_dropped
 * @property {import("./types.js").Diagnostic[]} warnings
 * @property {string} [reverts_at]
 * @property {{ passed: number, failed: number }} [tests]
 * @property {Move[]} [moves] some of them
 * @property {number} [moves_total]
 */

/**
 * A request that would get elsewhere.
 * @typedef {object} Move
 * @property {string} request
 * @property {Outcome} before
 * @property {Outcome} after
 */

/** @typedef {{ outcome: string, route?: string | null, services?: string[], status?: number | null }} Outcome */

/**
 * @typedef {object} Revision
 * @property {number} number
 * @property {string} time
 * @property {string} origin
 * @property {string} hash
 * @property {string} summary
 * @property {string} [by]
 */

/** @typedef {Revision & { files: import("../model/draft.js").ConfigFile[] }} RevisionTexts */

/** Milliseconds between two looks at the config, which may be large, and is asked for at once when its revision changes. */
const INTERVAL = 600_000;

const KEY = "config";

/** @returns {import("./poll.js").Polled<Base>} */
export const useConfig = () => usePoller(KEY, load, INTERVAL);

/** @returns {Promise<Base>} */
async function load() {
  const [{ data, etag }, { data: status }] = await Promise.all([get("/api/v1/config"), get("/api/v1/status")]);
  const { revision, config } = /** @type {import("./types.js").Status} */ (status);
  if (typeof data === "string") return { etag: etag ?? "", revision, isDirectory: false, files: [{ name: config.split("/").pop() || "waypost.yaml", text: data }] };
  const { files } = /** @type {{ files: import("../model/draft.js").ConfigFile[] }} */ (data);
  return { etag: etag ?? "", revision, isDirectory: true, files: files.map(({ name, text }) => ({ name, text })) };
}

/**
 * Sends a draft, to be checked or to be applied.
 * @param {Draft} draft
 * @param {string} query
 * @param {string} ifMatch
 * @returns {Promise<{ applied: Applied, etag: string }>}
 */
export async function send(draft, query, ifMatch) {
  const files = filesOf(draft);
  const body = draft.base.isDirectory ? { files } : files[0].text;
  const { data, etag } = await put(`/api/v1/config${query}`, { body, ifMatch });
  return { applied: /** @type {Applied} */ (data), etag: etag ?? "" };
}
