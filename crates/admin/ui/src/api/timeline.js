// The figures that the gateway keeps. After the first picture, only what is new is asked for.

import { get } from "./client.js";
import { known, usePoller } from "./poll.js";
import { merged } from "../model/timeline.js";

/** @typedef {import("./types.js").Timeline} Timeline */

/**
 * Figures of the gateway, or of a route and its arms.
 * @param {object} asked
 * @param {string} [asked.route]
 * @param {"1s" | "1m"} asked.step
 * @param {number} asked.window seconds
 * @param {number} [asked.interval] milliseconds; by default a second for seconds, and ten for minutes
 * @returns {import("./poll.js").Polled<Timeline>}
 */
export function useTimeline({ route, step, window, interval = step === "1s" ? 1000 : 10_000 }) {
  const query = new URLSearchParams({ step, window: `${window}s` });
  if (route !== undefined) query.set("route", route);
  const path = `/api/v1/timeline?${query}`;
  // With many routes, the gateway itself looks at its counters less often.
  const kept = /** @type {Timeline | null} */ (known(path))?.kept.interval_seconds ?? 0;
  const pause = Math.max(interval, kept * 1000);
  return usePoller(path, async (/** @type {Timeline | null} */ previous, signal) => {
    const since = previous === null ? "" : `&since=${previous.next}`;
    const { data } = await get(`${path}${since}`, { signal });
    return merged(previous, /** @type {Timeline} */ (data), window);
  }, pause);
}
