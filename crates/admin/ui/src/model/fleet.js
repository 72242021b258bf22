// A fleet in words: the instances that figures are of, and the config that some of them try.

import { counted, duration } from "./format.js";

/** @typedef {import("../api/types.js").Canary} Canary */

/** Ids that are told one by one. */
const NAMED = 3;

/**
 * Ids in a line, many of them in short.
 * @param {string[]} ids
 */
export function ids(ids) {
  if (ids.length <= NAMED) return ids.length < 2 ? ids.join("") : `${ids.slice(0, -1).join(", ")} and ${ids[ids.length - 1]}`;
  return `${ids.slice(0, NAMED).join(", ")} and ${ids.length - NAMED} more`;
}

/**
 * The instances that figures are of, and those that are left out; `null` outside of a fleet.
 * @param {import("../api/types.js").FleetStatus | null | undefined} fleet
 * @param {{ instances?: number, missing?: string[] } | null} figures
 * @returns {{ of: string, leftOut: string | null } | null}
 */
export function covered(fleet, figures) {
  if (!fleet || !figures) return null;
  const { instances = 0, missing = [] } = figures;
  return {
    of: missing.length > 0 ? `figures of ${instances} of ${counted(instances + missing.length, "instance")}` : `figures of ${counted(instances, "instance")}`,
    leftOut: missing.length > 0 ? `The figures are without ${ids(missing)}, which ${missing.length === 1 ? "does" : "do"} not answer in time.` : null,
  };
}

/**
 * The instances that try a config, in a sentence, and how they fare in another.
 * @param {Canary} canary
 * @param {number} instances those that live
 * @returns {[string, string]}
 */
export function canaryWords(canary, instances) {
  const trying = canary.instances.map(({ id }) => id);
  const few = `${trying.length} of ${counted(Math.max(instances, trying.length), "instance")} ${trying.length === 1 ? "tries" : "try"} a config: ${ids(trying)}.`;
  const waiting = canary.instances.filter(({ state }) => state === "waiting").map(({ id }) => id);
  const bad = canary.instances.filter(({ state }) => state === "failed" || state === "gone");
  if (bad.length > 0) {
    return [few, bad.map(({ id, state, why }) => `${id} ${state === "gone" ? "is gone" : "does not fare well"}${why ? `: ${why}` : ""}`).join("; ").concat(".")];
  }
  if (waiting.length > 0) return [few, `${ids(waiting)} ${waiting.length === 1 ? "has" : "have"} not taken it yet.`];
  return [few, `All take it once ${trying.length === 1 ? "it has" : "these have"} been healthy for ${duration(canary.hold_ms / 1000)}.`];
}
