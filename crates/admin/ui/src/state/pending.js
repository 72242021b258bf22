// The change that waits to be confirmed, whoever made it.

import { usePoll } from "../api/poll.js";
import { useAhead } from "./clock.js";

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
  const { data } = usePoll("/api/v1/status", INTERVAL);
  // The clocks of the two machines may differ.
  const ahead = useAhead();
  const status = /** @type {import("../api/types.js").Status | null} */ (data);
  if (!status?.pending) return null;
  const { revision, reverts_at: revertsAt, reverts_to: revertsTo, by } = status.pending;
  return { revision, revertsAt: Date.parse(revertsAt) + ahead, revertsTo, by };
}
