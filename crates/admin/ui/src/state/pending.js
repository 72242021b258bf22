// The change that waits to be confirmed, whoever made it.

import { usePoll } from "../api/poll.js";

/**
 * @typedef {object} Pending
 * @property {number} revision
 * @property {number} revertsAt milliseconds, by this machine's clock
 * @property {number} revertsTo
 * @property {string} by
 */

/** Milliseconds between two looks at the status, as the frame of the pages does. */
const INTERVAL = 5000;

/** @returns {Pending | null} */
export function usePending() {
  const { data, at } = usePoll("/api/v1/status", INTERVAL);
  const status = /** @type {import("../api/types.js").Status | null} */ (data);
  if (!status?.pending || at === null) return null;
  const { revision, reverts_at: revertsAt, reverts_to: revertsTo, by } = status.pending;
  // The clocks of the two machines may differ.
  const there = Date.parse(status.started) + status.uptime_seconds * 1000;
  const shift = Math.abs(at - there) > 5000 ? at - there : 0;
  return { revision, revertsAt: Date.parse(revertsAt) + shift, revertsTo, by };
}
