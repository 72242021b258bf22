// The health of the gateway in one word, with the reasons.

import { count, counted, percent } from "./format.js";

/** @typedef {import("../api/types.js").Status} Status */
/** @typedef {import("../api/types.js").ServiceView} ServiceView */

/**
 * @typedef {object} Reason
 * @property {"bad" | "warn" | "info"} tone
 * @property {string} text
 * @property {string[]} [page] where there is more about it
 */

/**
 * @typedef {object} Health
 * @property {"Healthy" | "Degraded" | "Failing"} word
 * @property {"good" | "warn" | "bad"} tone
 * @property {Reason[]} reasons
 */

/** The share of failed requests from which the gateway counts as failing, and from which it is worth a look. */
const FAILING = 0.05;
const NOTABLE = 0.01;
/** Requests below which a share says little. */
const REQUESTS_MIN = 20;

/** The gravest reason is told first. */
const WEIGHTS = { bad: 0, warn: 1, info: 2 };

/**
 * @param {object} known
 * @param {Status} known.status
 * @param {ServiceView[] | null} [known.services]
 * @param {{ requests: number, failures: number } | null} [known.lately] of the last minute
 * @returns {Health}
 */
export function health({ status, services, lately }) {
  const reasons = [...ofStatus(status), ...ofServices(services ?? []), ...ofRequests(lately ?? null)];
  reasons.sort((a, b) => WEIGHTS[a.tone] - WEIGHTS[b.tone]);
  if (reasons.some((reason) => reason.tone === "bad")) return { word: "Failing", tone: "bad", reasons };
  if (reasons.some((reason) => reason.tone === "warn")) return { word: "Degraded", tone: "warn", reasons };
  return { word: "Healthy", tone: "good", reasons };
}

/**
 * @param {Status} status
 * @returns {Reason[]}
 */
function ofStatus(status) {
  /** @type {Reason[]} */
  const all = [];
  if (status.draining) all.push({ tone: "warn", text: "The gateway is draining: it stops once requests in flight have ended." });
  if (status.failed_load) all.push({ tone: "warn", text: `The config on disk was refused; revision ${status.revision} stays in force. ${status.failed_load.message}`, page: ["config"] });
  for (const file of status.stale_files) all.push({ tone: "warn", text: `An earlier version of a file stays in use: ${file}` });
  if (!status.state.writable) all.push({ tone: "warn", text: "The state directory is not writable: dials and revisions would be lost." });
  for (const text of status.state.troubles) all.push({ tone: "warn", text });
  for (const { file, now, why } of status.state.damaged) all.push({ tone: "warn", text: `${file} was damaged: ${why}. It is now ${now}.` });
  if (status.failed_upgrade) all.push({ tone: "warn", text: `The last upgrade failed: ${status.failed_upgrade.message}` });
  if (status.pending) all.push({ tone: "info", text: `Revision ${status.pending.revision} waits to be confirmed.`, page: ["config"] });
  if (status.access_log_lost > 0) all.push({ tone: "info", text: `${counted(status.access_log_lost, "line")} of the access log lost since the start.` });
  return all;
}

/**
 * @param {ServiceView[]} services
 * @returns {Reason[]}
 */
function ofServices(services) {
  /** @type {Reason[]} */
  const all = [];
  let isAll = services.length > 0;
  for (const service of services) {
    const before = all.length;
    const addresses = service.endpoints.flatMap((endpoint) => endpoint.addresses);
    const isUsed = service.routes.length > 0;
    const out = addresses.filter((one) => one.state !== "up");
    const bad = out.filter((one) => one.state === "down" || one.state === "ejected");
    if (isUsed && (addresses.length === 0 || out.length === addresses.length)) {
      const reason = bad[0]?.reason ? `: ${bad[0].reason}` : "";
      // All drained is as intended, but no less without service.
      const text = addresses.length === 0 ? `No endpoint of ${service.name} has an address.` : `No endpoint of ${service.name} is available${reason}.`;
      all.push({ tone: out.some((one) => one.state === "unknown") ? "warn" : "bad", text, page: ["services", service.name] });
    } else if (bad.length > 0) {
      all.push({ tone: "warn", text: `${count(bad.length)} of ${counted(addresses.length, "endpoint")} of ${service.name} out${bad[0].reason ? `: ${bad[0].reason}` : ""}.`, page: ["services", service.name] });
    }
    isAll &&= all.length === before;
  }
  if (isAll) all.push({ tone: "info", text: `Every endpoint of ${counted(services.length, "service")} is available.` });
  return all;
}

/**
 * @param {{ requests: number, failures: number } | null} lately
 * @returns {Reason[]}
 */
function ofRequests(lately) {
  if (lately === null || lately.requests === 0) return [{ tone: "info", text: "No requests in the last minute." }];
  const share = lately.failures / lately.requests;
  if (share < NOTABLE || lately.requests < REQUESTS_MIN) {
    return [{ tone: "info", text: `${percent(share)} of ${counted(lately.requests, "request")} of the last minute failed.` }];
  }
  return [{ tone: share >= FAILING ? "bad" : "warn", text: `${percent(share)} of ${counted(lately.requests, "request")} of the last minute failed.`, page: ["routes"] }];
}
